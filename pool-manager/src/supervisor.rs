//! One replica, kept up: its task, its handle, its stop. The states are in [`crate::state`], the delays in
//! [`crate::backoff`]. This file owns the order of things: nothing is ready before its test, nothing is
//! restarted before its delay, a stop is heard in every state.
//!
//! The replica's memory: promised by its pool's controller before the supervisor is spawned, in use from `Ready` on,
//! promised still when the process dies and is restarted, released when the breaker opens, and claimed again before the
//! next start, which waits as long as others have it.
//!
//! Rules: ORCH-REPL-17, ORCH-REPL-1, ORCH-REPL-2, ORCH-REPL-3, ORCH-REPL-4, ORCH-REPL-10, ORCH-DEV-8, ORCH-ENG-21

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, EngineFactory, ExitReason, ReplicaSpec, StartError, StopOutcome};
use fastrand::Rng;
use orchestrator_core::ReplicaId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::account::MemoryAccount;
use crate::backoff::{Backoff, Breaker, Demand, RestartPolicy, Retry};
use crate::self_test::{self, SelfTestPolicy};
use crate::state::{DownReason, ReplicaEvent, ReplicaEventKind, ReplicaState};
use crate::tasks;

mod channels;
mod model_file;

use channels::{EventSender, StopSignal};
use model_file::ModelFile;

/// A good bound for the channel of events: some for each replica of a home machine.
pub const EVENTS_BOUND: usize = 256;

/// How often the file of a model that cannot be loaded is looked at.
const LOOK_AT_FILE: Duration = Duration::from_secs(2);

/// How a replica is kept up.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaPolicy {
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How it is tested before it is ready. Its first token is given as long as the load is, at least.
    pub self_test: SelfTestPolicy,
    /// The most time for starting the engine and loading the model.
    pub load_timeout: Duration,
    /// The grace at shutdown, and of a stop without a grace of its own.
    pub stop_grace: Duration,
}

impl Default for ReplicaPolicy {
    fn default() -> Self {
        Self {
            restart: RestartPolicy::default(),
            self_test: SelfTestPolicy::default(),
            load_timeout: Duration::from_secs(600),
            stop_grace: Duration::from_secs(5),
        }
    }
}

impl ReplicaPolicy {
    /// The test as it is made. What makes a load slow makes the first reading of all weights slow, too: a
    /// user who allows for the one has allowed for the other.
    fn effective_self_test(&self) -> SelfTestPolicy {
        let first_token_limit = self.self_test.first_token_limit.max(self.load_timeout);
        SelfTestPolicy { first_token_limit, ..self.self_test.clone() }
    }
}

/// What replicas are started and kept up with.
#[derive(Clone)]
pub struct ReplicaContext {
    /// What starts engines.
    pub factory: Arc<dyn EngineFactory>,
    /// How replicas are kept up.
    pub policy: ReplicaPolicy,
    /// Who holds how much memory.
    pub memory: MemoryAccount,
    /// Whether tasks wait for the replicas.
    pub demand: watch::Receiver<Demand>,
    /// The end of all replicas.
    pub shutdown: CancellationToken,
}

/// Keeps replicas up.
pub struct Supervisor;

impl Supervisor {
    /// Starts the replica and keeps it up until its handle's `stop` or drop, until `shutdown`, or until
    /// nobody listens to `events`. Must be called within a tokio runtime.
    #[must_use]
    pub fn spawn(
        spec: ReplicaSpec,
        context: &ReplicaContext,
        events: mpsc::Sender<ReplicaEvent>,
    ) -> SupervisorHandle {
        let ReplicaContext { factory, policy, memory, demand, shutdown } = context.clone();
        let replica = spec.replica.clone();
        let state = Arc::new(watch::Sender::new(ReplicaState::Starting { progress: 0.0 }));
        let (orders_tx, orders) = watch::channel(None);
        let (outcome_tx, outcome) = watch::channel(None);
        let handle = SupervisorHandle {
            replica: replica.clone(),
            state: state.subscribe(),
            orders: orders_tx,
            outcome,
        };
        let shutdown = shutdown.child_token();
        let stop = StopSignal { orders, shutdown, events: events.clone(), grace: policy.stop_grace };
        let backoff = Backoff::new(policy.restart.clone(), Rng::new());
        let sender = EventSender { replica, events, state };
        let supervised =
            Supervised { spec, factory, policy, memory, demand, sender, backoff, loaded_from: None };
        tasks::spawn(supervised.run(stop, outcome_tx));
        handle
    }
}

