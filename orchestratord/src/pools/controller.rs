//! The controller of one pool: one loop over orders and over what is being done. Its states are in `state.rs`.
//!
//! What an order does in each state; every cell is a test in `tests/orders.rs`:
//!
//! | state | `Load` | `Unload` | `Reload` |
//! |---|---|---|---|
//! | Unloaded | fetch, then load | `Unloaded` | tried |
//! | Fetching | loads when the file is here | canceled, `Unloaded` | tried beside; failed, the fetch goes on |
//! | FetchDelay | tries at once | canceled, `Unloaded` | tried; failed, the delay goes on |
//! | Estimating | loads when it is estimated | canceled, `Unloaded` | tried; failed, estimated anew |
//! | WaitingForRoom | waits on | canceled, `Unloaded` | tried; failed, waits on |
//! | Loaded | nothing: `Starting` or `Swapped` were sent | the replicas end, `Unloaded` | tried beside or in place |
//! | Unloading | after `Unloaded` | after `Unloaded` | after `Unloaded` |
//! | Reloading | nothing; failed and unloaded, it loads | canceled, `ReloadOver(Err)`, `Unloaded` | `ReloadOver(Err)` |
//!
//! `Preload` is a `Load` that ends in Unloaded where there is no room; where more is being done already, it changes
//! nothing. A `Reload` with new options is taken over without a try where nothing is loaded: unloaded, a pool stays so; what was
//! being done begins anew.
//!
//! `CancelReload` changes nothing but in Reloading: `ReloadOver(Err)` is sent, and the state is the one before. `Reload` in
//! Reloading breaks the rule of one reload at a time and is answered for the log's sake. A reload that has
//! succeeded makes its model the pool's in every state; what was done for the model before is dropped.
//!
//! Rules: ORCH-REPL-9, ORCH-DEV-6, ORCH-MODEL-9, ORCH-MODEL-11, ORCH-MODEL-12, ORCH-CONF-11, ORCH-CONF-12, ORCH-CONF-13

use std::sync::Arc;
use std::time::Duration;

use config_schema::PoolConfig;
use futures_util::FutureExt;
use pool_manager::fit::DeviceCandidate;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::PoolContext;
use super::fetch::{FetchPurpose, Model, ModelFile};
use super::place::Plan;
use super::reload::{self, ReloadEnd, Reloaded};
use super::resources::PoolResources;
use super::state::{AfterReload, Goal, State, Step};
use crate::pool_protocol::{Demand, Order, PoolEvent, ReloadOrder, Rollback, RollbackCode};

/// The delay before a failed fetch is tried again: at first, and at most. While tasks wait, the most is that of a
/// replica's restart.
const FETCH_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How long a pool that waits for room waits before it looks again without a signal of freed memory.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A pool's controller.
pub(super) struct PoolController {
    pool: Arc<PoolResources>,
    orders: mpsc::Receiver<Order>,
    model: Model,
    state: State,
    /// Fleets that finish what they have.
    leaving: Vec<JoinHandle<()>>,
}

