//! Whether a pool is in the configuration, and how one that was removed goes.
//!
//! ```text
//! Configured ──removed──► Leaving ──no task waits or runs──► Closing ──the controller has ended──► gone
//! ```
//!
//! A pool that leaves takes no new task. What it has admitted is served to its end by the replicas that it has, or is
//! about to have; where there are none, tasks that wait end. So a fetch, a wait for room or a retired model holds a
//! removal up no longer than a load, a crash loop no longer than `queue.outage_wait_s`.
//!
//! Rules: ORCH-CONF-11

use engine_api::EngineKind;
use orchestrator_core::Timestamp;

use super::Pool;
use super::lifecycle::{AfterEmpty, Lifecycle};
use crate::driver::{Effect, PoolSetup};
use crate::pool_protocol::Order;

/// Whether a pool is in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is.
    Configured,
    /// It was removed, and finishes what it has.
    Leaving,
    /// It has no task, and its controller ends. It gets no more orders.
    Closing,
}

impl Pool {
    /// Whether it is in the configuration: others take no new task.
    pub(in crate::driver) fn is_configured(&self) -> bool {
        self.membership == Membership::Configured
    }

    /// Whether its controller has been told to end.
    pub(in crate::driver) fn is_closing(&self) -> bool {
        self.membership == Membership::Closing
    }

    /// Takes over what of a new configuration needs no reload: all but the model and the engine.
    pub(in crate::driver) fn configure(&mut self, setup: PoolSetup) {
        self.scheduler.set_limits(setup.queue, setup.sessions);
        let PoolSetup { id, model_ref, engine, .. } = self.setup.clone();
        self.setup = PoolSetup { id, model_ref, engine, ..setup };
    }

    /// Another model, or other options of it, from the next load on.
    pub(super) fn adopted(&mut self, model_ref: String, engine: EngineKind) {
        (self.setup.model_ref, self.setup.engine) = (model_ref, engine);
        self.forget_facts();
        // What did not fit may fit now.
        if matches!(self.lifecycle.base(), Lifecycle::NoFit { .. }) {
            self.enter(Lifecycle::Unloaded);
        }
    }

    /// Whether nothing is loaded, and nothing will be before an operator wants it.
    pub(in crate::driver) fn rests_retired(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Retired)
    }

    /// A pool that was removed has given its memory back. One that was to be loaded before its first task, and found no
    /// room then, may find some now.
    pub(in crate::driver) fn preload_again(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_new = self.setup.preload && self.facts.is_none();
        if is_new && self.is_configured() && matches!(self.lifecycle, Lifecycle::Unloaded) {
            self.order(Order::Preload, effects);
            self.enter(Lifecycle::Loading { since: now });
        }
    }

    /// It was removed from the configuration.
    pub(in crate::driver) fn leave(&mut self) {
        self.membership = Membership::Leaving;
    }

    /// Whether tasks of a pool that leaves would wait for a model that is not there and does not come.
    pub(super) fn leaves_without_replicas(&self) -> bool {
        let has_or_gets = matches!(
            self.lifecycle.base(),
            Lifecycle::Serving { .. }
                | Lifecycle::Emptying { then: AfterEmpty::Swap(_) }
                | Lifecycle::Swapping
        );
        !self.is_configured() && !has_or_gets
    }

    /// Ends the controller of a pool that leaves, once no task waits or runs.
    pub(in crate::driver) fn settle_leaving(&mut self, effects: &mut Vec<Effect>) {
        if self.membership == Membership::Leaving && !self.is_wanted() && self.scheduler.running() == 0 {
            self.membership = Membership::Closing;
            effects.push(Effect::ClosePool(self.key));
        }
    }
}
