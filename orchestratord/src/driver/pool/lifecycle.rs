//! The life of a pool's model.
//!
//! ```text
//! Fetching ──► Unloaded ──a task, preload──► Loading ──► Serving ──idle, evicted, retired──► Emptying
//!    │ ▲          ▲                           │  ▲          ▲                                  │
//!    ▼ │          │                           ▼  │ room     │ another load, or taken back      ▼
//! FetchFailed     │                          NoRoom ──► NoFit                               Unloading ──► Retired
//!                 └──────────────────────────────────────────────────────────────────────────┘
//!
//! Reloading(under): a change of the model on top of any state that is not on its way out. Its own controller moves
//! the state under it: `Swapped` to Serving, or Emptying ──► Swapping ──► Serving where memory is for one model.
//! ```
//!
//! | transition | who triggers it |
//! |---|---|
//! | into Fetching, `FetchFailed`, `NoRoom`, Serving, Unloaded | the pool's controller (`PoolEvent`) |
//! | Unloaded, `NoFit` to Loading | the driver, when a task waits (`NoFit` once its time has come), or memory came back |
//! | `NoRoom` to `NoFit` | the driver, when no other pool can make room |
//! | Serving to Emptying | the driver: idle for `idle_unload_s`, another pool needs the room, retired; the controller: `Hold` |
//! | Emptying to Unloading or Swapping | the end of the last task in a replica |
//! | into and out of Retired | an operator, by `retire` and `activate` |
//! | into Reloading | an operator or a configuration; out of it: the controller (`ReloadOver`), whatever came of it |
//!
//! Every order to the controller is answered; a pool that failed is never a state without a way on: `FetchFailed` is
//! retried by the controller, `NoFit` by the next task after its time, and replicas that are down by their supervisors.

use std::time::Duration;

use engine_api::Device;
use orchestrator_core::{ReplicaId, Timestamp};

use super::Pool;
use crate::backpressure::Refusal;
use crate::driver::Effect;
use crate::health_view::{FetchView, ReloadStage, ReloadView};
use crate::pool_protocol::{Demand, IdleSignal, Order, PoolEvent, ReloadOrder, ReloadOutcome, Swapped};
use crate::protocol::{Reply, ReplyTo};
use crate::state::ModelState;

/// What does not fit though nothing else could make room is tried again after this, in case another
/// program has given memory back.
const NO_FIT_RETRY: Duration = Duration::from_secs(30);

/// The life of a model.
#[derive(Debug)]
pub(super) enum Lifecycle {
    /// The controller fetches the model's file.
    Fetching { view: FetchView, since: Timestamp },
    /// The file is not there; the controller tries again.
    FetchFailed { why: String, retry_at: Timestamp },
    /// The file is there, and nothing is loaded.
    Unloaded,
    /// The controller has the order to load it.
    Loading { since: Timestamp },
    /// It waits for others to make room; `looks` counts how often in a row there was none.
    NoRoom { why: String, devices: Vec<Device>, since: Timestamp, looks: u32 },
    /// It does not fit, and nobody could make room.
    NoFit { why: String, retry_at: Timestamp },
    /// It has replicas. `down_since` is when the last one that takes tasks was lost.
    Serving { down_since: Option<Timestamp> },
    /// Its replicas take nothing new and finish what they have; then comes `then`.
    Emptying { then: AfterEmpty },
    /// The controller has the order to unload it.
    Unloading { then: AfterUnload },
    /// The controller puts another model in its place.
    Swapping,
    /// An operator took it out of service; nothing is loaded.
    Retired,
    /// Another model is being put in; `under` is the state of the pool without that.
    Reloading { reload: Reload, under: Box<Lifecycle> },
}

/// What follows once no task is in a replica.
#[derive(Debug)]
pub(super) enum AfterEmpty {
    /// The model is unloaded.
    Unload(AfterUnload),
    /// The controller is told so, and swaps the models.
    Swap(IdleSignal),
}

/// What follows once nothing is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterUnload {
    /// The next task loads it.
    Rest,
    /// It is loaded again: it was put back into service meanwhile.
    Load,
    /// It stays out of service.
    Retire,
}

/// A reload that is under way.
#[derive(Debug)]
pub(super) struct Reload {
    /// What is shown of it.
    pub(super) view: ReloadView,
    /// Who asked for it.
    to: ReplyTo<Result<ReloadOutcome, Refusal>>,
    /// Whether a new configuration asked for it, and not an operator.
    pub(super) by_config: bool,
    /// Whether the model is retired once it is over.
    retire: bool,
}

impl Lifecycle {
    /// The state of a pool whose controller has just been started.
    pub(super) fn at_start(now: Timestamp) -> Self {
        Self::Fetching { view: FetchView { done_bytes: 0, total_bytes: None }, since: now }
    }

    /// The state without a reload on top of it.
    pub(super) fn base(&self) -> &Self {
        match self {
            Self::Reloading { under, .. } => under.base(),
            other => other,
        }
    }

    pub(super) fn base_mut(&mut self) -> &mut Self {
        match self {
            Self::Reloading { under, .. } => under.base_mut(),
            other => other,
        }
    }

