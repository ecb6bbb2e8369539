//! The messages of either direction.
//!
//! Rules: ORCH-WORKER-2

use std::sync::Arc;

use engine_api::{
    EngineFacts, MeasureError, MemoryEstimate, Question, QuestionAnswer, ReplicaSpec, SessionKv, StartError,
};
use generation::{EndReport, GenerateRequest, OutputChunk};
use orchestrator_core::{SessionId, TaskId};
use serde::{Deserialize, Serialize};

/// Raised whenever a message changes: daemon and worker are one executable, so a difference means that
/// the file was replaced under a running daemon.
pub const PROTOCOL_VERSION: u16 = 11;

/// The exit code of a worker that ends because one of its threads hangs.
pub const EXIT_HUNG: i32 = 5;

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
    /// Answer a question beside the tasks. Answered by [`FromWorker::Answered`], out of order.
    Ask {
        /// Comes back with the answer.
        request: u64,
        /// What is asked.
        question: Question,
    },
    /// Decode a job.
    Submit(#[serde(with = "generation::shared")] Arc<GenerateRequest>),
    /// End a job within one step.
    Cancel(TaskId),
    /// Give a session's KV cache back.
    EvictSession(SessionId),
    /// Forget a [`ToWorker::Ask`] whose answer nobody waits for any more.
    ForgetQuestion(u64),
    /// Show that you live. Answered by [`FromWorker::Pong`], out of order.
    Ping(u64),
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
    /// The answer to a [`ToWorker::Ask`].
    Answered {
        /// Of the question.
        request: u64,
        /// The answer, or why there is none.
        result: Result<QuestionAnswer, MeasureError>,
    },
    /// All that one decode step had to say.
    Step(Step),
    /// How much work has been done for running tasks: a few times a second, also while a step goes on.
    Progress(Vec<TaskProgress>),
    /// The answer to a [`ToWorker::Ping`], by the thread that reads the channel.
    Pong(Pong),
}

/// Work done for one task so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// The task.
    pub task: TaskId,
    /// Prompt tokens read, or found in the KV cache.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub generated_tokens: u32,
    /// Inputs embedded or scored.
    pub inputs: u32,
    /// Steps in which it could not go on, because others have the room in the KV cache: its worker lives.
    pub pauses: u32,
}

impl TaskProgress {
    /// All of it as one count.
    #[must_use]
    pub fn total(&self) -> u64 {
        u64::from(self.prompt_tokens)
            + u64::from(self.generated_tokens)
            + u64::from(self.inputs)
            + u64::from(self.pauses)
    }
}

/// Whether the threads of a worker live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The number that came with the ping.
    pub ping: u64,
    /// Milliseconds since the thread that computes last gave a sign of life; 0 while it waits for work.
    pub silent_ms: u64,
    /// Milliseconds after which it is taken to hang, computed from its own longest silences.
    pub limit_ms: u64,
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
    Output(OutputChunk),
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
