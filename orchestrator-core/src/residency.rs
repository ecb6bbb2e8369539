//! Which loaded model is evicted when another is requested and memory is short. Pure.
//!
//! - a model that nobody uses goes before one that is in use, the least recently used first.
//! - no model goes before it has served its turn: as long as its load took when it is idle, and
//!   [`BUSY_TURN`] times as long when it is in use. So at most half of the time goes into loading when two
//!   models are asked for in turn, and a small part of it when both are asked for all the time.
//! - a model in use that has served its turn goes when no idle one can, the one that has served longest
//!   first: nobody waits for ever.
//! - among idle models, one whose last request asked for it to stay goes after all others. A pinned model is no
//!   candidate at all, and not among those given.
//!
//! Rules: ORCH-DEV-6, ORCH-MODEL-15

use std::time::Duration;

use crate::Timestamp;

/// How many times its load's duration a model in use serves before it makes room.
pub const BUSY_TURN: u32 = 4;

/// How long an idle model stays loaded, where a request says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// So long after its last task.
    For(Duration),
    /// Until another model needs the memory.
    Forever,
}

/// A loaded model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident<K> {
    /// Whose it is.
    pub key: K,
    /// Since when it serves.
    pub ready_since: Timestamp,
    /// How long its load took.
    pub load: Duration,
    /// When a task of it last started or ended.
    pub last_used: Timestamp,
    /// Whether tasks of it run or wait.
    pub in_use: bool,
    /// Whether its last request asked for it to stay: [`KeepAlive::Forever`].
    pub stays: bool,
}

impl<K> Resident<K> {
    /// When it has served its turn.
    fn turn_ends(&self) -> Timestamp {
        self.ready_since.after(if self.in_use { self.load * BUSY_TURN } else { self.load })
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction<K> {
    /// This one makes room.
    Evict(K),
    /// Nobody can before then.
    NotBefore(Timestamp),
    /// There is no candidate.
    Nobody,
}

/// Chooses among the models on the device.
pub fn choose<K: Copy>(residents: &[Resident<K>], now: Timestamp) -> Eviction<K> {
    let ready = || residents.iter().filter(|resident| resident.turn_ends() <= now);
    let idle = ready()
        .filter(|resident| !resident.in_use)
        .min_by_key(|resident| (resident.stays, resident.last_used));
    let busy = || ready().filter(|resident| resident.in_use).min_by_key(|resident| resident.ready_since);
    if let Some(resident) = idle.or_else(busy) {
        return Eviction::Evict(resident.key);
    }
    let next = residents.iter().map(Resident::turn_ends).min();
    next.map_or(Eviction::Nobody, Eviction::NotBefore)
}

#[cfg(test)]
mod tests;
