//! Where a task stands before its first token: its place in the queue, then how much of its prompt is read.
//!
//! Rules: ORCH-CLI-23

use std::time::{Duration, Instant};

use api_types::{TaskState, TaskSummary};
use futures_util::{Stream, stream};
use uuid::Uuid;

use crate::api::Api;
use crate::clock;
use crate::text;

/// How often what is shown changes.
const TICK: Duration = Duration::from_secs(1);
/// Parts of a prompt after each of which a log has a line.
const PARTS: u64 = 10;

/// How much of a prompt is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Tokens that are read.
    pub read: u32,
    /// Tokens of the prompt.
    pub of: u32,
}

impl Reading {
    /// How much of a task's prompt is read, where the engine says.
    pub fn of(task: &TaskSummary) -> Option<Self> {
        let read = task.tokens_read.filter(|_| task.tokens_out == 0)?;
        Some(Self { read: read.min(task.tokens_in), of: task.tokens_in })
    }

    fn part(self) -> u64 {
        u64::from(self.read) * PARTS / u64::from(self.of.max(1))
    }
}

/// Where a task stands, as last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many tasks go before it.
    pub position: u32,
    /// When it is expected to start, as of `heard`.
    pub predicted: Duration,
    pub heard: Instant,
    /// How much of its prompt is read, where it runs and the engine says.
    pub reading: Option<Reading>,
}

impl Place {
    /// A place heard just now.
    pub fn heard_now(position: u32, predicted_start_ms: u64) -> Self {
        let predicted = Duration::from_millis(predicted_start_ms);
        Self { position, predicted, heard: clock::now(), reading: None }
    }

    /// The place of a task that was looked at just now.
    pub fn of(task: &TaskSummary) -> Self {
        let place = match task.state {
            TaskState::Waiting => {
                Self::heard_now(task.queue_position.unwrap_or(0), task.predicted_start_ms.unwrap_or(0))
            }
            TaskState::Running | TaskState::Ended => Self::heard_now(0, 0),
        };
        Self { reading: Reading::of(task), ..place }
    }

    /// Whether a log, where each line stays, has to hear of `later`.
    pub fn is_news(&self, later: &Self) -> bool {
        let part = |place: &Self| place.reading.map(Reading::part);
        self.position != later.position || part(self) != part(later)
    }

    /// Whether there is nothing left to wait for in the queue.
    pub const fn is_running(&self) -> bool {
        self.position == 0 && self.predicted.is_zero()
    }

    /// What a person reads at `now`.
    pub fn describe(&self, now: Instant) -> String {
        if let Some(Reading { read, of }) = self.reading {
            return format!("the model reads the prompt: {read} of {of} tokens (Ctrl-C cancels)");
        }
        if self.is_running() {
            return "the model reads the prompt (Ctrl-C cancels)".to_owned();
        }
        let position = match self.position {
            0 => "next in the queue".to_owned(),
            before => format!("in the queue: {} before it", text::count(before.into(), "task")),
        };
        let left = self.predicted.saturating_sub(now.saturating_duration_since(self.heard));
        if left.is_zero() {
            format!("{position}, starts any moment (Ctrl-C cancels)")
        } else {
            format!("{position}, starts in about {} (Ctrl-C cancels)", text::countdown(left))
        }
    }
}

/// Ticks before a task's first token: with the task where the daemon says, with nothing otherwise.
pub fn ticks(api: &Api, id: Uuid) -> impl Stream<Item = Option<TaskSummary>> + use<'_> {
    stream::unfold((), move |()| async move {
        tokio::time::sleep(TICK).await;
        Some((api.task(id).await.ok(), ()))
    })
}

#[cfg(test)]
mod tests;
