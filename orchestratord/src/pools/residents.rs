//! The pools whose models are to be loaded together: those of the built-in engine that are loaded at the start and stay.
//! Each leaves a part of the memory to those that are not loaded yet. The others are loaded by tasks, and make room for
//! each other.
//!
//! Rules: ORCH-DEV-10

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config_schema::PoolConfig;
use orchestrator_core::PoolId;

/// The pools, by name; a pool of a new configuration may be here beside the one it replaces.
#[derive(Clone, Debug, Default)]
pub struct Residents(Arc<Mutex<BTreeMap<PoolId, usize>>>);

impl Residents {
    /// Counts a pool while the guard lives.
    pub(super) fn enter(&self, pool: &PoolConfig) -> Option<Resident> {
        let stays = pool.preload && pool.idle_unload.is_none() && pool.server.is_none();
        stays.then(|| {
            *self.pools().entry(pool.id.clone()).or_default() += 1;
            Resident { all: self.clone(), pool: pool.id.clone() }
        })
    }

    /// How many there are beside `pool` that are not loaded.
    pub(super) fn others(&self, pool: &PoolId, is_loaded: impl Fn(&PoolId) -> bool) -> usize {
        self.pools().keys().filter(|other| *other != pool && !is_loaded(other)).count()
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<PoolId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pool that is counted. Dropped when its controller ends.
pub(super) struct Resident {
    all: Residents,
    pool: PoolId,
}

impl Drop for Resident {
    fn drop(&mut self) {
        let mut pools = self.all.pools();
        if let Some(count) = pools.get_mut(&self.pool) {
            *count -= 1;
            if *count == 0 {
                pools.remove(&self.pool);
            }
        }
    }
}
