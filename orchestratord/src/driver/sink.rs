//! How an engine's answer gets into a task's log, and the news of it to the driver. Tokens go straight
//! into the log; the driver hears of a task's first token and of its end, and of nothing between.

use std::sync::{Arc, Mutex, PoisonError};

use adapter_api::{EndReport, Piece, TaskSink};
use orchestrator_core::TaskId;
use tokio::sync::Notify;

use crate::task_log::TaskLog;

/// News of a running task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Its first token is there.
    FirstToken,
    /// The engine's last word.
    End(EndReport),
    /// The engine went away without one.
    Lost,
}

/// News that the driver has not read yet. Bounded by what can be said: two items for each task that runs,
/// and as many tasks run as there are slots. An engine's thread never waits here.
#[derive(Debug, Default)]
pub struct Inbox {
    news: Mutex<Vec<(RunId, News)>>,
    arrived: Notify,
}

/// One placement of one task on one engine: news of an earlier placement of the same task is told from
/// news of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// The task.
    pub task: TaskId,
    /// Which placement of it, from 1.
    pub run: u32,
}

impl Inbox {
    /// Leaves news.
    fn leave(&self, run: RunId, news: News) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push((run, news));
        self.arrived.notify_one();
    }

    /// All news, oldest first, waiting until there is some.
    pub async fn take(&self) -> Vec<(RunId, News)> {
        loop {
            let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            self.arrived.notified().await;
        }
    }
}

/// The sink of one placement.
#[derive(Debug)]
pub struct LogSink {
    run: RunId,
    log: Arc<TaskLog>,
    inbox: Arc<Inbox>,
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Tokens,
    End,
}

impl LogSink {
    /// A sink that writes to `log` and leaves news in `inbox`.
    #[must_use]
    pub fn new(run: RunId, log: Arc<TaskLog>, inbox: Arc<Inbox>) -> Self {
        Self { run, log, inbox, said: Said::Nothing }
    }
}

impl TaskSink for LogSink {
    fn tokens(&mut self, piece: Piece) {
        // Refused when the task was canceled meanwhile: the engine will have heard of it by its next step.
        let written = self.log.append_piece(&piece);
        if written && self.said == Said::Nothing {
            self.said = Said::Tokens;
            self.inbox.leave(self.run, News::FirstToken);
        }
    }

    fn end(mut self: Box<Self>, report: EndReport) {
        self.said = Said::End;
        self.inbox.leave(self.run, News::End(report));
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        if self.said != Said::End {
            self.inbox.leave(self.run, News::Lost);
        }
    }
}
