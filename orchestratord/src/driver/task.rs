//! Every task the daemon knows: waiting, running, or ended and still readable. What has ended is kept for
//! a time, a number and a size, whichever is reached first.
//!
//! ```text
//! Waiting ──dispatch──► Running ──end──► Ended ──(time, number, size)──► gone
//!    │                   │   │             ▲
//!    │     lost, no token│   └──cancel──► Leaving ── the engine's report ────┐
//!    │◄──────────────────┘                                                   │
//!    └──cancel, evicted, stopping, no pool────────────► Ended ◄──────────────┘
//! ```
//!
//! Rules: ORCH-TASK-12, ORCH-TASK-14, ORCH-STREAM-6

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use engine_api::EngineKind;
use generation::GenerateRequest;
use orchestrator_core::{ReplicaId, TaskId, Timestamp, TokenCount};

use super::event::Work;
use super::views::Record;
use crate::pool_protocol::PoolKey;
use crate::protocol::Accepted;
use crate::task_log::TaskLog;

/// How much of what has ended is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How long.
    pub time: Duration,
    /// How many.
    pub tasks: usize,
    /// Bytes of answers.
    pub bytes: u64,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its pool. It is there until the task has left it.
    pub pool: PoolKey,
    /// Of its request's body.
    pub fingerprint: u64,
    /// The reply to its caller at the admission.
    pub accepted: Accepted,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// Tokens of its prompt.
    pub tokens_in: TokenCount,
    /// Its output.
    pub log: Arc<TaskLog>,
    /// The span of its log lines.
    pub span: tracing::Span,
    /// What `/v1/tasks` shows of it: its timeline and its placements.
    pub record: Record,
    /// Where it is.
    pub state: TaskState,
}

impl Task {
    /// What an engine got or will get of it; nothing once it has ended.
    #[must_use]
    pub fn job(&self) -> Option<&Arc<GenerateRequest>> {
        match &self.state {
            TaskState::Waiting { job } | TaskState::Running(Running { job, .. }) => Some(job),
            TaskState::Leaving { .. } | TaskState::Ended => None,
        }
    }

    /// Tokens of its prompt that are read, while the built-in engine reads it: that counts nothing else before the first token.
    #[must_use]
    pub fn tokens_read(&self) -> Option<TokenCount> {
        let TaskState::Running(Running { first_token_at: None, progress, .. }) = &self.state else {
            return None;
        };
        let done = progress.work.done.filter(|_| self.record.engine() == EngineKind::Llamacpp)?;
        Some(TokenCount(u32::try_from(done).unwrap_or(u32::MAX).min(self.tokens_in.0)))
    }

    /// Whether its last event has been decided.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, TaskState::Leaving { .. } | TaskState::Ended)
    }

    /// The placement that holds a slot, and where.
    #[must_use]
    pub fn placement(&self) -> Option<(&ReplicaId, &Progress)> {
        match &self.state {
            TaskState::Running(running) => Some((&running.replica, &running.progress)),
            TaskState::Leaving { replica, progress } => Some((replica, progress)),
            TaskState::Waiting { .. } | TaskState::Ended => None,
        }
    }
}

/// Where a task is.
#[derive(Debug)]
pub enum TaskState {
    /// In its pool's queue.
    Waiting {
        /// What the engine will get.
        job: Arc<GenerateRequest>,
    },
    /// In an engine.
    Running(Running),
    /// Ended for its readers, but still in an engine that has been told to end it.
    Leaving {
        /// Where.
        replica: ReplicaId,
        /// How far it was, and since when.
        progress: Progress,
    },
    /// Ended.
    Ended,
}

/// A task in an engine.
#[derive(Debug)]
pub struct Running {
    /// What the engine got, to place it again if need be.
    pub job: Arc<GenerateRequest>,
    /// Where.
    pub replica: ReplicaId,
    /// Since when.
    pub started_at: Timestamp,
    /// When its first token was there.
    pub first_token_at: Option<Timestamp>,
    /// How far this placement is. It begins anew with each one.
    pub progress: Progress,
}

/// How far a placement is, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last reading that differed from the one before it.
    pub work: Work,
    /// When that was.
    pub since: Timestamp,
}

impl Progress {
    /// Of a placement that begins now.
    #[must_use]
    pub fn begins(now: Timestamp) -> Self {
        Self { work: Work::default(), since: now }
    }

    /// Takes a reading in.
    pub fn read(&mut self, work: Work, now: Timestamp) {
        if work != self.work {
            *self = Self { work, since: now };
        }
    }
}

/// All tasks.
#[derive(Debug)]
pub struct TaskTable {
    tasks: HashMap<TaskId, Task>,
    ended: VecDeque<(Timestamp, TaskId)>,
    ended_bytes: u64,
    retention: Retention,
}

impl TaskTable {
    /// An empty table.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        Self { tasks: HashMap::new(), ended: VecDeque::new(), ended_bytes: 0, retention }
    }

    /// Another retention, from the next [`forget`](Self::forget) on.
    pub fn set_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// A task that is here.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(&task)
    }

    /// A task that is here.
    pub fn get_mut(&mut self, task: TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(&task)
    }

    /// Takes a new task in.
    pub fn insert(&mut self, id: TaskId, task: Task) {
        let before = self.tasks.insert(id, task);
        debug_assert!(before.is_none(), "a task is admitted once");
    }

    /// A task has ended: it is readable for the time of the retention from here on.
    pub fn ended(&mut self, id: TaskId, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        debug_assert!(!matches!(task.state, TaskState::Ended), "a task ends once");
        task.state = TaskState::Ended;
        task.record.add_held_bytes(size_of::<Task>());
        self.ended.push_back((now, id));
        self.ended_bytes += task.record.held_bytes();
        self.forget(now);
    }

    /// The log of a task has been closed and holds so many bytes.
    pub fn log_closed(&mut self, id: TaskId, bytes: usize, now: Timestamp) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.record.add_held_bytes(bytes);
        if matches!(task.state, TaskState::Ended) {
            self.ended_bytes += bytes as u64;
            self.forget(now);
        }
    }

    /// Forgets what has been kept long enough.
    pub fn forget(&mut self, now: Timestamp) {
        while let Some((since, id)) = self.ended.front().copied() {
            let kept_enough = since.after(self.retention.time) <= now
                || self.ended.len() > self.retention.tasks
                || self.ended_bytes > self.retention.bytes;
            if !kept_enough {
                return;
            }
            self.ended.pop_front();
            let gone = self.tasks.remove(&id).expect("what has ended is here until it is forgotten");
            self.ended_bytes -= gone.record.held_bytes();
        }
    }

    /// When [`forget`](Self::forget) will next have something to do.
    #[must_use]
    pub fn next_forget(&self) -> Option<Timestamp> {
        self.ended.front().map(|(since, ..)| since.after(self.retention.time))
    }

    /// How many there are.
    #[cfg(debug_assertions)]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Every task.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> + '_ {
        self.tasks.iter().map(|(id, task)| (*id, task))
    }

    /// Those that have ended, the last one first.
    pub fn last_ended(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ended.iter().rev().map(|(_, id)| *id)
    }

    /// How many have ended.
    #[must_use]
    pub fn ended_count(&self) -> usize {
        self.ended.len()
    }

    /// The tasks that `wanted` holds for.
    pub fn ids(&self, wanted: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        self.tasks.iter().filter(|(_, task)| wanted(task)).map(|(id, _)| *id).collect()
    }

    /// Whether any task is in an engine.
    #[must_use]
    pub fn any_in_engine(&self) -> bool {
        self.tasks.values().any(|task| task.placement().is_some())
    }
}
