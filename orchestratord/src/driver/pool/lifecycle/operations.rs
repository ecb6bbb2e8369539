//! What operators, tasks and other pools make of the life of a model: loads, reloads, retirement, eviction.

use std::time::Duration;

use orchestrator_core::Timestamp;

use super::super::Pool;
use super::{AfterEmpty, AfterUnload, Lifecycle, Reload};
use crate::backpressure::Refusal;
use crate::driver::Effect;
use crate::health_view::{ReloadStage, ReloadView};
use crate::pool_protocol::{Order, ReloadOrder, ReloadOutcome};
use crate::protocol::ReplyTo;

/// What does not fit though nothing else could make room is tried again after this, in case another
/// program has given memory back.
const NO_FIT_RETRY: Duration = Duration::from_secs(30);

/// What does not fit the machine at all is tried again after this: only another configuration, model file or machine
/// changes that, and the first two are taken over at once.
const NEVER_FITS_RETRY: Duration = Duration::from_secs(24 * 3600);

impl Pool {
    /// Changes the model.
    pub(in crate::driver) fn order_reload(
        &mut self,
        order: ReloadOrder,
        to: ReplyTo<Result<ReloadOutcome, Refusal>>,
        effects: &mut Vec<Effect>,
    ) {
        let view = ReloadView { to: order.model.to_string(), stage: ReloadStage::Fetching(None) };
        let by_config = order.options.is_some();
        self.order(Order::Reload(order), effects);
        let under = Box::new(std::mem::replace(&mut self.lifecycle, Lifecycle::Unloaded));
        self.lifecycle =
            Lifecycle::Reloading { reload: Reload { view, to, by_config, retire: false }, under };
    }

    /// Loads the model, unless it is loaded.
    pub(in crate::driver::pool) fn order_load(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if matches!(self.lifecycle.base(), Lifecycle::Unloaded | Lifecycle::NoFit { .. } | Lifecycle::Retired)
        {
            self.order(Order::Load, effects);
            self.enter(Lifecycle::Loading { since: now });
        }
    }

    /// Takes the model out of service: what runs may finish, then it is unloaded.
    pub(in crate::driver) fn retire(&mut self, effects: &mut Vec<Effect>) {
        self.forget_stay();
        if let Lifecycle::Reloading { reload, .. } = &mut self.lifecycle {
            reload.retire = true;
            return;
        }
        match &mut self.lifecycle {
            Lifecycle::Unloaded | Lifecycle::NoFit { .. } | Lifecycle::Retired => {
                self.enter(Lifecycle::Retired)
            }
            Lifecycle::Fetching { .. }
            | Lifecycle::FetchFailed { .. }
            | Lifecycle::Loading { .. }
            | Lifecycle::NoRoom { .. }
            | Lifecycle::Swapping => {
                self.order(Order::Unload, effects);
                self.enter(Lifecycle::Unloading { then: AfterUnload::Retire });
            }
            Lifecycle::Unloading { then } => *then = AfterUnload::Retire,
            Lifecycle::Serving { .. } | Lifecycle::Emptying { .. } => {
                self.empty(AfterEmpty::Unload(AfterUnload::Retire), effects);
            }
            Lifecycle::Reloading { .. } => unreachable!("handled before"),
        }
    }

    /// Puts the model back into service.
    pub(in crate::driver) fn activate(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Lifecycle::Reloading { reload, .. } = &mut self.lifecycle {
            reload.retire = false;
        }
        match self.lifecycle.base_mut() {
            Lifecycle::Unloading { then } => *then = AfterUnload::Load,
            Lifecycle::Emptying { then: AfterEmpty::Unload(_) } => self.reopen(now),
            Lifecycle::Retired => self.order_load(now, effects),
            _ => {}
        }
    }

    /// Makes room for another model.
    pub(in crate::driver::pool) fn evict(&mut self, effects: &mut Vec<Effect>) {
        tracing::info!(pool = %self.setup.id, "unloads its model to make room for another one");
        self.empty(AfterEmpty::Unload(AfterUnload::Rest), effects);
    }

    /// Stops waiting for room, and says why there is none.
    pub(in crate::driver) fn give_up_room(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.leave_without_room(NO_FIT_RETRY, now, effects);
    }

    /// Stops waiting for room: the model is too large for the machine, whatever else is loaded.
    pub(super) fn never_fits(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.leave_without_room(NEVER_FITS_RETRY, now, effects);
    }

    fn leave_without_room(&mut self, retry: Duration, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Lifecycle::NoRoom { why, .. } = self.lifecycle.base_mut() {
            let why = std::mem::take(why);
            self.order(Order::Unload, effects);
            self.enter(Lifecycle::NoFit { why, retry_at: now.after(retry) });
        }
    }
}
