//! Who holds how much of which device's memory: what a load is reckoned to need is written down before it
//! begins, so that two loads at once do not both take the last of it, and what it was measured to hold
//! stands beside it afterwards.
//!
//! A reading of a device shows what is in use and says nothing of a load that is under way. So a holding
//! counts against the free memory until a reading that was taken after the load.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_api::Device;
use orchestrator_core::ReplicaId;
use tokio::sync::watch;

/// What one replica holds of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The replica.
    pub replica: ReplicaId,
    /// The device.
    pub device: Device,
    /// Bytes reckoned before the load; nothing where the engine cannot say.
    pub expected_bytes: Option<u64>,
    /// Bytes as measured; nothing before the first measurement.
    pub measured_bytes: Option<u64>,
}

/// How far a holding's load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is under way: readings may show any part of it.
    Pending,
    /// It ended when this many readings had been taken.
    Loaded { at_reading: u64 },
}

#[derive(Debug)]
struct Entry {
    holding: Holding,
    stage: Stage,
    process: Option<u32>,
}

/// The ledger of all devices.
#[derive(Debug)]
pub struct Ledger {
    entries: Mutex<Vec<Entry>>,
    /// Counts up whenever memory was given back.
    freed: watch::Sender<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: Mutex::default(), freed: watch::Sender::new(0) }
    }
}

impl Ledger {
    /// Bytes of `device` that loads under way will take and that a reading, the `readings`th, does not show.
    #[must_use]
    pub fn unseen_bytes(&self, device: &Device, readings: u64) -> u64 {
        let entries = self.entries();
        let unseen = entries.iter().filter(|entry| {
            entry.holding.device == *device
                && match entry.stage {
                    Stage::Pending => true,
                    Stage::Loaded { at_reading } => readings <= at_reading + 1,
                }
        });
        unseen.filter_map(|entry| entry.holding.expected_bytes).sum()
    }

    /// Writes holdings down; they stand until the guard is dropped.
    pub fn hold(self: &Arc<Self>, holdings: Vec<Holding>) -> Reservation {
        let replicas = holdings.iter().map(|holding| holding.replica.clone()).collect();
        let entries =
            holdings.into_iter().map(|holding| Entry { holding, stage: Stage::Pending, process: None });
        self.entries().extend(entries);
        Reservation { ledger: Arc::clone(self), replicas }
    }

    /// A replica has loaded, in this process; so many readings had been taken by then.
    pub fn loaded(&self, replica: &ReplicaId, at_reading: u64, process: Option<u32>) {
        for entry in self.entries().iter_mut().filter(|entry| entry.holding.replica == *replica) {
            entry.stage = Stage::Loaded { at_reading };
            entry.process = process;
        }
    }

    /// Notes what the processes of replicas were measured to hold.
    pub fn measure(&self, measure: impl Fn(&Device, u32) -> Option<u64>) {
        for entry in self.entries().iter_mut() {
            let measured = entry.process.and_then(|process| measure(&entry.holding.device, process));
            if measured.is_some() {
                entry.holding.measured_bytes = measured;
            }
        }
    }

    /// All holdings, in the order in which they were written down.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        self.entries().iter().map(|entry| entry.holding.clone()).collect()
    }

    /// Changes whenever memory was given back.
    #[must_use]
    pub fn freed(&self) -> watch::Receiver<u64> {
        self.freed.subscribe()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holdings that are given back when it is dropped: when the replicas' processes are gone.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    ledger: Arc<Ledger>,
    replicas: Vec<ReplicaId>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.entries().retain(|entry| !self.replicas.contains(&entry.holding.replica));
        self.ledger.freed.send_modify(|times| *times += 1);
    }
}

#[cfg(test)]
mod tests;
