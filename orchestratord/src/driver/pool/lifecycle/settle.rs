//! What the life of a model has due: what follows once its replicas are empty, unused or down, and when.

use orchestrator_core::Timestamp;

use super::super::Pool;
use super::{AfterEmpty, AfterUnload, Lifecycle};
use crate::driver::Effect;
use crate::pool_protocol::{Demand, Order};

impl Pool {
    /// Does what its life has due.
    pub(in crate::driver) fn settle(&mut self, now: Timestamp, accepts: bool, effects: &mut Vec<Effect>) {
        for signal in self.replicas.take_idle(&self.scheduler) {
            effects.push(Effect::Signal(signal));
        }
        if !accepts || self.is_closing() {
            return;
        }
        self.end_suspensions(now);
        self.settle_emptying(effects);
        self.settle_config_reload(effects);
        if !self.is_configured() {
            return;
        }
        match &self.lifecycle {
            Lifecycle::Unloaded if self.is_to_be_loaded() => self.order_load(now, effects),
            Lifecycle::NoFit { retry_at, .. } if *retry_at <= now && self.is_to_be_loaded() => {
                self.order_load(now, effects);
            }
            Lifecycle::Serving { .. } if self.idle_until().is_some_and(|until| until <= now) => {
                tracing::info!(pool = %self.setup.id, "unloads its model: idle for as long as it may be");
                self.empty(AfterEmpty::Unload(AfterUnload::Rest), effects);
            }
            _ => {}
        }
    }

    /// Tells the controller whether tasks wait for what it does, when that changes: it then tries again sooner. While a
    /// replica takes tasks, those that wait do so for a slot and not for the controller.
    pub(in crate::driver) fn settle_demand(&mut self, effects: &mut Vec<Effect>) {
        let waiting = self.is_wanted() && self.replicas.open().next().is_none();
        let demand = if waiting { Demand::Waiting } else { Demand::Idle };
        if demand != self.demand {
            self.demand = demand;
            self.order(Order::SetDemand(demand), effects);
        }
    }

    /// When its life has something due though nothing happens. Always after `now`, once [`settle`](Self::settle) has
    /// been called.
    pub(in crate::driver) fn life_wake(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_closing() {
            return None;
        }
        let idle = match &self.lifecycle {
            Lifecycle::Serving { .. } => self.idle_until(),
            Lifecycle::NoFit { retry_at, .. } => self.is_to_be_loaded().then_some(*retry_at),
            _ => None,
        };
        let outage = self.outage_ends().filter(|end| self.is_wanted() && *end > now);
        [idle, outage, self.replicas.next_resume()].into_iter().flatten().min()
    }

    /// Whether its model is loaded where nothing is: tasks wait for it, or it is pinned.
    fn is_to_be_loaded(&self) -> bool {
        self.is_wanted() || self.is_pinned()
    }

    /// Gives the replicas nothing new; what follows comes once they are empty.
    pub(super) fn empty(&mut self, then: AfterEmpty, effects: &mut Vec<Effect>) {
        for replica in self.replicas.ids() {
            self.scheduler.replica_retiring(replica);
        }
        if matches!(then, AfterEmpty::Unload(_)) {
            self.forget_keep_alive();
        }
        self.enter(Lifecycle::Emptying { then });
        self.settle_emptying(effects);
    }

    fn settle_emptying(&mut self, effects: &mut Vec<Effect>) {
        if self.scheduler.running() > 0 || !matches!(self.lifecycle.base(), Lifecycle::Emptying { .. }) {
            return;
        }
        let base = std::mem::replace(self.lifecycle.base_mut(), Lifecycle::Swapping);
        match base {
            Lifecycle::Emptying { then: AfterEmpty::Unload(then) } => {
                self.order(Order::Unload, effects);
                self.enter(Lifecycle::Unloading { then });
            }
            Lifecycle::Emptying { then: AfterEmpty::Swap(idle) } => effects.push(Effect::Signal(idle)),
            other => self.enter(other),
        }
    }

    /// Gives the replicas tasks again.
    pub(super) fn reopen(&mut self, now: Timestamp) {
        self.enter(Lifecycle::Serving { down_since: Some(now) });
        for replica in self.replicas.open() {
            self.scheduler.replica_open(replica);
        }
        self.replicas_changed(now);
    }

    /// When the load that is under way began.
    pub(in crate::driver::pool) fn load_began(&self) -> Option<Timestamp> {
        match self.lifecycle.base() {
            Lifecycle::Loading { since } | Lifecycle::NoRoom { since, .. } => Some(*since),
            Lifecycle::Serving { .. } => self.replicas.starting_since(),
            _ => None,
        }
    }

    /// Notes since when no replica takes tasks.
    pub(in crate::driver::pool) fn replicas_changed(&mut self, now: Timestamp) {
        let up = self.replicas.open().next().is_some();
        if let Lifecycle::Serving { down_since } = self.lifecycle.base_mut() {
            *down_since = if up { None } else { Some(down_since.unwrap_or(now)) };
        }
    }
}
