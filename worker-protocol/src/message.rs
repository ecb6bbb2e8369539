//! The messages of either direction.

use adapter_api::{
    EndReport, EngineFacts, Job, MeasureError, Measured, MemoryEstimate, Piece, ReplicaSpec, SessionKv,
    StartError,
};
use orchestrator_core::{SessionId, TaskId};
use serde::{Deserialize, Serialize};

/// Raised whenever a message changes: daemon and worker are one executable, so a difference means that
/// the file was replaced under a running daemon.
pub const PROTOCOL_VERSION: u16 = 3;

/// From the daemon to its worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First and once: the protocol spoken, and what to load.
    Load {
        /// [`PROTOCOL_VERSION`] of the daemon.
        protocol: u16,
        /// What to load.
        spec: ReplicaSpec,
    },
    /// Instead of [`ToWorker::Load`]: say what it would take of memory, and exit. Answered by
    /// [`FromWorker::Estimated`].
    Estimate {
        /// [`PROTOCOL_VERSION`] of the daemon.
        protocol: u16,
        /// What would be loaded.
        spec: ReplicaSpec,
    },
    /// Count the tokens of a job and find what is wrong with it. Answered by [`FromWorker::Measured`], out
    /// of order.
    Measure {
        /// Comes back with the answer.
        request: u64,
        /// The job, which is not to be decoded.
        job: Box<Job>,
    },
    /// Decode a job.
    Submit(Box<Job>),
    /// End a job within one step.
    Cancel(TaskId),
    /// Give a session's KV cache back.
    EvictSession(SessionId),
    /// End in order: running jobs are canceled.
    Stop,
}

/// From a worker to its daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// How far the model is loaded, from 0 to 1.
    Loading(f32),
    /// Loaded: jobs may come.
    Ready(Box<EngineFacts>),
    /// What loading would take of memory. The worker exits after it.
    Estimated(MemoryEstimate),
    /// Not loaded, or not to be loaded. The worker exits after it.
    LoadFailed(StartError),
    /// The answer to a [`ToWorker::Measure`].
    Measured {
        /// The number that came with the question.
        request: u64,
        /// The count, or what is wrong with the job.
        result: Result<Measured, MeasureError>,
    },
    /// All that one decode step had to say.
    Step(Step),
}

/// What one decode step had to say of all its sequences.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What became of tasks, in order for each task.
    pub tasks: Vec<TaskUpdate>,
    /// What became of sessions' caches.
    pub sessions: Vec<SessionUpdate>,
}

impl Step {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.sessions.is_empty()
    }
}

/// News of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskUpdate {
    /// The task.
    pub task: TaskId,
    /// What became of it.
    pub event: TaskEvent,
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskEvent {
    /// More of its answer.
    Tokens(Piece),
    /// Its end.
    End(EndReport),
}

/// News of one session's cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionUpdate {
    /// The session.
    pub session: SessionId,
    /// What is left of it; nothing when it is gone.
    pub kv: Option<SessionKv>,
}
