//! How an engine's output gets into a task's log, and the reports on it to the driver. Tokens go straight
//! into the log; the driver gets an event for the first token and the end of a task, and none for those in between.
//!
//! Rules: ORCH-TASK-16

use std::sync::{Arc, Mutex, PoisonError};

use engine_api::TaskSink;
use generation::{EndReport, OutputChunk};
use tokio::sync::Notify;

use super::event::{RunId, TaskEvent};
use crate::task_log::TaskLog;

/// Reports that the driver has not read yet. Bounded by what can be reported: two items for each task that runs,
/// and as many tasks run as there are slots. An engine's thread never waits here.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: Mutex<Vec<(RunId, TaskEvent)>>,
    arrived: Notify,
}

impl Inbox {
    /// Leaves a report.
    pub(super) fn leave(&self, run: RunId, event: TaskEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push((run, event));
        self.arrived.notify_one();
    }

    /// All reports, oldest first, waiting until there is one.
    pub(super) async fn take(&self) -> Vec<(RunId, TaskEvent)> {
        loop {
            let events = std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner));
            if !events.is_empty() {
                return events;
            }
            self.arrived.notified().await;
        }
    }
}

/// The sink of one placement.
#[derive(Debug)]
pub(super) struct LogSink {
    run: RunId,
    log: Arc<TaskLog>,
    inbox: Arc<Inbox>,
    reported: Reported,
}

/// The events of a placement that were sent to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    FirstToken,
    End,
}

impl LogSink {
    /// A sink that writes to `log` and leaves reports in `inbox`.
    pub(super) fn new(run: RunId, log: Arc<TaskLog>, inbox: Arc<Inbox>) -> Self {
        Self { run, log, inbox, reported: Reported::Nothing }
    }
}

impl TaskSink for LogSink {
    fn output(&mut self, chunk: OutputChunk) {
        // Not written when the task has ended or was placed elsewhere meanwhile: the engine will have heard of it by
        // its next step.
        let written = self.log.append(self.run.run, &chunk);
        if written && self.reported == Reported::Nothing {
            self.reported = Reported::FirstToken;
            self.inbox.leave(self.run, TaskEvent::FirstToken);
        }
    }

    fn end(mut self: Box<Self>, report: EndReport) {
        self.reported = Reported::End;
        self.inbox.leave(self.run, TaskEvent::End(report));
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        if self.reported != Reported::End {
            self.inbox.leave(self.run, TaskEvent::Lost);
        }
    }
}