/// The hold on one replica. Dropping it stops the replica with the policy's grace.
#[derive(Debug)]
pub struct SupervisorHandle {
    replica: ReplicaId,
    state: watch::Receiver<ReplicaState>,
    orders: watch::Sender<Option<Duration>>,
    outcome: watch::Receiver<Option<StopOutcome>>,
}

impl SupervisorHandle {
    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// Its current state.
    #[must_use]
    pub fn state(&self) -> ReplicaState {
        self.state.borrow().clone()
    }

    /// Its state as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<ReplicaState> {
        self.state.clone()
    }

    /// Stops the replica for good: the engine is asked, and killed after `grace`. The order is given at
    /// once, whether or not the future is polled; the future says when the engine is gone. A stop that is
    /// under way is only ever made shorter. A model that is just being loaded is not waited for.
    pub fn stop(&self, grace: Duration) -> impl Future<Output = StopOutcome> + Send + 'static {
        self.orders.send_modify(|order| *order = Some(order.map_or(grace, |earlier| earlier.min(grace))));
        let mut outcome = self.outcome.clone();
        async move {
            let told = outcome.wait_for(Option::is_some).await;
            told.ok().and_then(|outcome| *outcome).unwrap_or(StopOutcome::AlreadyGone)
        }
    }
}

/// How one life of the engine ended.
enum Ended {
    /// By itself: it may be started again.
    Down { reason: DownReason, ready_for: Duration },
    /// Because a stop was asked for.
    Stopped { outcome: StopOutcome, announced: Announced },
}

/// Whether the driver was told that the engine is ready, and so has to be told that it is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    Yes,
    No,
}

/// The supervised supervised.
struct Supervised {
    spec: ReplicaSpec,
    factory: Arc<dyn EngineFactory>,
    policy: ReplicaPolicy,
    memory: MemoryAccount,
    demand: watch::Receiver<Demand>,
    sender: EventSender,
    backoff: Backoff,
    /// The model's file as it was when it was loaded last.
    loaded_from: Option<ModelFile>,
}

impl Supervised {
    async fn run(mut self, mut stop: StopSignal, told: watch::Sender<Option<StopOutcome>>) {
        let (outcome, announced) = self.until_stopped(&mut stop).await;
        tracing::info!(replica = %self.sender.replica, ?outcome, "replica stopped");
        self.memory.gone(&self.sender.replica);
        self.sender.set(ReplicaState::Exited { reason: DownReason::Stopped });
        told.send_replace(Some(outcome));
        if announced == Announced::Yes {
            self.sender.send(ReplicaEventKind::Gone { reason: ExitReason::Stopped }).await;
        }
    }

    async fn until_stopped(&mut self, stop: &mut StopSignal) -> (StopOutcome, Announced) {
        loop {
            let (reason, ready_for) = match self.one_life(stop).await {
                Ended::Stopped { outcome, announced } => return (outcome, announced),
                Ended::Down { reason, ready_for } => (reason, ready_for),
            };
            if self.back_off(stop, reason, ready_for).await.is_err() {
                return (StopOutcome::AlreadyGone, Announced::No);
            }
        }
    }

