//! What a pool's controller reports, and what each report makes of the life of the model.

use engine_api::Device;
use orchestrator_core::Timestamp;

use super::super::Pool;
use super::{AfterEmpty, AfterUnload, Lifecycle};
use crate::driver::Effect;
use crate::health_view::{FetchView, ReloadStage};
use crate::pool_protocol::{IdleSignal, Order, PoolEvent, ReloadOutcome, Swapped};
use crate::protocol::Reply;

impl Pool {
    /// Takes in what the pool's controller reports. Reports on replicas are the driver's.
    pub(in crate::driver) fn heard(&mut self, event: PoolEvent, now: Timestamp, effects: &mut Vec<Effect>) {
        match event {
            PoolEvent::Fetching(view) => self.fetching(view, now),
            PoolEvent::FetchFailed { why, retry_in } => {
                if !self.lifecycle.is_leaving() {
                    self.enter(Lifecycle::FetchFailed { why, retry_at: now.after(retry_in) });
                }
            }
            PoolEvent::Unloaded => self.unloaded(now, effects),
            PoolEvent::Placed(placement) => self.placement = placement,
            PoolEvent::NoRoom { why, devices, never } => {
                self.no_room(why, devices, now);
                if never {
                    self.never_fits(now, effects);
                }
            }
            PoolEvent::Starting(replicas) => {
                self.replicas.replace(replicas, now);
                self.begin_serving(now, effects);
            }
            PoolEvent::Swapped { model_ref, engine, replicas, old_idle } => {
                (self.setup.model_ref, self.setup.engine) = (model_ref, engine);
                self.swapped(replicas, old_idle, now);
                self.begin_serving(now, effects);
            }
            PoolEvent::Adopted { model_ref, engine } => self.adopted(model_ref, engine),
            PoolEvent::PauseDispatch(idle) => match self.lifecycle.base() {
                Lifecycle::Serving { .. } => self.empty(AfterEmpty::Swap(idle), effects),
                // Its replicas get nothing new already, or there are none.
                _ => effects.push(Effect::Signal(idle)),
            },
            PoolEvent::Reloading(stage) => self.reloading(stage),
            PoolEvent::ReloadOver(outcome) => self.reload_over(outcome, now, effects),
            PoolEvent::Replica(_) | PoolEvent::Closed => unreachable!("the driver takes these reports"),
        }
    }

    fn fetching(&mut self, view: FetchView, now: Timestamp) {
        match self.lifecycle.base() {
            Lifecycle::Fetching { since, .. } => {
                let since = *since;
                self.enter(Lifecycle::Fetching { view, since });
            }
            Lifecycle::FetchFailed { .. } | Lifecycle::Unloaded | Lifecycle::Loading { .. } => {
                self.enter(Lifecycle::Fetching { view, since: now });
            }
            _ => {}
        }
    }

    fn no_room(&mut self, why: String, devices: Vec<Device>, now: Timestamp) {
        if self.lifecycle.is_leaving() {
            return;
        }
        let since = self.load_began().unwrap_or(now);
        let looks = match self.lifecycle.base() {
            Lifecycle::NoRoom { looks, .. } => looks + 1,
            _ => 1,
        };
        self.enter(Lifecycle::NoRoom { why, devices, since, looks });
    }

    fn unloaded(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.replicas.forget();
        match self.lifecycle.base() {
            Lifecycle::NoFit { .. } | Lifecycle::Retired => {}
            Lifecycle::Unloading { then: AfterUnload::Retire }
            | Lifecycle::Emptying { then: AfterEmpty::Unload(AfterUnload::Retire) } => {
                self.enter(Lifecycle::Retired);
            }
            Lifecycle::Unloading { then: AfterUnload::Load } => {
                self.enter(Lifecycle::Unloaded);
                self.order_load(now, effects);
            }
            _ => self.enter(Lifecycle::Unloaded),
        }
    }

    /// There are replicas. Those of a pool that wants none any more are ended again.
    fn begin_serving(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.lifecycle.base() {
            Lifecycle::Unloading { .. } | Lifecycle::Emptying { then: AfterEmpty::Unload(_) } => {}
            Lifecycle::Retired => {
                self.enter(Lifecycle::Unloading { then: AfterUnload::Retire });
                self.order(Order::Unload, effects);
            }
            _ => self.enter(Lifecycle::Serving { down_since: Some(now) }),
        }
        self.replicas_changed(now);
    }

    fn swapped(&mut self, replicas: Vec<Swapped>, old_idle: IdleSignal, now: Timestamp) {
        let old = self.replicas.retire_all(old_idle);
        // Where the models change places, no replica has taken tasks until here.
        if matches!(
            self.lifecycle.base(),
            Lifecycle::Swapping | Lifecycle::Emptying { then: AfterEmpty::Swap(_) }
        ) {
            self.enter(Lifecycle::Serving { down_since: Some(now) });
        }
        for Swapped { replica, device, engine, self_test } in replicas {
            self.replicas.insert(replica.clone(), device, now);
            self.ready(&replica, engine, &self_test, now);
        }
        for replica in &old {
            self.scheduler.replica_retiring(replica);
        }
    }

    fn reloading(&mut self, stage: ReloadStage) {
        if let Lifecycle::Reloading { reload, .. } = &mut self.lifecycle {
            reload.view.stage = stage;
        }
    }

    fn reload_over(&mut self, outcome: ReloadOutcome, now: Timestamp, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.lifecycle, Lifecycle::Unloaded) {
            Lifecycle::Reloading { reload, under } => {
                self.lifecycle = *under;
                effects.push(Effect::Reply(Reply::Reload(reload.to, Ok(outcome))));
                // A swap that was given up before it began: the replicas that are there go on. One that failed has
                // started them again.
                if matches!(
                    self.lifecycle,
                    Lifecycle::Emptying { then: AfterEmpty::Swap(_) } | Lifecycle::Swapping
                ) {
                    self.reopen(now);
                }
                if reload.retire {
                    self.retire(effects);
                }
            }
            other => self.lifecycle = other,
        }
    }
}