impl PoolController {
    pub(super) fn new(config: PoolConfig, orders: mpsc::Receiver<Order>, context: PoolContext) -> Self {
        let model = Model { reference: config.model.clone(), sha256: config.sha256.clone() };
        let pool = Arc::new(PoolResources::new(config, context));
        Self { pool, orders, model, state: State::Unloaded, leaving: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        let shutdown = self.pool.context.shutdown.clone();
        self.fetch(if self.pool.config.preload { Goal::LoadIfRoom } else { Goal::File }, FETCH_RETRY.0);
        loop {
            tokio::select! {
                // An order goes before the end of what it makes pointless.
                biased;
                () = shutdown.cancelled() => break,
                order = self.orders.recv(), if self.state.takes_orders() => match order {
                    Some(order) => self.handle(order).await,
                    None => break,
                },
                step = self.state.step() => self.advance(step).await,
            }
            self.leaving.retain(|leaving| !leaving.is_finished());
        }
        self.finish().await;
    }

    /// Carries an order out, or begins to.
    async fn handle(&mut self, order: Order) {
        match order {
            Order::Load => self.load(),
            Order::Preload => self.preload(),
            Order::Unload => self.unload().await,
            Order::Reload(order) => self.reload(order).await,
            Order::CancelReload => {
                if let State::Reloading { cancel, .. } = &self.state {
                    cancel.cancel();
                }
            }
            Order::SetDemand(demand) => self.set_demand(demand).await,
        }
    }

    /// Goes on after something has come to its end.
    async fn advance(&mut self, step: Step) {
        let state = std::mem::replace(&mut self.state, State::Unloaded);
        match (step, state) {
            (Step::Fetched(Ok(file)), State::Fetching { goal, .. }) => self.fetched(goal, file).await,
            (Step::Fetched(Err(why)), State::Fetching { goal, retry, .. }) => {
                self.fetch_failed(goal, retry, why).await;
            }
            (Step::RetryFetch, State::FetchDelay { goal, retry, .. }) => self.fetch(goal, retry),
            (Step::Estimated(candidates), State::Estimating { goal, file, .. }) => {
                self.estimated(goal, file, candidates).await;
            }
            (Step::LookForRoom, State::WaitingForRoom { file, .. }) => self.estimate(Goal::Load, file),
            (Step::WithoutRoom, State::Loaded(loaded)) => {
                let pool = &self.pool.context.pool;
                tracing::warn!(%pool, "unloaded: its replicas failed, and others have the memory now");
                self.state = State::Unloading(loaded.end().boxed());
            }
            (Step::Unloaded, _) => self.pool.send(PoolEvent::Unloaded).await,
            (Step::ReloadOver(end), State::Reloading { then, .. }) => self.reload_over(end, then).await,
            (Step::Fetched(_) | Step::RetryFetch | Step::Estimated(_) | Step::LookForRoom, _)
            | (Step::WithoutRoom | Step::ReloadOver(_), _) => {
                unreachable!("a step comes from the state it belongs to")
            }
        }
    }

    fn load(&mut self) {
        match &mut self.state {
            State::Unloaded | State::FetchDelay { .. } => self.fetch(Goal::Load, FETCH_RETRY.0),
            State::Fetching { goal, .. } | State::Estimating { goal, .. } => *goal = Goal::Load,
            State::Reloading { then, .. } => *then = AfterReload::Load,
            State::WaitingForRoom { .. } | State::Loaded(_) | State::Unloading(_) => {}
        }
    }

    fn preload(&mut self) {
        match &mut self.state {
            State::Unloaded => self.fetch(Goal::LoadIfRoom, FETCH_RETRY.0),
            State::Fetching { goal, .. } | State::FetchDelay { goal, .. } if *goal == Goal::File => {
                *goal = Goal::LoadIfRoom;
            }
            _ => {}
        }
    }

    async fn unload(&mut self) {
        match std::mem::replace(&mut self.state, State::Unloaded) {
            State::Loaded(loaded) => self.state = State::Unloading(loaded.end().boxed()),
            State::Reloading { cancel, unload, reload, .. } => {
                unload.cancel();
                self.state = State::Reloading { cancel, unload, then: AfterReload::Unload, reload };
            }
            ending @ State::Unloading(_) => self.state = ending,
            State::Unloaded
            | State::Fetching { .. }
            | State::FetchDelay { .. }
            | State::Estimating { .. }
            | State::WaitingForRoom { .. } => self.pool.send(PoolEvent::Unloaded).await,
        }
    }

    async fn reload(&mut self, order: ReloadOrder) {
        let ReloadOrder { model: reference, sha256, options } = order;
        if let State::Reloading { .. } = self.state {
            let message = "the pool is being reloaded already".to_owned();
            let refused = Rollback { code: RollbackCode::ReloadInProgress, message };
            return self.pool.send(PoolEvent::ReloadOver(Err(refused))).await;
        }
        let model = Model { reference, sha256 };
        let pool = match options {
            None => Arc::clone(&self.pool),
            Some(options) => {
                let pool = Arc::new(self.pool.with(*options));
                if !matches!(self.state, State::Loaded(_)) {
                    return self.adopt(Reloaded { model, pool }).await;
                }
                pool
            }
        };
        tracing::info!(pool = %self.pool.context.pool, model = %model.reference, "reload");
        let before = match std::mem::replace(&mut self.state, State::Unloaded) {
            // An estimate has a limit of its own, which runs on while it is not looked at.
            State::Estimating { goal, file, .. } => self.estimating(goal, file),
            before => before,
        };
        let unload = self.pool.context.shutdown.child_token();
        let cancel = unload.child_token();
        let attempt = reload::Attempt {
            pool,
            old_pool: Arc::clone(&self.pool),
            old_model: self.model.reference.clone(),
            cancel: cancel.clone(),
            unload: unload.clone(),
        };
        let reload = attempt.run(before, model).boxed();
        self.state = State::Reloading { cancel, unload, then: AfterReload::Nothing, reload };
    }

    /// Takes over a model with new options where nothing is loaded: what is being done begins anew with them.
    async fn adopt(&mut self, Reloaded { model, pool }: Reloaded) {
        let (model_ref, engine) = (model.reference.to_string(), pool.engine());
        (self.model, self.pool) = (model, pool);
        self.pool.send(PoolEvent::Adopted { model_ref: model_ref.clone(), engine }).await;
        self.pool.send(PoolEvent::ReloadOver(Ok(model_ref))).await;
        match std::mem::replace(&mut self.state, State::Unloaded) {
            State::Fetching { goal, .. }
            | State::FetchDelay { goal, .. }
            | State::Estimating { goal, .. } => {
                self.fetch(goal, FETCH_RETRY.0);
            }
            State::WaitingForRoom { .. } => self.fetch(Goal::Load, FETCH_RETRY.0),
            state @ (State::Unloaded | State::Loaded(_) | State::Unloading(_) | State::Reloading { .. }) => {
                self.state = state;
            }
        }
    }

    async fn reload_over(&mut self, end: ReloadEnd, then: AfterReload) {
        let ReloadEnd { outcome, state, leaving } = end;
        self.state = state;
        self.leaving.extend(leaving);
        let pool = &self.pool.context.pool;
        let outcome = match outcome {
            Ok(Reloaded { model, pool: with_options }) => {
                tracing::info!(%pool, model = %model.reference, "reloaded");
                let model_ref = model.reference.to_string();
                (self.model, self.pool) = (model, with_options);
                Ok(model_ref)
            }
            Err(rollback) => {
                tracing::warn!(%pool, code = rollback.code.as_str(), reason = rollback.message, "rolled back");
                Err(rollback)
            }
        };
        self.pool.send(PoolEvent::ReloadOver(outcome)).await;
        match then {
            AfterReload::Nothing => {}
            AfterReload::Load => self.load(),
            AfterReload::Unload => self.unload().await,
        }
    }

    async fn set_demand(&mut self, demand: Demand) {
        self.pool.set_demand(demand);
        let waiting_max = self.pool.context.policy.borrow().restart.waiting_max;
        if let (Demand::Waiting, State::FetchDelay { why, until, .. }) = (demand, &mut self.state)
            && *until > now() + waiting_max
        {
            *until = now() + waiting_max;
            let failed = PoolEvent::FetchFailed { why: why.clone(), retry_in: waiting_max };
            self.pool.send(failed).await;
        }
    }

    fn fetch(&mut self, goal: Goal, retry: Duration) {
        let (pool, model) = (Arc::clone(&self.pool), self.model.clone());
        let fetch = async move { pool.fetch(&model, FetchPurpose::Load).await }.boxed();
        self.state = State::Fetching { goal, retry, fetch };
    }

    async fn fetched(&mut self, goal: Goal, file: ModelFile) {
        match goal {
            Goal::File => self.pool.send(PoolEvent::Unloaded).await,
            Goal::LoadIfRoom | Goal::Load => self.estimate(goal, file),
        }
    }

    async fn fetch_failed(&mut self, goal: Goal, retry: Duration, why: String) {
        let retry_in = match self.pool.demand() {
            Demand::Idle => retry,
            Demand::Waiting => retry.min(self.pool.context.policy.borrow().restart.waiting_max),
        };
        let (pool, model) = (&self.pool.context.pool, &self.model.reference);
        tracing::error!(%pool, %model, reason = why, retry_ms = retry_in.as_millis(), "no model");
        let retry = (retry * 2).min(FETCH_RETRY.1);
        self.state = State::FetchDelay { goal, retry, why: why.clone(), until: now() + retry_in };
        self.pool.send(PoolEvent::FetchFailed { why, retry_in }).await;
    }

    fn estimating(&self, goal: Goal, file: ModelFile) -> State {
        let (pool, model) = (Arc::clone(&self.pool), self.model.reference.clone());
        let candidates = {
            let file = file.clone();
            async move { pool.candidates(&model, &file).await }.boxed()
        };
        State::Estimating { goal, file, candidates }
    }

    fn estimate(&mut self, goal: Goal, file: ModelFile) {
        self.state = self.estimating(goal, file);
    }

    /// Starts the replicas where there is room for them.
    async fn estimated(&mut self, goal: Goal, file: ModelFile, candidates: Vec<DeviceCandidate>) {
        // Before the look: memory that is given back after it must be seen.
        let freed = self.pool.context.memory.ledger.freed();
        let short = match self.pool.plan(&file, candidates, &[]) {
            Ok(Plan { specs, reservation, placements }) => {
                self.pool.send(PoolEvent::Placed(placements)).await;
                let loaded = self.pool.start(&self.model.reference, specs, reservation).await;
                self.state = State::Loaded(loaded);
                return;
            }
            Err(short) => short,
        };
        let why = short.fit.refusal();
        self.pool.send(PoolEvent::Placed(short.fit.placements.clone())).await;
        if goal == Goal::Load {
            self.state = State::WaitingForRoom { file, look_at: now() + LOOK_AGAIN, freed };
            let (devices, never) = (short.devices, short.fit.never);
            if never {
                tracing::error!(pool = %self.pool.context.pool, reason = why, "the model does not fit this machine");
            }
            self.pool.send(PoolEvent::NoRoom { why, devices, never }).await;
        } else {
            tracing::warn!(pool = %self.pool.context.pool, reason = why, "not loaded at the start");
            self.pool.send(PoolEvent::Unloaded).await;
        }
    }

    /// Ends what is loaded and what is being done.
    async fn finish(self) {
        let Self { pool, mut state, mut leaving, .. } = self;
        if let State::Reloading { unload, reload, .. } = state {
            unload.cancel();
            let end = reload.await;
            let outcome = end.outcome.map(|reloaded| reloaded.model.reference.to_string());
            pool.send(PoolEvent::ReloadOver(outcome)).await;
            state = end.state;
            leaving.extend(end.leaving);
        }
        match state {
            State::Loaded(loaded) => loaded.end().await,
            State::Unloading(ending) => ending.await,
            State::Unloaded
            | State::Fetching { .. }
            | State::FetchDelay { .. }
            | State::Estimating { .. }
            | State::WaitingForRoom { .. }
            | State::Reloading { .. } => {}
        }
        for leaving in leaving {
            if let Err(error) = leaving.await {
                tracing::error!(%error, "a fleet did not end well");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "delays are on tokio's clock, which tests pause")]
fn now() -> Instant {
    Instant::now()
}
