//! The tasks of one request while they run. They are canceled when it goes away: a client that has closed its
//! connection wants nothing any more, wherever its tasks stand.

use adapter_api::ToolCall;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, unfold};
use orchestrator_core::TaskId;
use tool_calls::ToolEvent;
use uuid::Uuid;

use super::heard::Heard;
use super::refusal::not_admitted;
use crate::backpressure::Refusal;
use crate::handle::{DriverHandle, TaskRequest};
use crate::http::Api;
use crate::http::answer::Refused;
use crate::task_log::TaskEnd;
use crate::tasks;

/// What one of the tasks said.
#[derive(Debug)]
pub(super) enum Said {
    /// Texts of its answer, in order.
    Texts(Vec<String>),
    /// What texts of an answer that may call tools turned out to be.
    Events(Vec<ToolEvent>),
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
    /// The tools it called.
    pub(super) calls: Vec<ToolCall>,
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
    logs: SelectAll<BoxStream<'static, (usize, Said)>>,
    choices: usize,
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
        let choices = requests.len();
        for (choice, request) in requests.into_iter().enumerate() {
            let task = request.id();
            let tools = &request.job.tools;
            let offered = tools.are_shown().then(|| tools.offered.clone());
            // Before it is admitted, so that there is no moment at which it would be left behind.
            unended.tasks.push(Some(task));
            let admitted = async {
                api.driver.submit(request).await?;
                api.driver.subscribe(task, 0).await
            };
            let subscription = admitted.await.map_err(|refusal| not_admitted(api, refusal))?;
            let heard = Heard::new(subscription, (task, api.driver.clone()), offered);
            let log = unfold(heard, move |mut heard| async move {
                heard.next().await.map(|said| ((choice, said), heard))
            });
            logs.push(log.boxed());
        }
        Ok(Self { first, logs, choices, unended })
    }

    /// The first of its tasks, after which the answer is named.
    pub(super) fn first(&self) -> TaskId {
        self.first
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.choices
    }

    /// What is said next, and by which of the tasks. Nothing when all have ended. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<(usize, Said)> {
        let (choice, said) = self.logs.next().await?;
        if matches!(said, Said::End(_) | Said::Failed(_)) {
            self.unended.tasks[choice] = None;
        }
        Some((choice, said))
    }

    /// All answers, whole.
    ///
    /// # Errors
    /// The first failure; what still runs is canceled.
    pub(super) async fn gather(mut self) -> Result<Vec<Whole>, Refused> {
        let mut parts: Vec<(Vec<String>, Vec<ToolCall>, Option<TaskEnd>)> = Vec::new();
        parts.resize_with(self.len(), Default::default);
        while let Some((choice, said)) = self.next().await {
            let (texts, calls, end) = &mut parts[choice];
            match said {
                Said::Texts(more) => texts.extend(more),
                Said::Events(events) => events.into_iter().for_each(|event| collect(event, texts, calls)),
                Said::End(last) => *end = Some(last),
                Said::Failed(refused) => return Err(refused),
            }
        }
        let whole = |(texts, calls, end)| Some(Whole { texts, calls, end: end? });
        let wholes: Option<Vec<_>> = parts.into_iter().map(whole).collect();
        wholes.ok_or_else(|| Refusal::Internal.into())
    }
}

/// Adds what an event says to a whole answer.
fn collect(event: ToolEvent, texts: &mut Vec<String>, calls: &mut Vec<ToolCall>) {
    match event {
        ToolEvent::Content(text) => texts.push(text),
        ToolEvent::Start { name, .. } => {
            calls.push(ToolCall { id: call_id(), name, arguments: String::new() });
        }
        ToolEvent::Arguments { text, .. } => {
            if let Some(call) = calls.last_mut() {
                call.arguments.push_str(&text);
            }
        }
        ToolEvent::End { .. } => {}
    }
}

/// A name for a call, by which its result refers to it.
pub(super) fn call_id() -> String {
    format!("call_{}", Uuid::new_v4().simple())
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
