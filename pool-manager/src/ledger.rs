//! Who holds how much of which device's memory. A load's estimated need is written down before it begins, so that
//! two loads do not both take the last of a device; the measured value stands beside it afterwards.
//!
//! ```text
//! reserve ──► Pending ──loaded──► Loaded ──process gone──► Pending     promised: counts against the device
//!                │ ▲                │
//!        release ▼ │ claim          │ release
//!              Released ◄───────────┘                                  not promised: others may take it
//! ```
//!
//! - `reserve` and the drop of the [`Reservation`] come from the pool's controller.
//! - `loaded`, `gone`, `release` and `claim` come from the replica's supervisor, by [`crate::MemoryAccount`].
//!
//! Two bounds hold a device (A-16). A reading shows what is in use and nothing of a load under way, so a holding
//! counts against the free memory until a reading that was taken after the load. Readings are late, and a process
//! that dies vanishes from them before anybody has noticed; so the sum of all promises must also stay within the
//! device's total memory.
//!
//! Rules: ORCH-DEV-5, ORCH-DEV-8

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_api::Device;
use orchestrator_core::{PoolId, ReplicaId};
use tokio::sync::watch;

use crate::fit::gib;
use crate::telemetry::Snapshot;

/// What one replica holds of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The replica.
    pub replica: ReplicaId,
    /// The device.
    pub device: Device,
    /// Bytes estimated before the load; nothing where the engine cannot say.
    pub expected_bytes: Option<u64>,
    /// Bytes as measured; nothing before the first measurement.
    pub measured_bytes: Option<u64>,
}

/// How far a holding's load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The replica loads or is about to: readings may show any part of it.
    Pending,
    /// The load ended when this many readings had been taken.
    Loaded { at_reading: u64 },
    /// The replica has no process and starts none before it has claimed its memory again.
    Released,
}

/// The side of a holding while two models of one pool change places: only one of them is loaded at a time, so the
/// larger one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    Leaves,
    Arrives,
}

#[derive(Debug)]
struct Entry {
    holding: Holding,
    stage: Stage,
    process: Option<u32>,
    swap: Option<Swap>,
}

impl Entry {
    fn expected_bytes(&self) -> u64 {
        self.holding.expected_bytes.unwrap_or(0)
    }

    /// Whether the `readings`th reading shows all of it.
    fn is_shown_by(&self, readings: u64) -> bool {
        matches!(self.stage, Stage::Loaded { at_reading } if readings > at_reading + 1)
    }
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

/// The ledger while a reservation is decided: nobody else changes it meanwhile.
pub struct LedgerView<'a> {
    entries: &'a [Entry],
    snapshot: &'a Snapshot,
    ending: &'a [ReplicaId],
}

impl LedgerView<'_> {
    /// Bytes of a device that nobody uses and nobody was promised, as if the ending replicas had given theirs back.
    /// Nothing where the device's memory cannot be read.
    #[must_use]
    pub fn free_bytes(&self, device: &Device) -> Option<u64> {
        let memory = self.snapshot.of(device)?.memory?;
        let is_ending = |entry: &Entry| self.ending.contains(&entry.holding.replica);
        let (mut unseen, mut back) = (0_u64, 0_u64);
        for entry in self.entries.iter().filter(|entry| entry.holding.device == *device) {
            match (is_ending(entry), entry.stage, entry.is_shown_by(self.snapshot.readings)) {
                (_, Stage::Released, _) | (true, _, false) | (false, _, true) => {}
                (true, _, true) => {
                    back += entry.holding.measured_bytes.unwrap_or_else(|| entry.expected_bytes());
                }
                (false, _, false) => unseen += entry.expected_bytes(),
            }
        }
        let by_reading = memory.free_bytes.saturating_add(back).saturating_sub(unseen);
        let others = self.entries.iter().filter(|entry| !is_ending(entry));
        Some(by_reading.min(memory.total_bytes.saturating_sub(promised_bytes(others, device))))
    }

    /// Bytes of memory that a device has. Nothing where that cannot be read.
    #[must_use]
    pub fn total_bytes(&self, device: &Device) -> Option<u64> {
        Some(self.snapshot.of(device)?.memory?.total_bytes)
    }

    /// Whether a replica of a pool holds or held memory.
    #[must_use]
    pub fn holds(&self, pool: &PoolId) -> bool {
        self.entries.iter().any(|entry| entry.holding.replica.pool == *pool)
    }

    /// Whether a replica of this name holds or held memory.
    #[must_use]
    pub fn knows(&self, replica: &ReplicaId) -> bool {
        self.entries.iter().any(|entry| entry.holding.replica == *replica)
    }
}