    /// From the start of an engine to its end.
    async fn one_life(&mut self, stop: &mut StopSignal) -> Ended {
        self.sender.set(ReplicaState::Starting { progress: 0.0 });
        let starting = ReplicaEventKind::Starting { progress: 0.0 };
        if self.sender.tell(stop, starting).await.is_err() {
            return Ended::Stopped { outcome: StopOutcome::AlreadyGone, announced: Announced::No };
        }
        let loaded = tokio::select! {
            biased;
            _ = stop.asked() => {
                return Ended::Stopped { outcome: StopOutcome::Killed, announced: Announced::No };
            }
            loaded = self.load() => loaded,
        };
        let engine = match loaded {
            Ok(engine) => engine,
            Err(reason) => return Ended::Down { reason, ready_for: Duration::ZERO },
        };
        // Told for certain, where progress on the way may be left out: from here on it is tested.
        self.sender.set(ReplicaState::Starting { progress: 1.0 });
        if let Err(grace) = self.sender.tell(stop, ReplicaEventKind::Starting { progress: 1.0 }).await {
            return self.retire(stop, &engine, grace, Announced::No).await;
        }
        let policy = self.policy.effective_self_test();
        let tested = tokio::select! {
            biased;
            grace = stop.asked() => return self.retire(stop, &engine, grace, Announced::No).await,
            reason = engine.gone() => Err(DownReason::Gone(reason)),
            tested = self_test::run(&engine, &policy) => tested.map_err(DownReason::SelfTest),
        };
        match tested {
            Ok(self_test) => self.serve(stop, engine, self_test).await,
            Err(reason) => {
                let _ = engine.stop(self.policy.stop_grace).await;
                Ended::Down { reason, ready_for: Duration::ZERO }
            }
        }
    }

    async fn load(&mut self) -> Result<Arc<dyn Engine>, DownReason> {
        let limit = self.policy.load_timeout;
        // As it is before the load: what is put there meanwhile is another file.
        let looking = ModelFile::look(&self.spec.model);
        let start = self.factory.start(self.spec.clone(), self.sender.progress());
        let loaded = match tokio::time::timeout(limit, start).await {
            Ok(started) => started.map_err(DownReason::Start),
            Err(_) => Err(DownReason::LoadTimeout(limit)),
        };
        if let Err(DownReason::Start(StartError::Model(_))) = &loaded {
            self.loaded_from = looking.await.ok().flatten();
        }
        loaded
    }

    /// From readiness to the end.
    async fn serve(
        &mut self,
        stop: &mut StopSignal,
        engine: Arc<dyn Engine>,
        self_test: self_test::SelfTest,
    ) -> Ended {
        let ready_at = now();
        self.memory.loaded(&self.sender.replica, engine.process());
        self.sender.set(ReplicaState::Ready);
        tracing::debug!(
            replica = %self.sender.replica,
            prefill_tps = self_test.prefill_tps,
            decode_tps = self_test.decode_tps,
            "replica ready"
        );
        let ready = ReplicaEventKind::Ready { engine: Arc::clone(&engine), self_test };
        if let Err(grace) = self.sender.tell(stop, ready).await {
            return self.retire(stop, &engine, grace, Announced::No).await;
        }
        let reason = tokio::select! {
            biased;
            grace = stop.asked() => return self.retire(stop, &engine, grace, Announced::Yes).await,
            reason = engine.gone() => reason,
            () = self.report_suspensions(&engine) => unreachable!("it reports until the engine is gone"),
        };
        self.memory.gone(&self.sender.replica);
        let ready_for = now() - ready_at;
        let gone = ReplicaEventKind::Gone { reason: reason.clone() };
        match self.sender.tell(stop, gone).await {
            Ok(()) => Ended::Down { reason: DownReason::Gone(reason), ready_for },
            Err(_) => Ended::Stopped { outcome: StopOutcome::AlreadyGone, announced: Announced::Yes },
        }
    }

    /// Tells of each time that the engine takes no new work, and of its return. Never resolves.
    async fn report_suspensions(&self, engine: &Arc<dyn Engine>) {
        loop {
            let reason = engine.suspended().await;
            tracing::warn!(replica = %self.sender.replica, reason, "replica takes no new tasks");
            self.sender.send(ReplicaEventKind::Suspended { reason }).await;
            engine.resumed().await;
            tracing::info!(replica = %self.sender.replica, "replica takes tasks again");
            self.sender.send(ReplicaEventKind::Resumed).await;
        }
    }

    async fn retire(
        &self,
        stop: &mut StopSignal,
        engine: &Arc<dyn Engine>,
        mut grace: Duration,
        announced: Announced,
    ) -> Ended {
        self.sender.set(ReplicaState::Retiring);
        loop {
            tokio::select! {
                biased;
                outcome = engine.stop(grace) => return Ended::Stopped { outcome, announced },
                shorter = stop.asked_to_hurry(grace) => grace = shorter,
            }
        }
    }

