//! Every task the daemon knows: waiting, running, or ended and still readable. What has ended is kept for
//! a time, a number and a size, whichever is reached first.
//!
//! ```text
//! Waiting ──dispatch──► Running ──end──► Ended ──(time, number, size)──► gone
//!    │                   │   │             ▲
//!    │     lost, no token│   └──cancel──► Leaving ── the engine's last word ─┐
//!    │◄──────────────────┘                                                   │
//!    └──cancel, evicted, stopping─────────────────────► Ended ◄──────────────┘
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use adapter_api::Job;
use orchestrator_core::{ReplicaId, TaskId, Timestamp, TokenCount};

use super::views::Record;
use crate::handle::Accepted;
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
    /// Its pool, by its place in the driver's list.
    pub pool: usize,
    /// Of its request's body.
    pub fingerprint: u64,
    /// What its caller was told.
    pub accepted: Accepted,
    /// When it was admitted.
    pub admitted_at: Timestamp,
    /// Tokens of its prompt.
    pub tokens_in: TokenCount,
    /// What it has said.
    pub log: Arc<TaskLog>,
    /// Engines that died with it.
    pub deaths: u8,
    /// Placements so far.
    pub runs: u32,
    /// What is remembered of it.
    pub record: Record,
    /// Where it is.
    pub state: TaskState,
}

impl Task {
    /// What an engine got or will get of it; nothing once it has ended.
    #[must_use]
    pub fn job(&self) -> Option<&Arc<Job>> {
        match &self.state {
            TaskState::Waiting { job } | TaskState::Running { job, .. } => Some(job),
            TaskState::Leaving { .. } | TaskState::Ended => None,
        }
    }
}

/// Where a task is.
#[derive(Debug)]
pub enum TaskState {
    /// In its pool's queue.
    Waiting {
        /// What the engine will get.
        job: Arc<Job>,
    },
    /// In an engine.
    Running {
        /// What the engine got, to place it again if need be.
        job: Arc<Job>,
        /// Where.
        replica: ReplicaId,
        /// Since when.
        started_at: Timestamp,
        /// When its first token was there.
        first_token_at: Option<Timestamp>,
    },
    /// Ended for its readers, but still in an engine that has been told to end it.
    Leaving {
        /// Where.
        replica: ReplicaId,
    },
    /// Ended.
    Ended,
}

/// All tasks.
#[derive(Debug)]
pub struct TaskTable {
    tasks: HashMap<TaskId, Task>,
    ended: VecDeque<(Timestamp, TaskId, u64)>,
    ended_bytes: u64,
    retention: Retention,
}

impl TaskTable {
    /// An empty table.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        Self { tasks: HashMap::new(), ended: VecDeque::new(), ended_bytes: 0, retention }
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
        task.state = TaskState::Ended;
        let bytes = (task.log.bytes() + task.record.held_bytes() + size_of::<Task>()) as u64;
        self.ended.push_back((now, id, bytes));
        self.ended_bytes += bytes;
        self.forget(now);
    }

    /// Forgets what has been kept long enough.
    pub fn forget(&mut self, now: Timestamp) {
        while let Some((since, id, bytes)) = self.ended.front().copied() {
            let kept_enough = since.after(self.retention.time) <= now
                || self.ended.len() > self.retention.tasks
                || self.ended_bytes > self.retention.bytes;
            if !kept_enough {
                return;
            }
            self.ended.pop_front();
            self.ended_bytes -= bytes;
            self.tasks.remove(&id);
        }
    }

    /// When [`forget`](Self::forget) will next have something to do.
    #[must_use]
    pub fn next_forget(&self) -> Option<Timestamp> {
        self.ended.front().map(|(since, ..)| since.after(self.retention.time))
    }

    /// Every task.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> + '_ {
        self.tasks.iter().map(|(id, task)| (*id, task))
    }

    /// Those that have ended, the last one first.
    pub fn last_ended(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ended.iter().rev().map(|(_, id, _)| *id)
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
        self.tasks
            .values()
            .any(|task| matches!(task.state, TaskState::Running { .. } | TaskState::Leaving { .. }))
    }
}
