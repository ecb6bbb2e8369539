//! All pools: those of the configuration in its order, and after them those that were removed and are not gone yet.
//!
//! Rules: ORCH-CONF-10

use std::ops::{Index, IndexMut};

use orchestrator_core::{PoolId, Timestamp};

use super::pool::{Pool, PoolSetup};
use crate::pool_protocol::PoolKey;

/// All pools.
#[derive(Debug)]
pub(super) struct PoolTable {
    pools: Vec<Pool>,
    next: PoolKey,
}

impl PoolTable {
    /// The pools that are there at the start.
    pub(super) fn new(setups: Vec<PoolSetup>, now: Timestamp) -> Self {
        let mut table = Self { pools: Vec::with_capacity(setups.len()), next: PoolKey::FIRST };
        for setup in setups {
            table.insert(setup, now);
        }
        table
    }

    /// Takes a new pool in. Returns its key.
    pub(super) fn insert(&mut self, setup: PoolSetup, now: Timestamp) -> PoolKey {
        let key = self.next;
        self.next = key.next();
        self.pools.push(Pool::new(key, setup, now));
        key
    }

    /// Forgets a pool.
    pub(super) fn remove(&mut self, key: PoolKey) -> Option<Pool> {
        let place = self.place(key)?;
        Some(self.pools.remove(place))
    }

    /// Puts the pools of the configuration into this order, and those that were removed behind them.
    pub(super) fn arrange(&mut self, order: &[PoolId]) {
        self.pools.sort_by_key(|pool| {
            let place = order.iter().position(|id| *id == pool.setup.id);
            place.filter(|_| pool.is_configured()).unwrap_or(order.len())
        });
    }

    /// The pool of the configuration that has this name.
    pub(super) fn named(&self, id: &PoolId) -> Option<PoolKey> {
        self.configured().find(|pool| pool.setup.id == *id).map(Pool::key)
    }

    /// The pools of the configuration.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Pool> {
        self.pools.iter().filter(|pool| pool.is_configured())
    }

    /// A pool that is there.
    pub(super) fn get(&self, key: PoolKey) -> Option<&Pool> {
        self.place(key).map(|place| &self.pools[place])
    }

    /// The same.
    pub(super) fn get_mut(&mut self, key: PoolKey) -> Option<&mut Pool> {
        self.place(key).map(|place| &mut self.pools[place])
    }

    pub(super) fn len(&self) -> usize {
        self.pools.len()
    }

    /// The key of the pool at a place of the list.
    pub(super) fn key_at(&self, place: usize) -> PoolKey {
        self.pools[place].key()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Pool> {
        self.pools.iter()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Pool] {
        &mut self.pools
    }

    fn place(&self, key: PoolKey) -> Option<usize> {
        self.pools.iter().position(|pool| pool.key() == key)
    }
}

impl Index<PoolKey> for PoolTable {
    type Output = Pool;

    fn index(&self, key: PoolKey) -> &Pool {
        self.get(key).expect("a pool is there as long as a task of it waits or runs")
    }
}

impl IndexMut<PoolKey> for PoolTable {
    fn index_mut(&mut self, key: PoolKey) -> &mut Pool {
        self.get_mut(key).expect("a pool is there as long as a task of it waits or runs")
    }
}
