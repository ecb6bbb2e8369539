//! A new configuration: which pools come, go and stay.
//!
//! Rules: ORCH-CONF-9, ORCH-CONF-10, ORCH-CONF-11

use orchestrator_core::{PoolId, Timestamp};

use super::effect::Count;
use super::{Driver, Effect};
use crate::backpressure::Refusal;
use crate::pool_protocol::PoolKey;
use crate::protocol::{Configuration, PoolChanges};

impl Driver {
    /// Takes a new configuration over, as a whole and at once.
    pub(super) fn configure(&mut self, new: Configuration, now: Timestamp) -> Result<PoolChanges, Refusal> {
        self.refuse_while_stopping()?;
        self.tasks.set_retention(new.retention);
        let mut changes = PoolChanges::default();
        let order: Vec<PoolId> = new.pools.iter().map(|(setup, _)| setup.id.clone()).collect();
        for pool in self.pools.as_mut_slice() {
            if pool.is_configured() && !order.contains(&pool.setup.id) {
                pool.leave();
                changes.removed.push(pool.setup.id.clone());
            }
        }
        for (setup, config) in new.pools {
            if let Some(key) = self.pools.named(&setup.id) {
                self.pools[key].configure(setup);
                continue;
            }
            changes.added.push(setup.id.clone());
            let key = self.pools.insert(setup, now);
            self.effects.push(Effect::OpenPool(key, Box::new(config)));
        }
        self.pools.arrange(&order);
        Ok(changes)
    }

    /// The controller of a pool has ended. One that was not told to ended with the daemon, or by a defect.
    pub(super) fn pool_closed(&mut self, key: PoolKey, now: Timestamp) {
        if !self.pools.get(key).is_some_and(super::pool::Pool::is_closing) {
            return;
        }
        let Some(gone) = self.pools.remove(key) else { return };
        let id = gone.setup.id;
        tracing::info!(pool = %id, "pool removed");
        if self.is_serving() {
            for pool in self.pools.as_mut_slice() {
                pool.preload_again(now, &mut self.effects);
            }
        }
        // The series of a pool that took its name meanwhile go on.
        if self.pools.iter().all(|pool| pool.setup.id != id) {
            self.effects.push(Effect::Count(Count::PoolGone(id)));
        }
    }
}