impl Ledger {
    /// Looks at what [`Self::reserve`] would, and takes nothing.
    pub fn look<T>(
        &self,
        snapshot: &Snapshot,
        ending: &[ReplicaId],
        look: impl FnOnce(&LedgerView<'_>) -> T,
    ) -> T {
        look(&LedgerView { entries: &self.entries(), snapshot, ending })
    }

    /// Decides what to take while nobody else can, and writes it down; it stands until the guard is dropped.
    /// `ending` are replicas whose place the new ones take: both are never loaded at once.
    ///
    /// # Errors
    /// What `decide` returns when it takes nothing.
    pub fn reserve<T, E>(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        ending: &[ReplicaId],
        decide: impl FnOnce(&LedgerView<'_>) -> Result<(Vec<Holding>, T), E>,
    ) -> Result<(Reservation, T), E> {
        let mut entries = self.entries();
        let (holdings, decision) = decide(&LedgerView { entries: &entries, snapshot, ending })?;
        let swap = (!ending.is_empty()).then_some(Swap::Arrives);
        for entry in entries.iter_mut().filter(|entry| ending.contains(&entry.holding.replica)) {
            entry.swap = Some(Swap::Leaves);
        }
        let replicas = holdings.iter().map(|holding| holding.replica.clone()).collect();
        let stage = Stage::Pending;
        entries.extend(holdings.into_iter().map(|holding| Entry { holding, stage, process: None, swap }));
        drop(entries);
        Ok((Reservation { ledger: Arc::clone(self), replicas }, decision))
    }

    /// A replica has loaded, in this process; so many readings had been taken by then.
    pub fn loaded(&self, replica: &ReplicaId, at_reading: u64, process: Option<u32>) {
        for entry in self.entries().iter_mut().filter(|entry| entry.holding.replica == *replica) {
            entry.stage = Stage::Loaded { at_reading };
            entry.process = process;
        }
    }

    /// A replica's process is gone. Readings do not show it any more, and its memory stays promised to it.
    pub fn gone(&self, replica: &ReplicaId) {
        for entry in self.entries().iter_mut().filter(|entry| entry.holding.replica == *replica) {
            if entry.stage != Stage::Released {
                entry.stage = Stage::Pending;
            }
            entry.process = None;
            entry.holding.measured_bytes = None;
        }
    }

    /// Takes the promise back from a replica that has no process; others may have the memory.
    pub fn release(&self, replica: &ReplicaId) {
        let mut released = false;
        for entry in self.entries().iter_mut().filter(|entry| entry.holding.replica == *replica) {
            released |= entry.stage != Stage::Released;
            entry.stage = Stage::Released;
            entry.process = None;
            entry.holding.measured_bytes = None;
        }
        if released {
            self.freed.send_modify(|times| *times += 1);
        }
    }

    /// Promises a replica its memory again where it was released.
    ///
    /// # Errors
    /// The arithmetic, where the device has no room for it any more.
    pub fn claim(&self, replica: &ReplicaId, snapshot: &Snapshot, margin_bytes: u64) -> Result<(), String> {
        let mut entries = self.entries();
        let released = |entry: &Entry| entry.holding.replica == *replica && entry.stage == Stage::Released;
        let Some(index) = entries.iter().position(released) else { return Ok(()) };
        let holding = &entries[index].holding;
        let view = LedgerView { entries: &entries, snapshot, ending: &[] };
        if let (Some(needs), Some(free)) = (holding.expected_bytes, view.free_bytes(&holding.device)) {
            let free = free.saturating_sub(margin_bytes);
            if needs > free {
                return Err(format!("needs {}, {} free on {}", gib(needs), gib(free), holding.device));
            }
        }
        entries[index].stage = Stage::Pending;
        Ok(())
    }

    /// Bytes of a device that are promised to replicas, what they use of it included.
    #[must_use]
    pub fn promised_bytes(&self, device: &Device) -> u64 {
        promised_bytes(self.entries().iter(), device)
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

    /// What replicas hold, in the order in which it was written down.
    #[must_use]
    pub fn holdings(&self) -> Vec<Holding> {
        let entries = self.entries();
        let held = entries.iter().filter(|entry| entry.stage != Stage::Released);
        held.map(|entry| entry.holding.clone()).collect()
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

fn promised_bytes<'a>(entries: impl Iterator<Item = &'a Entry>, device: &Device) -> u64 {
    let mut bytes = 0_u64;
    let mut swaps = BTreeMap::<&PoolId, (u64, u64)>::new();
    for entry in entries.filter(|entry| entry.holding.device == *device && entry.stage != Stage::Released) {
        let side = match entry.swap {
            None => &mut bytes,
            Some(Swap::Leaves) => &mut swaps.entry(&entry.holding.replica.pool).or_default().0,
            Some(Swap::Arrives) => &mut swaps.entry(&entry.holding.replica.pool).or_default().1,
        };
        *side = side.saturating_add(entry.expected_bytes());
    }
    swaps.values().fold(bytes, |bytes, (leaves, arrives)| bytes.saturating_add(*leaves.max(arrives)))
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
        let mut entries = self.ledger.entries();
        entries.retain(|entry| !self.replicas.contains(&entry.holding.replica));
        // A swap of which one side is gone is over.
        for pool in self.replicas.iter().map(|replica| &replica.pool) {
            let of_pool = |entry: &&Entry| entry.holding.replica.pool == *pool;
            let has = |side| entries.iter().filter(of_pool).any(|entry| entry.swap == Some(side));
            if has(Swap::Leaves) && has(Swap::Arrives) {
                continue;
            }
            for entry in entries.iter_mut().filter(|entry| entry.holding.replica.pool == *pool) {
                entry.swap = None;
            }
        }
        drop(entries);
        self.ledger.freed.send_modify(|times| *times += 1);
    }
}

#[cfg(test)]
mod tests;
