//! Memory for the pools that wait for it: which other model is evicted, and when none can be.

use engine_api::Device;
use orchestrator_core::{Eviction, PoolId, Resident, Timestamp};
use std::time::Duration;

use super::Pool;
use super::lifecycle::Lifecycle;
use crate::driver::Effect;
use crate::pool_protocol::PoolKey;

/// How often in a row a controller has to find no room, while nothing else changes, before its pool gives up. The first
/// look may come before another pool has given its memory back, and the second may use a reading from before that.
const LOOKS_IN_VAIN: u32 = 3;

impl Pool {
    /// The devices on which it waits for room.
    fn needs_room(&self) -> Option<&[Device]> {
        match self.lifecycle.base() {
            Lifecycle::NoRoom { devices, .. } if self.is_configured() => Some(devices),
            _ => None,
        }
    }

    /// Whether it has looked for room often enough to be sure that there is none.
    fn has_looked(&self) -> bool {
        matches!(self.lifecycle.base(), Lifecycle::NoRoom { looks, .. } if *looks >= LOOKS_IN_VAIN)
    }

    /// It as one that could make room on one of `devices`.
    fn as_resident(&self, key: usize, devices: &[Device]) -> Option<Resident<usize>> {
        if !self.is_configured()
            || !matches!(self.lifecycle, Lifecycle::Serving { .. })
            || self.any_engine().is_none()
            || self.is_pinned()
        {
            return None;
        }
        let there = self.replicas.values().any(|replica| devices.contains(&replica.device));
        there.then(|| Resident {
            key,
            ready_since: self.usage.ready_since,
            load: self.usage.last_load.unwrap_or(Duration::ZERO),
            last_used: self.usage.last_used,
            in_use: self.scheduler.running() > 0 || self.is_wanted(),
            stays: self.stays(),
        })
    }

    /// Notes which pinned models could have made room, where nobody else can.
    fn blame_pins(&mut self, pinned: &[PoolId]) {
        if let Lifecycle::NoRoom { why, .. } = self.lifecycle.base_mut()
            && !pinned.is_empty()
        {
            let names: Vec<_> = pinned.iter().map(|pool| format!("`{pool}`")).collect();
            why.push_str(&format!("; {} stays loaded because it is pinned", names.join(" and ")));
        }
    }

    /// Whether it is about to give memory back, or to take what it has been given.
    fn is_changing(&self) -> bool {
        let loading = self.load_began().is_some() && self.needs_room().is_none();
        let leaving = self.lifecycle.is_leaving() && !matches!(self.lifecycle.base(), Lifecycle::Retired);
        !self.is_configured() || leaving || self.replicas.are_outgoing() || loading
    }
}

/// Makes room for the pools that wait for it. Returns when the next one can be made, and which pools wait
/// in vain.
pub(in crate::driver) fn make_room(
    pools: &mut [Pool],
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> (Option<Timestamp>, Vec<PoolKey>) {
    let (mut wake, mut in_vain) = (None::<Timestamp>, Vec::new());
    for index in 0..pools.len() {
        let Some(devices) = pools[index].needs_room().map(<[Device]>::to_vec) else { continue };
        let on_its_way = pools.iter().enumerate().any(|(other, pool)| other != index && pool.is_changing());
        if on_its_way {
            // Something has changed: it may find room now.
            if let Lifecycle::NoRoom { looks, .. } = pools[index].lifecycle.base_mut() {
                *looks = 0;
            }
            continue;
        }
        let residents: Vec<_> = pools
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .filter_map(|(other, pool)| pool.as_resident(other, &devices))
            .collect();
        match orchestrator_core::residency::choose(&residents, now) {
            Eviction::Evict(victim) => pools[victim].evict(effects),
            Eviction::NotBefore(then) => wake = Some(wake.map_or(then, |wake| wake.min(then))),
            Eviction::Nobody if pools[index].has_looked() => {
                let pinned = pools.iter().filter(|pool| pool.is_pinned_on(&devices));
                let pinned: Vec<_> = pinned.map(|pool| pool.setup.id.clone()).collect();
                pools[index].blame_pins(&pinned);
                in_vain.push(pools[index].key);
            }
            Eviction::Nobody => {}
        }
    }
    (wake, in_vain)
}
