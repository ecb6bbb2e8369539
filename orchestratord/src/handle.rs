//! What a request handler may ask of the driver, and nothing more. Each call is one command to the task
//! that owns queue and placement; between two commands of one admission the prompt is measured by the
//! engine, outside the driver, so that a long prompt delays no other command.
//!
//! Rules: ORCH-SHAPE-6, ORCH-REPL-16, ORCH-STREAM-9, ORCH-OAI-11

use std::sync::Arc;
use std::time::Duration;

use engine_api::admission;
use engine_api::{Engine, EngineKind, MeasureError, Measured};
use generation::Input;
use orchestrator_core::{Millis, PoolId, SessionId, TaskId};
use tokio::sync::mpsc;

use crate::backpressure::Refusal;
use crate::driver::{FAILURES_MAX, FiguresView};
use crate::health_view::HealthView;
use crate::metrics::Metrics;
use crate::pool_defaults::WithSystemPrompt;
use crate::pool_protocol::{ReloadOrder, ReloadOutcome, Rollback, RollbackCode};
use crate::protocol::{
    Admitted, Configuration, LostEngine, LostState, Measurement, PoolChanges, ReplyTo, RouteQuery, Routed,
    StayChange, SubscriptionSource,
};
use crate::state::ModelState;
use crate::task_log::LogReader;
use crate::task_view::{ClientName, TaskStory, TasksView};

mod questions;

pub use crate::protocol::{Accepted, Command, QueuePosition, TaskRequest};

/// A subscription to one task.
#[derive(Debug)]
pub struct Subscription {
    /// Where the task stands now.
    pub position: QueuePosition,
    /// The engine of its pool.
    pub engine: EngineKind,
    /// What it says.
    pub reader: LogReader,
}

impl From<SubscriptionSource> for Subscription {
    /// From the first event on.
    fn from(source: SubscriptionSource) -> Self {
        Self::from_event(&source, 0)
    }
}

impl Subscription {
    fn from_event(source: &SubscriptionSource, from: u32) -> Self {
        let SubscriptionSource { position, engine, log } = source;
        Self { position: *position, engine: *engine, reader: log.read_from(from) }
    }
}

/// A conversation as the control of its cache sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionView {
    /// Until it is forgotten, unless it is used again.
    pub ttl_remaining: Millis,
    /// Tasks of it that have ended with an answer.
    pub turns: u32,
    /// Bytes of KV cache it holds.
    pub kv_bytes: u64,
    /// How much of what it had in the cache when its last task ended is still there, 0 to 1.
    pub kv_warmth: f32,
}

/// The most commands that wait for the driver. It handles one in microseconds, so this is a burst, not a
/// queue; a handler beyond it waits for its turn.
pub const COMMAND_BOUND: usize = 1024;

/// The most engines that try to measure a task; after these it waits in the queue unmeasured.
const MEASURE_TRIES: u32 = 4;

/// How long an engine may take to measure a prompt, the waiting behind others included.
const MEASURE_LIMIT: Duration = Duration::from_secs(10);

/// What was found for a task.
enum Found {
    /// It is here already.
    Known(Accepted),
    /// A pool, with its size where an engine was there to measure it.
    Place {
        /// The pool.
        pool: PoolId,
        /// Its size.
        measurement: Measurement,
    },
}

/// Why an engine did not measure a task.
enum Unmeasured {
    /// It is lost, for now or for good.
    Lost {
        /// Which of the two.
        state: LostState,
        /// Why.
        reason: String,
        /// Whether the task may be the cause.
        counts: bool,
    },
    /// It did not within [`MEASURE_LIMIT`].
    Late,
    /// The task is at fault.
    Refused(Refusal),
}

/// What an engine measured for one task of a request. The others of the same input differ in nothing that an engine
/// looks at, and are measured once.
#[derive(Default)]
pub struct LastMeasured {
    measured: Option<(Arc<dyn Engine>, Arc<Input>, Measured)>,
    conversation: WithSystemPrompt,
}

