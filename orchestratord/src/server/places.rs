//! How many connections are open, and the wait for a place among them. The limit may change meanwhile.
//!
//! Rules: ORCH-CONF-9

use tokio::sync::watch;

use super::ConnectionLimits;

/// The open connections, counted.
#[derive(Clone, Debug)]
pub(super) struct Places(watch::Sender<u32>);

/// A place of a connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Places);

impl Places {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> u32 {
        *self.0.borrow()
    }

    /// A place, if fewer than `limit` are taken.
    pub(super) fn try_take(&self, limit: u32) -> Option<Place> {
        let taken = self.0.send_if_modified(|open| {
            let free = *open < limit;
            *open += u32::from(free);
            free
        });
        taken.then(|| Place(self.clone()))
    }

    /// A place, once fewer are taken than the limit by then.
    pub(super) async fn take(&self, limits: &mut watch::Receiver<ConnectionLimits>) -> Place {
        let mut open = self.0.subscribe();
        loop {
            let limit = limits.borrow_and_update().connections;
            if let Some(place) = self.try_take(limit) {
                return place;
            }
            // Neither sender goes before the server.
            tokio::select! {
                _ = open.wait_for(|open| *open < limit) => {}
                _ = limits.changed() => {}
            }
        }
    }

    /// Resolves when no place is taken.
    pub(super) async fn all_free(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}
