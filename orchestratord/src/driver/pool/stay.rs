//! How long the model stays loaded: `idle_unload_s`, what requests ask for by `keep_alive`, and an operator's pin.
//!
//! What a request asks for holds until another request asks for something else, or the model is unloaded. A pin holds until
//! it is removed or the model is retired: a pinned model is loaded as soon as it can be, is never unloaded for being idle,
//! and makes no room for another.
//!
//! Rules: ORCH-MODEL-9, ORCH-MODEL-15, ORCH-MODEL-16

use std::time::Duration;

use engine_api::Device;
use orchestrator_core::{KeepAlive, Timestamp};

use super::Pool;
use super::lifecycle::Lifecycle;
use crate::driver::Effect;

/// What requests and operators have made of the stay of a model.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stay {
    /// What the last request that said so asked for.
    keep_alive: Option<KeepAlive>,
    /// Whether an operator pinned it.
    pinned: bool,
}

impl Pool {
    /// Takes over what a request asks for. A server that runs without the daemon is not unloaded, whatever is asked.
    pub(in crate::driver) fn keep_alive(&mut self, keep_alive: KeepAlive) {
        self.stay.keep_alive = Some(keep_alive);
    }

    /// Pins the model, or removes the pin.
    pub(in crate::driver) fn set_pinned(&mut self, pinned: bool) {
        self.stay.pinned = pinned;
    }

    /// Loads the model, where nothing is loaded. A reload under way decides that itself.
    pub(in crate::driver) fn load(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_out = matches!(self.lifecycle, Lifecycle::Unloaded | Lifecycle::NoFit { .. });
        if is_out && self.is_configured() {
            self.order_load(now, effects);
        }
    }

    /// Whether an operator pinned it.
    pub(super) fn is_pinned(&self) -> bool {
        self.stay.pinned
    }

    /// Whether it goes after other idle models where memory is short.
    pub(super) fn stays(&self) -> bool {
        self.stay.keep_alive == Some(KeepAlive::Forever)
    }

    /// Whether it is pinned and holds memory on one of `devices`.
    pub(super) fn is_pinned_on(&self, devices: &[Device]) -> bool {
        self.stay.pinned && self.replicas.values().any(|replica| devices.contains(&replica.device))
    }

    /// The model is on its way out: what requests asked for is over.
    pub(super) fn forget_keep_alive(&mut self) {
        self.stay.keep_alive = None;
    }

    /// An operator took it out of service.
    pub(super) fn forget_stay(&mut self) {
        self.stay = Stay::default();
    }

    /// When it has been idle long enough to be unloaded; nothing while it is in use, or where it stays.
    pub(super) fn idle_until(&self) -> Option<Timestamp> {
        let after = self.idle_limit()?;
        let idle = self.is_configured()
            && matches!(self.lifecycle, Lifecycle::Serving { .. })
            && self.any_engine().is_some()
            && self.scheduler.running() == 0
            && !self.is_wanted();
        idle.then(|| self.usage.last_used.max(self.usage.ready_since).after(after))
    }

    /// How long it may be idle.
    fn idle_limit(&self) -> Option<Duration> {
        match self.stay {
            _ if self.setup.attached => None,
            Stay { pinned: true, .. } | Stay { keep_alive: Some(KeepAlive::Forever), .. } => None,
            Stay { keep_alive: Some(KeepAlive::For(after)), .. } => Some(after),
            Stay { keep_alive: None, .. } => self.setup.idle_unload,
        }
    }
}