impl LastMeasured {
    fn of(&self, engine: &Arc<dyn Engine>, input: &Arc<Input>) -> Option<Measured> {
        let (by, of, measured) = self.measured.as_ref()?;
        (Arc::ptr_eq(by, engine) && Arc::ptr_eq(of, input)).then_some(*measured)
    }
}

/// What of a request decides its pool.
fn route_of(request: &TaskRequest) -> RouteQuery {
    RouteQuery {
        task: request.id(),
        fingerprint: request.fingerprint,
        priority: request.job.priority,
        workload: request.workload(),
        model_ref: request.model_ref.clone(),
        engine: request.engine,
    }
}

/// The way to the driver. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    commands: mpsc::Sender<Command>,
    metrics: Arc<Metrics>,
}

impl DriverHandle {
    /// A handle and the end of it that the driver reads.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMAND_BOUND);
        (Self { commands, metrics }, receiver)
    }

    /// Admits a task: finds its pool, measures its prompt there, checks that it fits, queues it.
    ///
    /// # Errors
    /// Every [`Refusal`] that a task can meet.
    pub async fn submit(&self, mut request: TaskRequest) -> Result<Accepted, Refusal> {
        match self.find_place_counted(&mut request, &mut LastMeasured::default()).await? {
            Found::Known(accepted) => Ok(accepted),
            Found::Place { pool, measurement, .. } => {
                Ok(self.admit(request, pool, measurement).await?.accepted)
            }
        }
    }

    /// Admits a task as [`submit`](Self::submit) does, and subscribes to it in the same step. `measured` is what was
    /// measured for the tasks of the same request before.
    ///
    /// # Errors
    /// Every [`Refusal`] that a task can meet.
    pub async fn submit_and_subscribe(
        &self,
        mut request: TaskRequest,
        measured: &mut LastMeasured,
    ) -> Result<Subscription, Refusal> {
        match self.find_place_counted(&mut request, measured).await? {
            Found::Known(accepted) => self.subscribe(accepted.task, 0).await,
            Found::Place { pool, measurement, .. } => {
                Ok(self.admit(request, pool, measurement).await?.source.into())
            }
        }
    }

    async fn admit(
        &self,
        request: TaskRequest,
        pool: PoolId,
        measurement: Measurement,
    ) -> Result<Admitted, Refusal> {
        let request = Box::new(request);
        self.ask(|reply| Command::Admit(request, pool, measurement, reply)).await?
    }

    /// Where a task goes, cut to the room there; a refusal is counted.
    async fn find_place_counted(
        &self,
        request: &mut TaskRequest,
        last: &mut LastMeasured,
    ) -> Result<Found, Refusal> {
        let found = self.find_place(request, last).await;
        if let (
            Ok(Found::Place { measurement: Measurement { measured: Some(measured), .. }, .. }),
            Some((engine, ..)),
        ) = (&found, &last.measured)
        {
            admission::cut_to_room(Arc::make_mut(&mut request.job), *measured, engine.facts());
        }
        found.map_err(|(refusal, engine)| {
            if let Some(engine) = engine {
                self.metrics.task_rejected(engine.as_str(), refusal.verdict().code);
            }
            refusal
        })
    }

    /// Where a task goes, with the defaults of its pool, measured where an engine is there; beside a refusal the engine
    /// that found it.
    async fn find_place(
        &self,
        request: &mut TaskRequest,
        last: &mut LastMeasured,
    ) -> Result<Found, (Refusal, Option<EngineKind>)> {
        let query = route_of(request);
        let mut failures = 0;
        for tries_left in (0..MEASURE_TRIES).rev() {
            let routed = self.ask(|reply| Command::Route(query.clone(), reply)).await;
            let (pool, engine) = match routed.flatten().map_err(|refusal| (refusal, None))? {
                Routed::Known(accepted) => return Ok(Found::Known(accepted)),
                Routed::Unmeasured { pool, defaults, .. } => {
                    defaults.apply(request, &mut last.conversation);
                    let measurement = Measurement { measured: None, failures };
                    return Ok(Found::Place { pool, measurement });
                }
                Routed::Measure { pool, engine, defaults } => {
                    defaults.apply(request, &mut last.conversation);
                    (pool, engine)
                }
            };
            let kind = engine.facts().kind;
            let measured = match last.of(&engine, &request.job.input) {
                Some(measured) => Ok(measured),
                None => self.measure(request, &engine).await,
            };
            match measured {
                Ok(measured) => {
                    last.measured = Some((engine, Arc::clone(&request.job.input), measured));
                    let measurement = Measurement { measured: Some(measured), failures };
                    return Ok(Found::Place { pool, measurement });
                }
                Err(Unmeasured::Lost { state, reason, counts }) => {
                    failures += u8::from(counts);
                    let lost = Command::EngineLost(LostEngine { engine, state, reason });
                    self.commands.send(lost).await.map_err(|_| (Refusal::Stopping, None))?;
                    if failures >= FAILURES_MAX {
                        return Err((Refusal::EnginesFailed { pool }, Some(kind)));
                    }
                    if tries_left == 0 {
                        let measurement = Measurement { measured: None, failures };
                        return Ok(Found::Place { pool, measurement });
                    }
                }
                Err(Unmeasured::Late) => {
                    // What was waited in vain says how busy the engine is.
                    let retry_after = Millis::from_duration(MEASURE_LIMIT);
                    return Err((Refusal::ReplicaExhausted { pool, retry_after }, Some(kind)));
                }
                Err(Unmeasured::Refused(refusal)) => return Err((refusal, Some(kind))),
            }
        }
        unreachable!("the last try returns")
    }

    /// Checks a task against one engine: what its facts say first, for that costs nothing.
    async fn measure(&self, request: &TaskRequest, engine: &Arc<dyn Engine>) -> Result<Measured, Unmeasured> {
        let at_fault = |why| Unmeasured::Refused(Refusal::Invalid(why));
        admission::check_offer(&request.job, engine.facts()).map_err(at_fault)?;
        let measure = engine.measure(Arc::clone(&request.job));
        let measured = match tokio::time::timeout(MEASURE_LIMIT, measure).await {
            Err(_) => return Err(Unmeasured::Late),
            Ok(Err(MeasureError::Gone)) => {
                let reason = "the engine went away".to_owned();
                return Err(Unmeasured::Lost { state: LostState::Gone, reason, counts: true });
            }
            Ok(Err(MeasureError::Unavailable(reason))) => {
                return Err(Unmeasured::Lost { state: LostState::Suspended, reason, counts: false });
            }
            Ok(Err(MeasureError::Failed(reason))) => {
                return Err(Unmeasured::Lost { state: LostState::Suspended, reason, counts: true });
            }
            Ok(Err(MeasureError::Busy)) => return Err(Unmeasured::Late),
            Ok(Err(MeasureError::Invalid(what))) => return Err(Unmeasured::Refused(Refusal::Invalid(what))),
            Ok(Ok(measured)) => measured,
        };
        admission::check_fit(&request.job, measured, engine.facts()).map_err(at_fault)?;
        Ok(measured)
    }

    /// Ends a task; again the same when repeated.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a task that is not here.
    pub async fn cancel(&self, task: TaskId) -> Result<(), Refusal> {
        self.ask(|reply| Command::Cancel(task, reply)).await?
    }

    /// Subscribes to a task from event `from` on.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a task that is not here, or no longer.
    pub async fn subscribe(&self, task: TaskId, from: u32) -> Result<Subscription, Refusal> {
        let source = self.ask(|reply| Command::Subscribe(task, reply)).await??;
        Ok(Subscription::from_event(&source, from))
    }

    /// Looks at a session.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a session that is not here.
    pub async fn session(&self, session: SessionId) -> Result<SessionView, Refusal> {
        let known = self.ask(|reply| Command::Session(session, reply)).await??;
        let kv = known.home.and_then(|engine| engine.session_kv(session));
        let kv_warmth = kv.map_or(0.0, |kv| match kv.tokens_at_end.0 {
            0 => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "a share of tokens needs no more than 24 bits")]
            had => kv.tokens.0.min(had) as f32 / had as f32,
        });
        Ok(SessionView {
            ttl_remaining: known.ttl_remaining,
            turns: known.turns,
            kv_bytes: kv.map_or(0, |kv| kv.bytes),
            kv_warmth,
        })
    }

    /// Forgets a session and gives its KV cache back.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a session that is not here.
    pub async fn evict_session(&self, session: SessionId) -> Result<(), Refusal> {
        self.ask(|reply| Command::EvictSession(session, reply)).await?
    }

    /// Serves another model in a pool. Resolves when the change is made, or has failed; the inner answer is
    /// the name of the model that is served now.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a pool that is not here.
    pub async fn reload(&self, pool: PoolId, order: ReloadOrder) -> Result<ReloadOutcome, Refusal> {
        let (to, reply) = ReplyTo::new();
        self.commands.send(Command::Reload(pool, order, to)).await.map_err(|_| Refusal::Stopping)?;
        // A driver that went away meanwhile has taken the change with it.
        reply.await.unwrap_or_else(|_| {
            let message = "the daemon is stopping; nothing was changed".to_owned();
            Ok(Err(Rollback { code: RollbackCode::Stopping, message }))
        })
    }

    /// Gives the reload up that a configuration wanted of a pool: its [`reload`](Self::reload) resolves with that.
    pub async fn cancel_config_reload(&self, pool: PoolId) {
        // A driver that is gone reloads nothing.
        let _ = self.commands.send(Command::CancelConfigReload(pool)).await;
    }

    /// Serves these pools and no others from here on.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the daemon stops: nothing was changed.
    pub async fn configure(&self, new: Configuration) -> Result<PoolChanges, Refusal> {
        self.ask(|reply| Command::Configure(Box::new(new), reply)).await?
    }

    /// Changes how long a model stays loaded.
    ///
    /// # Errors
    /// [`Refusal::ModelRetired`]; [`Refusal::Stopping`]; no such pool.
    pub async fn set_model_stay(&self, pool: PoolId, change: StayChange) -> Result<(), Refusal> {
        self.ask(|reply| Command::SetModelStay(pool, change, reply)).await?
    }

    /// Takes a model out of service, or back into it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a pool that is not here.
    pub async fn set_model_state(&self, pool: PoolId, state: ModelState) -> Result<(), Refusal> {
        self.ask(|reply| Command::SetModelState(pool, state, reply)).await?
    }

    /// The tasks at this moment, at most `limit` of each kind.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] when the driver has ended.
    pub async fn tasks(&self, limit: usize) -> Result<TasksView, Refusal> {
        Ok(self.ask(|reply| Command::Tasks(limit, reply)).await?.into_view())
    }

    /// One task with what it was asked and what it says.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a task that is not here, or no longer.
    pub async fn task(&self, task: TaskId) -> Result<TaskStory, Refusal> {
        self.ask(|reply| Command::Task(task, reply)).await?.map(TaskStory::completed)
    }

    /// The daemon at this moment; nothing when its driver has ended.
    pub async fn health(&self) -> Option<HealthView> {
        self.ask(Command::Health).await.ok()
    }

    /// The last hours.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] when the driver has ended.
    pub async fn figures(&self) -> Result<FiguresView, Refusal> {
        self.ask(Command::Figures).await
    }

    /// Remembers what asked for a task; forgets it where the driver has more to do than it should.
    pub fn asked_by(&self, task: TaskId, client: ClientName) {
        let _ = self.commands.try_send(Command::AskedBy(task, client));
    }

    /// No task is taken or started from here on, and those that wait end. Resolves when none runs.
    pub async fn begin_stop(&self) {
        // A driver that is gone has nothing that runs.
        let _ = self.ask(Command::BeginStop).await;
    }

    /// Ends what still runs; each stream gets its last event.
    pub async fn end_running(&self) {
        let _ = self.ask(Command::EndRunning).await;
    }

    async fn ask<A>(&self, command: impl FnOnce(ReplyTo<A>) -> Command) -> Result<A, Refusal> {
        let (to, reply) = ReplyTo::new();
        self.commands.send(command(to)).await.map_err(|_| Refusal::Stopping)?;
        reply.await.map_err(|_| Refusal::Stopping)
    }
}