    /// The reload that is under way.
    pub(super) fn reload(&self) -> Option<&Reload> {
        match self {
            Self::Reloading { reload, .. } => Some(reload),
            _ => None,
        }
    }

    /// Whether an operator has taken the model out of service.
    pub(super) fn is_retired(&self) -> bool {
        match self {
            Self::Retired
            | Self::Emptying { then: AfterEmpty::Unload(AfterUnload::Retire) }
            | Self::Unloading { then: AfterUnload::Retire } => true,
            Self::Reloading { reload, under } => reload.retire || under.is_retired(),
            _ => false,
        }
    }

    /// Whether its replicas are on their way out: they get no new task.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.base(), Self::Emptying { .. } | Self::Unloading { .. } | Self::Swapping | Self::Retired)
    }
}

impl Pool {
    /// Whether the model is in service.
    pub(in crate::driver) fn state(&self) -> ModelState {
        let out = self.lifecycle.is_retired() || !self.is_configured();
        if out { ModelState::Retired } else { ModelState::Active }
    }

    /// Whether a reload can begin now.
    pub(in crate::driver) fn may_reload(&self) -> bool {
        self.lifecycle.reload().is_none() && !self.lifecycle.is_leaving()
    }

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
            PoolEvent::NoRoom { why, devices } => self.no_room(why, devices, now),
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
        // Where the models change places, nobody takes tasks until here.
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
    fn order_load(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if matches!(self.lifecycle.base(), Lifecycle::Unloaded | Lifecycle::NoFit { .. } | Lifecycle::Retired)
        {
            self.order(Order::Load, effects);
            self.enter(Lifecycle::Loading { since: now });
        }
    }

    /// Takes the model out of service: what runs may finish, then it is unloaded.
    pub(in crate::driver) fn retire(&mut self, effects: &mut Vec<Effect>) {
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
    pub(super) fn evict(&mut self, effects: &mut Vec<Effect>) {
        tracing::info!(pool = %self.setup.id, "unloads its model to make room for another one");
        self.empty(AfterEmpty::Unload(AfterUnload::Rest), effects);
    }

    /// Stops waiting for room, and says why there is none.
    pub(in crate::driver) fn give_up_room(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if let Lifecycle::NoRoom { why, .. } = self.lifecycle.base_mut() {
            let why = std::mem::take(why);
            self.order(Order::Unload, effects);
            self.enter(Lifecycle::NoFit { why, retry_at: now.after(NO_FIT_RETRY) });
        }
    }

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
            Lifecycle::Unloaded if self.is_wanted() => self.order_load(now, effects),
            Lifecycle::NoFit { retry_at, .. } if *retry_at <= now && self.is_wanted() => {
                self.order_load(now, effects);
            }
            Lifecycle::Serving { .. } if self.idle_until().is_some_and(|until| until <= now) => {
                tracing::info!(pool = %self.setup.id, "unloads its model: unused for `idle_unload_s`");
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
            Lifecycle::NoFit { retry_at, .. } => self.is_wanted().then_some(*retry_at),
            _ => None,
        };
        let outage = self.outage_ends().filter(|end| self.is_wanted() && *end > now);
        [idle, outage, self.replicas.next_resume()].into_iter().flatten().min()
    }

    /// When it has been idle long enough to be unloaded; nothing while it is in use.
    fn idle_until(&self) -> Option<Timestamp> {
        let idle = self.is_configured()
            && self.any_engine().is_some()
            && self.scheduler.running() == 0
            && !self.is_wanted();
        let after = self.setup.idle_unload?;
        idle.then(|| self.usage.last_used.max(self.usage.ready_since).after(after))
    }

    /// Gives the replicas nothing new; what follows comes once they are empty.
    fn empty(&mut self, then: AfterEmpty, effects: &mut Vec<Effect>) {
        for replica in self.replicas.ids() {
            self.scheduler.replica_retiring(replica);
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
    fn reopen(&mut self, now: Timestamp) {
        self.enter(Lifecycle::Serving { down_since: Some(now) });
        for replica in self.replicas.open() {
            self.scheduler.replica_open(replica);
        }
        self.replicas_changed(now);
    }

    /// When the load that is under way began.
    pub(super) fn load_began(&self) -> Option<Timestamp> {
        match self.lifecycle.base() {
            Lifecycle::Loading { since } | Lifecycle::NoRoom { since, .. } => Some(*since),
            Lifecycle::Serving { .. } => self.replicas.starting_since(),
            _ => None,
        }
    }

    /// Notes since when no replica takes tasks.
    pub(super) fn replicas_changed(&mut self, now: Timestamp) {
        let up = self.replicas.open().next().is_some();
        if let Lifecycle::Serving { down_since } = self.lifecycle.base_mut() {
            *down_since = if up { None } else { Some(down_since.unwrap_or(now)) };
        }
    }

    /// Whether a replica of this name is here.
    pub(in crate::driver) fn has(&self, replica: &ReplicaId) -> bool {
        self.replicas.has(replica)
    }

    pub(super) fn enter(&mut self, next: Lifecycle) {
        *self.lifecycle.base_mut() = next;
    }

    pub(super) fn order(&self, order: Order, effects: &mut Vec<Effect>) {
        if !self.is_closing() {
            effects.push(Effect::Order(self.key, order));
        }
    }
}