    /// Waits until it is time for the next start and there is memory for it. An error is a stop.
    async fn back_off(
        &mut self,
        stop: &mut StopSignal,
        reason: DownReason,
        ready_for: Duration,
    ) -> Result<(), Duration> {
        if let DownReason::Start(error @ StartError::Model(_)) = &reason {
            let retry = self.backoff.failed_for_good();
            self.memory.release(&self.sender.replica);
            self.log_down(&reason, retry);
            self.until_changed(stop, error, retry).await?;
        } else {
            let retry = self.backoff.failed(ready_for);
            if retry.breaker == Breaker::Open {
                self.memory.release(&self.sender.replica);
            }
            self.pause(stop, retry, &reason, std::future::pending()).await?;
        }
        let mut freed = self.memory.freed();
        loop {
            // Before the look: memory that is given back after it must be seen.
            freed.mark_unchanged();
            let Err(why) = self.memory.claim(&self.sender.replica) else { return Ok(()) };
            let retry = self.backoff.no_room();
            let room = async { _ = freed.changed().await };
            self.pause(stop, retry, &DownReason::NoRoom(why), room).await?;
        }
    }

    /// Waits for the delay or for `early`. The delay gets shorter when a task comes to wait for the replica.
    async fn pause(
        &mut self,
        stop: &mut StopSignal,
        retry: Retry,
        reason: &DownReason,
        early: impl Future<Output = ()>,
    ) -> Result<(), Duration> {
        tokio::pin!(early);
        let mut retry = retry;
        loop {
            let demand = *self.demand.borrow_and_update();
            if demand == Demand::Waiting {
                retry.delay = retry.delay.min(self.backoff.waiting_delay());
            }
            self.log_down(reason, retry);
            let until = self.down(reason, retry);
            let Retry { delay, attempt, breaker } = retry;
            let kind = ReplicaEventKind::BackingOff { delay, attempt, breaker, reason: reason.clone() };
            self.sender.tell(stop, kind).await?;
            tokio::select! {
                biased;
                grace = stop.asked() => return Err(grace),
                () = &mut early => return Ok(()),
                () = tokio::time::sleep_until(until) => return Ok(()),
                () = somebody_waits(&mut self.demand), if demand == Demand::Idle => {}
            }
            retry.delay = until.saturating_duration_since(now());
        }
    }

    /// Waits until the file of a model that cannot be loaded is another one. What is no file is tried again after the
    /// delay: nobody sees when that changes.
    async fn until_changed(
        &mut self,
        stop: &mut StopSignal,
        error: &StartError,
        retry: Retry,
    ) -> Result<(), Duration> {
        let before = self.loaded_from.clone();
        loop {
            let failed = ReplicaEventKind::Failed { error: error.clone(), retry_in: retry.delay };
            let until = self.down(&DownReason::Start(error.clone()), retry);
            self.sender.tell(stop, failed).await?;
            while now() < until {
                tokio::select! {
                    biased;
                    grace = stop.asked() => return Err(grace),
                    () = tokio::time::sleep_until(until.min(now() + LOOK_AT_FILE)) => {}
                }
                if before.is_some() && ModelFile::look(&self.spec.model).await.ok().flatten() != before {
                    tracing::info!(replica = %self.sender.replica, "the model's file has changed: loading it");
                    return Ok(());
                }
            }
            if before.is_none() {
                return Ok(());
            }
        }
    }

    fn log_down(&self, reason: &DownReason, retry: Retry) {
        let Retry { delay, attempt, breaker } = retry;
        tracing::warn!(
            replica = %self.sender.replica, %reason, attempt, ?breaker, delay_ms = delay.as_millis(),
            "replica is down"
        );
    }

    /// Notes that the replica is down, and until when.
    fn down(&self, reason: &DownReason, retry: Retry) -> Instant {
        let Retry { delay, attempt, breaker } = retry;
        let until = now() + delay;
        let reason = reason.clone();
        self.sender.set(ReplicaState::BackingOff { until, attempt, breaker, reason });
        until
    }
}

/// Resolves when tasks wait; never once the sender of the demand is gone.
async fn somebody_waits(demand: &mut watch::Receiver<Demand>) {
    if demand.wait_for(|demand| *demand == Demand::Waiting).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "delays and times of life are on tokio's clock, which tests pause"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
