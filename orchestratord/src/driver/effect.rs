//! What the driver decides, as values. [`DriverTask`](super::DriverTask) performs them in order; a test reads them.
//!
//! Rules: ORCH-SHAPE-5

use std::sync::Arc;

use config_schema::PoolConfig;
use engine_api::Engine;
use generation::GenerateRequest;
use orchestrator_core::{PoolId, Priority, ReplicaId, SessionId, TaskId};

use super::event::RunId;
use crate::backpressure::Code;
use crate::metrics::PoolLabels;
use crate::pool_protocol::{IdleSignal, Order, PoolKey};
use crate::protocol::Reply;
use crate::task_log::{TaskEnd, TaskLog};

/// Something to do.
pub enum Effect {
    /// Send a reply.
    Reply(Reply),
    /// Give a job to an engine. What the engine writes goes into `log`, as this run.
    Submit {
        /// The placement.
        run: RunId,
        /// The job.
        job: Arc<GenerateRequest>,
        /// The engine.
        engine: Arc<dyn Engine>,
        /// Whether the engine goes on behind what is written already.
        continues: bool,
        /// Where the output goes.
        log: Arc<TaskLog>,
        /// The span of the task.
        span: tracing::Span,
    },
    /// Have an engine end a task.
    Cancel {
        /// The task.
        task: TaskId,
        /// The engine.
        engine: Arc<dyn Engine>,
        /// The span of the task.
        span: tracing::Span,
    },
    /// Take nothing more into a log from the run that writes it.
    Fence(Arc<TaskLog>),
    /// Write the last event of a task. Answered by [`Event::LogClosed`](super::Event::LogClosed).
    CloseLog {
        /// The task.
        task: TaskId,
        /// Its log.
        log: Arc<TaskLog>,
        /// The last event.
        end: TaskEnd,
        /// Whether `end.tokens_out` is replaced by what was written.
        tokens_out: TokensOut,
        /// The span of the task.
        span: tracing::Span,
    },
    /// Let go of the job of a task that has ended.
    Discard(Arc<GenerateRequest>),
    /// Have an engine give back the KV cache of a session.
    EvictSession {
        /// The session.
        session: SessionId,
        /// The engine.
        engine: Arc<dyn Engine>,
    },
    /// End an engine that hangs: ask, wait the grace, kill.
    EndEngine {
        /// Its replica.
        replica: ReplicaId,
        /// The engine.
        engine: Arc<dyn Engine>,
    },
    /// Read how far these runs are. Answered by [`Event::Progress`](super::Event::Progress).
    ReadProgress(Vec<(RunId, Arc<dyn Engine>, Arc<TaskLog>)>),
    /// Start the controller of a new pool.
    OpenPool(PoolKey, Box<PoolConfig>),
    /// Give an order to the controller of a pool.
    Order(PoolKey, Order),
    /// End the controller of a pool. Answered by [`PoolEvent::Closed`](crate::pool_protocol::PoolEvent::Closed).
    ClosePool(PoolKey),
    /// Tell a controller that replicas are idle.
    Signal(IdleSignal),
    /// Count something.
    Count(Count),
}

/// Where the number of tokens of an ended task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokensOut {
    /// The engine's report.
    Reported,
    /// What is in the log.
    Written,
}

/// Something that a metric counts.
#[derive(Clone, Debug)]
pub enum Count {
    /// A task entered the queue of a pool.
    Enqueued(Arc<PoolLabels>, Priority),
    /// A task was rejected, by the name of its engine.
    Rejected(&'static str, Code),
    /// A task ended on a replica with so many tokens in and out.
    Tokens(Arc<PoolLabels>, ReplicaId, u64, u64),
    /// A pool is gone, and its series with it.
    PoolGone(PoolId),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply(reply) => f.debug_tuple("Reply").field(reply).finish(),
            Self::Submit { run, .. } => f.debug_tuple("Submit").field(run).finish(),
            Self::Cancel { task, .. } => f.debug_tuple("Cancel").field(task).finish(),
            Self::Fence(_) => f.write_str("Fence"),
            Self::CloseLog { task, end, .. } => {
                f.debug_struct("CloseLog").field("task", task).field("end", end).finish()
            }
            Self::Discard(job) => f.debug_tuple("Discard").field(&job.task).finish(),
            Self::EvictSession { session, .. } => f.debug_tuple("EvictSession").field(session).finish(),
            Self::EndEngine { replica, .. } => f.debug_tuple("EndEngine").field(replica).finish(),
            Self::ReadProgress(runs) => f.debug_tuple("ReadProgress").field(&runs.len()).finish(),
            Self::OpenPool(pool, _) => f.debug_tuple("OpenPool").field(pool).finish(),
            Self::ClosePool(pool) => f.debug_tuple("ClosePool").field(pool).finish(),
            Self::Order(pool, order) => f.debug_tuple("Order").field(pool).field(order).finish(),
            Self::Signal(_) => f.write_str("Signal"),
            Self::Count(count) => f.debug_tuple("Count").field(count).finish(),
        }
    }
}
