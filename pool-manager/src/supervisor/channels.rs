//! The channels of a supervisor: its stop signals, and the sender of its events and its state.

use std::sync::Arc;
use std::time::Duration;

use engine_api::LoadProgress;
use orchestrator_core::ReplicaId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::state::{ReplicaEvent, ReplicaEventKind, ReplicaState};

/// News of progress leaves at least this much room in the channel for what may not be lost.
const ROOM_KEPT_FROM_PROGRESS: usize = 32;

/// The least progress worth an event.
const PROGRESS_STEP: f32 = 0.01;

/// Every source of a request to stop a replica.
pub(super) struct StopSignal {
    pub(super) orders: watch::Receiver<Option<Duration>>,
    pub(super) shutdown: CancellationToken,
    pub(super) events: mpsc::Sender<ReplicaEvent>,
    pub(super) grace: Duration,
}

impl StopSignal {
    /// Resolves, with the grace, when the replica has to stop; from then on at once.
    pub(super) async fn asked(&mut self) -> Duration {
        tokio::select! {
            biased;
            order = self.orders.wait_for(Option::is_some) => {
                order.ok().and_then(|order| *order).unwrap_or(self.grace)
            }
            () = self.shutdown.cancelled() => self.grace,
            () = self.events.closed() => self.grace,
        }
    }

    /// Resolves when a grace shorter than `grace` was asked for.
    pub(super) async fn asked_to_hurry(&mut self, grace: Duration) -> Duration {
        let shorter = self.orders.wait_for(|order| order.is_some_and(|shorter| shorter < grace)).await;
        let shorter = shorter.ok().and_then(|order| *order);
        match shorter {
            Some(shorter) => shorter,
            None => std::future::pending().await,
        }
    }
}

/// Publishes the state of a replica and sends its events.
pub(super) struct EventSender {
    pub(super) replica: ReplicaId,
    pub(super) events: mpsc::Sender<ReplicaEvent>,
    pub(super) state: Arc<watch::Sender<ReplicaState>>,
}

impl EventSender {
    pub(super) fn set(&self, state: ReplicaState) {
        self.state.send_replace(state);
    }

    /// Tells the driver, and waits for room. A stop that comes first wins.
    pub(super) async fn tell(&self, stop: &mut StopSignal, kind: ReplicaEventKind) -> Result<(), Duration> {
        tokio::select! {
            biased;
            grace = stop.asked() => Err(grace),
            permit = self.events.reserve() => {
                if let Ok(permit) = permit {
                    permit.send(ReplicaEvent { replica: self.replica.clone(), kind });
                }
                Ok(())
            }
        }
    }

    /// Tells the driver, and waits for room.
    pub(super) async fn send(&self, kind: ReplicaEventKind) {
        // Without a receiver there is no driver to report to.
        let _ = self.events.send(ReplicaEvent { replica: self.replica.clone(), kind }).await;
    }

    /// The callback for load progress. The end of the load is reported with the engine.
    pub(super) fn progress(&self) -> LoadProgress {
        let Self { replica, events, state } = self;
        let (replica, events, state) = (replica.clone(), events.clone(), Arc::clone(state));
        Arc::new(move |now| {
            let advanced = state.send_if_modified(|state| match state {
                ReplicaState::Starting { progress } if now < 1.0 && now >= *progress + PROGRESS_STEP => {
                    *progress = now;
                    true
                }
                _ => false,
            });
            if advanced && events.capacity() > ROOM_KEPT_FROM_PROGRESS.min(events.max_capacity() / 2) {
                let kind = ReplicaEventKind::Starting { progress: now };
                // No room is the allowed case: progress may be left out.
                let _ = events.try_send(ReplicaEvent { replica: replica.clone(), kind });
            }
        })
    }
}
