//! Reloads that a new configuration asks for (`SIGHUP`). The newest options count: they take the place of those that an
//! earlier configuration wanted, whose reload is canceled. They wait for a reload that an operator requested, and for
//! replicas that are ending; no state of the pool drops them.
//!
//! Rules: ORCH-CONF-13

use super::Pool;
use crate::backpressure::Refusal;
use crate::driver::Effect;
use crate::pool_protocol::{Order, ReloadOrder, ReloadOutcome, Rollback, RollbackCode};
use crate::protocol::{Reply, ReplyTo};

/// A reload that cannot begin yet, and where its reply goes.
#[derive(Debug)]
pub(super) struct WaitingReload {
    order: ReloadOrder,
    to: ReplyTo<Result<ReloadOutcome, Refusal>>,
}

impl Pool {
    /// Changes the options of the pool as soon as that can be.
    pub(in crate::driver) fn reload_by_config(
        &mut self,
        order: ReloadOrder,
        to: ReplyTo<Result<ReloadOutcome, Refusal>>,
        effects: &mut Vec<Effect>,
    ) {
        self.cancel_config_reload(effects);
        self.config_reload = Some(WaitingReload { order, to });
        self.settle_config_reload(effects);
    }

    /// Cancels the reload that an earlier configuration requested.
    pub(in crate::driver) fn cancel_config_reload(&mut self, effects: &mut Vec<Effect>) {
        self.refuse_config_reload("a newer configuration replaced this one", effects);
        if self.lifecycle.reload().is_some_and(|reload| reload.by_config) {
            self.order(Order::CancelReload, effects);
        }
    }

    /// Begins a reload that has waited, once it can.
    pub(super) fn settle_config_reload(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_configured() {
            return self.refuse_config_reload("the pool was removed from the configuration", effects);
        }
        if (self.may_reload() || self.rests_retired())
            && let Some(WaitingReload { order, to }) = self.config_reload.take()
        {
            self.order_reload(order, to, effects);
        }
    }

    fn refuse_config_reload(&mut self, why: &str, effects: &mut Vec<Effect>) {
        if let Some(WaitingReload { to, .. }) = self.config_reload.take() {
            let rollback = Rollback { code: RollbackCode::ReloadInProgress, message: why.to_owned() };
            effects.push(Effect::Reply(Reply::Reload(to, Ok(Err(rollback)))));
        }
    }
}
