//! The life of a task. Each state owns what it needs; a transition takes one state and gives the next.
//!
//! ```text
//!            start               lost
//!  Waiting ─────────► Running ─────────► Lost ──┐
//!     ▲  │               │                │ │   │
//!     │  │ withdraw      │ end       give_up │  │
//!     │  └────────► Ended ◄───────────────┘     │
//!     └──────────────────── again ──────────────┘
//! ```

#[cfg(test)]
mod tests;

use crate::prediction::StartForecast;
use crate::queue::Ticket;
use crate::work::Work;
use crate::{Millis, Priority, ReplicaId, SessionId, TaskId, Timestamp, TokenCount};

/// A task as it asks to be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    /// The task.
    pub id: TaskId,
    /// Its lane.
    pub priority: Priority,
    /// The conversation it belongs to.
    pub session: Option<SessionId>,
    /// Tokens of context that it needs; nothing where that is not known. It goes to a replica with as many while there
    /// is one.
    pub ctx: Option<TokenCount>,
    /// Cells of a shared KV cache that are kept for it: its prompt, and a part of its answer.
    pub cells: TokenCount,
    /// Tokens of its prompt, as measured.
    pub tokens_in: TokenCount,
    /// The most tokens of its answer.
    pub max_tokens: Option<TokenCount>,
    /// How long the caller thinks the answer will be. Zero for what has no answer, an embedding.
    pub expected_tokens: Option<TokenCount>,
}

impl TaskSpec {
    pub(crate) fn work(&self) -> Work {
        Work::new(self.tokens_in, self.max_tokens, self.expected_tokens)
    }
}

/// A task that stands in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingTask {
    pub(crate) spec: TaskSpec,
    pub(crate) admitted_at: Timestamp,
    pub(crate) ticket: Ticket,
    /// What it was told at its admission; nothing for a task that has run before.
    pub(crate) said: Option<StartForecast>,
    /// When it first passed up a free slot to wait for the replica that holds its KV cache.
    pub(crate) passed_up_at: Option<Timestamp>,
}

/// A task that a replica works on.
#[derive(Clone, Debug)]
pub(crate) struct RunningTask {
    pub(crate) spec: TaskSpec,
    pub(crate) admitted_at: Timestamp,
    pub(crate) replica: ReplicaId,
    pub(crate) intent: CallerIntent,
}

/// What the caller of a running task wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerIntent {
    /// The answer.
    Answer,
    /// That it ends: the length of the answer says nothing.
    Cancel,
}

/// A task whose replica is gone: it waits for a decision, not for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostTask {
    pub(crate) spec: TaskSpec,
    pub(crate) admitted_at: Timestamp,
}

/// A task that is in the scheduler.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Waiting(WaitingTask),
    Running(RunningTask),
    Lost(LostTask),
}

/// A task that has left the scheduler. Every admitted task leaves exactly once.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// A replica has said its last word on it.
    Ran(RunningTask),
    /// It left before a replica had it, or after one lost it.
    Withdrawn,
}

impl WaitingTask {
    pub(crate) fn waited(&self, now: Timestamp) -> Millis {
        Millis::from_duration(now.since(self.admitted_at))
    }

    /// A replica takes it.
    pub(crate) fn start(self, replica: ReplicaId) -> RunningTask {
        RunningTask { spec: self.spec, admitted_at: self.admitted_at, replica, intent: CallerIntent::Answer }
    }

    /// It was canceled or evicted.
    pub(crate) fn withdraw(self) -> Ended {
        Ended::Withdrawn
    }
}

impl RunningTask {
    /// Its caller no longer wants it; the replica still has to end it.
    pub(crate) fn cancel(&mut self) {
        self.intent = CallerIntent::Cancel;
    }

    /// Its replica is gone, or gave it back.
    pub(crate) fn lost(self) -> LostTask {
        LostTask { spec: self.spec, admitted_at: self.admitted_at }
    }

    /// The replica has said its last word.
    pub(crate) fn end(self) -> Ended {
        Ended::Ran(self)
    }
}

impl LostTask {
    /// It stands in the queue again.
    pub(crate) fn again(self, ticket: Ticket) -> WaitingTask {
        WaitingTask { spec: self.spec, admitted_at: self.admitted_at, ticket, said: None, passed_up_at: None }
    }

    /// Nobody tries again.
    pub(crate) fn give_up(self) -> Ended {
        Ended::Withdrawn
    }
}
