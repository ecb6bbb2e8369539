//! What handlers and the driver exchange: commands, and the replies to them. Values only; how a command reaches the
//! driver and what a handler does with the reply is in [`crate::handle`].

use std::sync::Arc;

use config_schema::PoolConfig;
use engine_api::{Engine, EngineKind, Measured};
use generation::{Determinism, GenerateRequest, Workload};
use orchestrator_core::{KeepAlive, Millis, PoolId, Priority, SessionId, TaskId, TokenCount};
use tokio::sync::oneshot;

use crate::backpressure::Refusal;
use crate::driver::{FiguresView, PoolSetup, Retention};
use crate::health_view::HealthView;
use crate::pool_defaults::PoolDefaults;
use crate::pool_protocol::{ReloadOrder, ReloadOutcome};
use crate::state::ModelState;
use crate::task_log::TaskLog;
use crate::task_view::{ClientName, TaskRecords, TaskStory};

/// A task that has been read and checked, before anything that needs the model.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// The task as the engine will get it.
    pub job: Arc<GenerateRequest>,
    /// The model asked for; the first pool that serves the workload when absent.
    pub model_ref: Option<String>,
    /// The engine asked for.
    pub engine: Option<EngineKind>,
    /// The caller's guess of the answer's length.
    pub expected_tokens: Option<TokenCount>,
    /// How long the model is to stay loaded after it.
    pub keep_alive: Option<KeepAlive>,
    /// Of the request's body: the same id with another fingerprint is another task.
    pub fingerprint: u64,
}

impl TaskRequest {
    /// The task that is this, on any pool that serves its workload.
    #[must_use]
    pub fn new(job: GenerateRequest) -> Self {
        Self {
            job: Arc::new(job),
            model_ref: None,
            engine: None,
            expected_tokens: None,
            keep_alive: None,
            fingerprint: 0,
        }
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.job.task
    }

    /// What is asked.
    #[must_use]
    pub fn workload(&self) -> Workload {
        self.job.workload
    }

    /// Whether the seed is a promise.
    #[must_use]
    pub fn determinism(&self) -> Determinism {
        self.job.determinism
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// Tasks that start before it; 0 for one that is next, runs or has ended.
    pub queue_position: u32,
    /// Until it is expected to start; 0 for one that runs or has ended.
    pub predicted_start: Millis,
    /// Until nine in ten tasks like it have started; 0 for one that runs or has ended.
    pub predicted_start_p90: Millis,
}

/// The answer to an admitted task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub position: QueuePosition,
    /// How long a caller should wait before it submits more of the same lane; 0 while there is room.
    pub backoff: Millis,
}

/// What a subscription to one task is made from.
#[derive(Clone, Debug)]
pub struct SubscriptionSource {
    /// Where the task stands now.
    pub position: QueuePosition,
    /// The engine of its pool.
    pub engine: EngineKind,
    /// The task's log.
    pub log: Arc<TaskLog>,
}

/// A task that was admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What its caller gets.
    pub accepted: Accepted,
    /// What it can be read from.
    pub source: SubscriptionSource,
}

/// A conversation as the driver knows it.
pub struct SessionState {
    /// Until it is forgotten, unless it is used again.
    pub ttl_remaining: Millis,
    /// Tasks of it that have ended with an answer.
    pub turns: u32,
    /// The engine that holds its KV cache, where there is one.
    pub home: Option<Arc<dyn Engine>>,
}

/// The part of a task that decides its pool.
#[derive(Clone, Debug)]
pub struct RouteQuery {
    /// The task.
    pub task: TaskId,
    /// Its fingerprint, to tell a repetition from another task of the same id.
    pub fingerprint: u64,
    /// Its lane.
    pub priority: Priority,
    /// What it asks for.
    pub workload: Workload,
    /// The model it asks for.
    pub model_ref: Option<String>,
    /// The engine it asks for.
    pub engine: Option<EngineKind>,
}

/// An engine that could not measure a task.
pub struct LostEngine {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// Whether it is gone, or takes no work for now.
    pub state: LostState,
    /// Why, for the log and `/health`.
    pub reason: String,
}

