//! The tasks of one request while they run. They are canceled when it goes away: a client that has closed its
//! connection wants nothing any more, wherever its tasks stand.

use adapter_api::EngineKind;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, unfold};
use orchestrator_core::TaskId;

use super::refusal::{failed, not_admitted};
use crate::backpressure::Refusal;
use crate::handle::{DriverHandle, TaskRequest};
use crate::http::Api;
use crate::http::answer::Refused;
use crate::task_log::{Chunk, TaskEnd};
use crate::tasks;

/// What one of the tasks said.
#[derive(Debug)]
pub(super) enum Said {
    /// Texts of its answer, in order.
    Texts(Vec<String>),
    /// That it has ended well.
    End(TaskEnd),
    /// That it has failed.
    Failed(Refused),
}

/// One task's whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    /// What it said, a text for each of its events.
    pub(super) texts: Vec<String>,
    pub(super) end: TaskEnd,
}

impl Whole {
    /// The answer in one piece.
    pub(super) fn text(&self) -> String {
        self.texts.concat()
    }
}

/// The tasks of one request.
pub(super) struct Running {
    first: TaskId,
    logs: SelectAll<BoxStream<'static, (usize, Chunk)>>,
    engines: Vec<EngineKind>,
    unended: Unended,
}

/// Tasks that are canceled with this.
struct Unended {
    driver: DriverHandle,
    tasks: Vec<Option<TaskId>>,
}

impl Running {
    /// Admits `requests`, all of them or none.
    ///
    /// # Errors
    /// Every refusal that a task can meet, in the words of this plane.
    pub(super) async fn start(api: &Api, requests: Vec<TaskRequest>) -> Result<Self, Refused> {
        let first = requests.first().ok_or(Refusal::Internal)?.id();
        let mut unended = Unended { driver: api.driver.clone(), tasks: Vec::with_capacity(requests.len()) };
        let mut logs = SelectAll::new();
        let mut engines = Vec::with_capacity(requests.len());
        for (choice, request) in requests.into_iter().enumerate() {
            let task = request.id();
            // Before it is admitted, so that there is no moment at which it would be left behind.
            unended.tasks.push(Some(task));
            let admitted = async {
                api.driver.submit(request).await?;
                api.driver.subscribe(task, 0).await
            };
            let subscription = admitted.await.map_err(|refusal| not_admitted(api, refusal))?;
            engines.push(subscription.engine);
            let log = unfold(subscription.reader, move |mut reader| async move {
                reader.next().await.map(|chunk| ((choice, chunk), reader))
            });
            logs.push(log.boxed());
        }
        Ok(Self { first, logs, engines, unended })
    }

    /// The first of its tasks, after which the answer is named.
    pub(super) fn first(&self) -> TaskId {
        self.first
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.engines.len()
    }

    /// What is said next, and by which of the tasks. Nothing when all have ended. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<(usize, Said)> {
        let (choice, chunk) = self.logs.next().await?;
        let said = match chunk {
            Chunk::Tokens { texts, .. } => Said::Texts(texts),
            Chunk::End(end) => {
                self.unended.tasks[choice] = None;
                match &end.failure {
                    Some(failure) => Said::Failed(failed(failure, self.engines[choice])),
                    None => Said::End(end),
                }
            }
        };
        Some((choice, said))
    }

    /// All answers, whole.
    ///
    /// # Errors
    /// The first failure; what still runs is canceled.
    pub(super) async fn gather(mut self) -> Result<Vec<Whole>, Refused> {
        let mut texts: Vec<Vec<String>> = vec![Vec::new(); self.len()];
        let mut ends = vec![None; self.len()];
        while let Some((choice, said)) = self.next().await {
            match said {
                Said::Texts(more) => texts[choice].extend(more),
                Said::End(end) => ends[choice] = Some(end),
                Said::Failed(refused) => return Err(refused),
            }
        }
        let whole = |(texts, end): (Vec<String>, Option<TaskEnd>)| Some(Whole { texts, end: end? });
        let wholes: Option<Vec<_>> = texts.into_iter().zip(ends).map(whole).collect();
        wholes.ok_or_else(|| Refusal::Internal.into())
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        let left: Vec<TaskId> = self.tasks.iter().copied().flatten().collect();
        if left.is_empty() {
            return;
        }
        let driver = self.driver.clone();
        tasks::spawn(async move {
            for task in left {
                // One that was never admitted is not there, and one that has ended stays as it is.
                let _ = driver.cancel(task).await;
            }
        });
    }
}
