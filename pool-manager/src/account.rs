//! What a replica's supervisor says to the ledger: when its memory is in use, when its process is gone, when others
//! may have it, and when it wants it back.
//!
//! Rules: ORCH-DEV-8

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orchestrator_core::ReplicaId;
use tokio::sync::watch;

use crate::fit::DeviceCandidate;
use crate::ledger::{Ledger, LedgerView};
use crate::telemetry::Snapshot;

/// The ledger together with the readings that it is compared with.
#[derive(Clone)]
pub struct MemoryAccount {
    /// Who holds how much of which device.
    pub ledger: Arc<Ledger>,
    /// The last reading of the devices.
    pub devices: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// Bytes of each device that are left free. May change.
    pub margin_bytes: Arc<AtomicU64>,
}

impl MemoryAccount {
    /// An account of devices that cannot be read, on which everything fits.
    #[must_use]
    pub fn unbounded() -> Self {
        let nothing = Arc::new(Snapshot::default());
        Self {
            ledger: Arc::default(),
            devices: Arc::new(move || Arc::clone(&nothing)),
            margin_bytes: Arc::default(),
        }
    }

    /// Bytes of each device that are left free now.
    #[must_use]
    pub fn margin_bytes(&self) -> u64 {
        self.margin_bytes.load(Ordering::Relaxed)
    }

    /// Notes of each candidate what is free on its device and what could be, the margin left out.
    pub fn note_room(&self, candidates: &mut [DeviceCandidate], view: &LedgerView<'_>) {
        let less_margin = |bytes: u64| bytes.saturating_sub(self.margin_bytes());
        for candidate in candidates {
            candidate.free_bytes = view.free_bytes(&candidate.device).map(less_margin);
            candidate.usable_bytes = view.total_bytes(&candidate.device).map(less_margin);
        }
    }

    pub(crate) fn loaded(&self, replica: &ReplicaId, process: Option<u32>) {
        self.ledger.loaded(replica, (self.devices)().readings, process);
    }

    pub(crate) fn gone(&self, replica: &ReplicaId) {
        self.ledger.gone(replica);
    }

    pub(crate) fn release(&self, replica: &ReplicaId) {
        self.ledger.release(replica);
    }

    pub(crate) fn claim(&self, replica: &ReplicaId) -> Result<(), String> {
        self.ledger.claim(replica, &(self.devices)(), self.margin_bytes())
    }

    pub(crate) fn freed(&self) -> watch::Receiver<u64> {
        self.ledger.freed()
    }
}

impl std::fmt::Debug for MemoryAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryAccount").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