/// What became of an engine that could not measure a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostState {
    /// It is gone, and the tasks in it are lost.
    Gone,
    /// It takes no new tasks until it says that it does.
    Suspended,
}

impl std::fmt::Debug for LostEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LostEngine").field("state", &self.state).field("reason", &self.reason).finish()
    }
}

/// What is known of a task when it is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Its size; nothing where no engine was there to measure it.
    pub measured: Option<Measured>,
    /// Engines that failed while they measured it.
    pub failures: u8,
}

/// Where a task goes.
pub enum Routed {
    /// It is here already.
    Known(Accepted),
    /// It goes to this pool, once this engine has measured it.
    Measure {
        /// The pool.
        pool: PoolId,
        /// A ready engine of it, with the largest context.
        engine: Arc<dyn Engine>,
        /// What holds where the task does not say otherwise.
        defaults: Arc<PoolDefaults>,
    },
    /// It goes to this pool, none of whose engines takes tasks now; one measures it when it starts.
    Unmeasured {
        /// The pool.
        pool: PoolId,
        /// Until an engine takes tasks, as far as is known.
        load_wait: Millis,
        /// What holds where the task does not say otherwise.
        defaults: Arc<PoolDefaults>,
    },
}

impl std::fmt::Debug for Routed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(accepted) => f.debug_tuple("Known").field(accepted).finish(),
            Self::Measure { pool, .. } => {
                f.debug_struct("Measure").field("pool", pool).finish_non_exhaustive()
            }
            Self::Unmeasured { pool, .. } => {
                f.debug_struct("Unmeasured").field("pool", pool).finish_non_exhaustive()
            }
        }
    }
}

/// What the driver holds of the configuration.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// How much of what has ended is kept.
    pub retention: Retention,
    /// The pools, in their order; the first one that serves a workload is the default. Of a pool that is there already,
    /// the model and the engine are those it has: they change by a reload.
    pub pools: Vec<(PoolSetup, PoolConfig)>,
}

/// What changes in how long a model stays loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StayChange {
    /// How long it stays once it is idle, as a request may ask.
    pub keep_alive: Option<KeepAlive>,
    /// Whether it is pinned.
    pub pinned: Option<bool>,
    /// Whether it is loaded now, where it is not.
    pub load: bool,
}

/// What a new configuration did to the pools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolChanges {
    /// They are new.
    pub added: Vec<PoolId>,
    /// They take no new task. They are gone once what they have has ended.
    pub removed: Vec<PoolId>,
}

/// Where the reply to a command goes. The driver keeps it and puts it into a [`Reply`]; dropped unused, it tells
/// the handler that the driver is gone.
#[derive(Debug)]
pub struct ReplyTo<T>(oneshot::Sender<T>);

impl<T> ReplyTo<T> {
    /// An address, and where the reply arrives.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Sends the reply. A handler that waits no more has gone with its client.
    pub fn send(self, reply: T) {
        let _ = self.0.send(reply);
    }
}

