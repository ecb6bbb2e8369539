//! The stop: the driver admits and starts no task, ends those that wait, and lets running ones finish until
//! `EndRunning`.

use orchestrator_core::Timestamp;

use super::task::TaskState;
use super::task_end::Ending;
use super::{Driver, Effect};
use crate::backpressure::Failure;
use crate::protocol::{Reply, ReplyTo};

/// Whether tasks are taken.
#[derive(Debug)]
pub(super) enum Mode {
    /// They are.
    Serving,
    /// They are not, and none is started. The reply is sent once no task is in an engine.
    Stopping {
        /// Where the replies go.
        idle: Vec<ReplyTo<()>>,
    },
}

impl Mode {
    /// Whether tasks are taken.
    pub(super) fn accepts(&self) -> bool {
        matches!(self, Self::Serving)
    }
}

impl Driver {
    /// No task is taken or started from here on; those that wait end now.
    pub(super) fn begin_stop(&mut self, idle: ReplyTo<()>, now: Timestamp) {
        match &mut self.mode {
            Mode::Stopping { idle: waiting } => return waiting.push(idle),
            Mode::Serving => self.mode = Mode::Stopping { idle: vec![idle] },
        }
        for id in self.tasks.ids(|task| matches!(task.state, TaskState::Waiting { .. })) {
            self.end_waiting(id, Ending::Failed(Failure::Stopping), now);
        }
    }

    /// Ends what still runs, for its readers at once and in its engine within a step.
    pub(super) fn end_running(&mut self, now: Timestamp) {
        for id in self.tasks.ids(|task| matches!(task.state, TaskState::Running(_))) {
            self.end_in_engine(id, Ending::Failed(Failure::Stopping), now);
        }
    }

    /// Sends the replies to `BeginStop` once no task runs.
    pub(super) fn settle_shutdown(&mut self) {
        if let Mode::Stopping { idle } = &mut self.mode
            && !idle.is_empty()
            && !self.tasks.any_in_engine()
        {
            let waiting = std::mem::take(idle);
            self.effects.extend(waiting.into_iter().map(|to| Effect::Reply(Reply::Stop(to))));
        }
    }
}