/// A command to the driver.
#[derive(Debug)]
pub enum Command {
    /// Which pool takes a task, and whether its lane has room.
    Route(RouteQuery, ReplyTo<Result<Routed, Refusal>>),
    /// Put a task into its queue.
    Admit(Box<TaskRequest>, PoolId, Measurement, ReplyTo<Result<Admitted, Refusal>>),
    /// Give an engine no more tasks: it could not measure one. Has no reply.
    EngineLost(LostEngine),
    /// End a task.
    Cancel(TaskId, ReplyTo<Result<(), Refusal>>),
    /// Read a task.
    Subscribe(TaskId, ReplyTo<Result<SubscriptionSource, Refusal>>),
    /// Look at a session.
    Session(SessionId, ReplyTo<Result<SessionState, Refusal>>),
    /// Forget a session and give its cache back.
    EvictSession(SessionId, ReplyTo<Result<(), Refusal>>),
    /// Serve another model in a pool. The reply comes when the change is made, or has failed.
    Reload(PoolId, ReloadOrder, ReplyTo<Result<ReloadOutcome, Refusal>>),
    /// Give the reload up that the configuration wanted of a pool: it wants the pool as it is. Has no reply.
    CancelConfigReload(PoolId),
    /// Take a model out of service, or back into it.
    SetModelState(PoolId, ModelState, ReplyTo<Result<(), Refusal>>),
    /// Change how long a model stays loaded.
    SetModelStay(PoolId, StayChange, ReplyTo<Result<(), Refusal>>),
    /// Serve these pools and no others from here on.
    Configure(Box<Configuration>, ReplyTo<Result<PoolChanges, Refusal>>),
    /// Look at the tasks, at most so many of each kind.
    Tasks(usize, ReplyTo<TaskRecords>),
    /// Look at one task. The view in the reply lacks what only the log knows: [`TaskStory::completed`].
    Task(TaskId, ReplyTo<Result<TaskStory, Refusal>>),
    /// Look at the whole.
    Health(ReplyTo<HealthView>),
    /// Look at the last hours.
    Figures(ReplyTo<FiguresView>),
    /// Remember what asked for a task. Has no reply.
    AskedBy(TaskId, ClientName),
    /// Take and start no task any more; the reply comes when none is in an engine.
    BeginStop(ReplyTo<()>),
    /// End what still runs.
    EndRunning(ReplyTo<()>),
}

/// A reply with its address.
#[derive(Debug)]
pub enum Reply {
    /// To [`Command::Route`].
    Route(ReplyTo<Result<Routed, Refusal>>, Result<Routed, Refusal>),
    /// To [`Command::Admit`].
    Admit(ReplyTo<Result<Admitted, Refusal>>, Result<Admitted, Refusal>),
    /// To [`Command::Subscribe`].
    Subscribe(ReplyTo<Result<SubscriptionSource, Refusal>>, Result<SubscriptionSource, Refusal>),
    /// To [`Command::Session`].
    Session(ReplyTo<Result<SessionState, Refusal>>, Result<SessionState, Refusal>),
    /// To [`Command::Reload`].
    Reload(ReplyTo<Result<ReloadOutcome, Refusal>>, Result<ReloadOutcome, Refusal>),
    /// To [`Command::Cancel`], [`Command::EvictSession`], [`Command::SetModelState`] and [`Command::SetModelStay`].
    Done(ReplyTo<Result<(), Refusal>>, Result<(), Refusal>),
    /// To [`Command::Configure`].
    Configure(ReplyTo<Result<PoolChanges, Refusal>>, Result<PoolChanges, Refusal>),
    /// To [`Command::Tasks`].
    Tasks(ReplyTo<TaskRecords>, TaskRecords),
    /// To [`Command::Task`].
    Task(ReplyTo<Result<TaskStory, Refusal>>, Box<Result<TaskStory, Refusal>>),
    /// To [`Command::Health`].
    Health(ReplyTo<HealthView>, HealthView),
    /// To [`Command::Figures`].
    Figures(ReplyTo<FiguresView>, FiguresView),
    /// To [`Command::BeginStop`] and [`Command::EndRunning`].
    Stop(ReplyTo<()>),
}

impl Reply {
    /// Sends it.
    pub fn send(self) {
        match self {
            Self::Route(to, reply) => to.send(reply),
            Self::Admit(to, reply) => to.send(reply),
            Self::Subscribe(to, reply) => to.send(reply),
            Self::Session(to, reply) => to.send(reply),
            Self::Reload(to, reply) => to.send(reply),
            Self::Done(to, reply) => to.send(reply),
            Self::Configure(to, reply) => to.send(reply),
            Self::Tasks(to, reply) => to.send(reply),
            Self::Task(to, reply) => to.send(*reply),
            Self::Health(to, reply) => to.send(reply),
            Self::Figures(to, reply) => to.send(reply),
            Self::Stop(to) => to.send(()),
        }
    }
}

impl std::fmt::Debug for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionState").field("turns", &self.turns).finish_non_exhaustive()
    }
}
