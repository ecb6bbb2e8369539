//! The tasks of one request while they run. They are canceled when it goes away: a client that has closed its
//! connection wants nothing any more, wherever its tasks stand.
//!
//! Rules: ORCH-OAI-1, ORCH-OAI-5

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use generation::{ExtraBody, GenerateRequest, Input, Workload};
use orchestrator_core::TaskId;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::ReasoningPlace;
use super::output::{OutputReader, Update};
use super::refused::not_admitted;
use super::routing::Lane;
use crate::backpressure::Refusal;
use crate::handle::{DriverHandle, LastMeasured, TaskRequest};
use crate::http::Api;
use crate::http::answer::Refused;
use crate::http::task_request;
use crate::task_log::TaskLog;
use crate::tasks;

/// The tasks of one request.
pub(in crate::http) struct Generation {
    first: TaskId,
    /// What each of them says, until it has ended.
    logs: Vec<Option<BoxStream<'static, Update>>>,
    /// The one that is heard first the next time.
    turn: usize,
    /// The log of the first, whose prompt is that of all.
    log: Arc<TaskLog>,
    unended: Unended,
}

/// Tasks that are canceled with this.
struct Unended {
    driver: DriverHandle,
    tasks: Vec<Option<TaskId>>,
}

/// The task of a request that is answered without a word.
pub(in crate::http) fn of_inputs(
    workload: Workload,
    model: String,
    lane: Lane,
    inputs: Vec<String>,
) -> TaskRequest {
    let task = TaskId(Uuid::new_v4());
    let generate = GenerateRequest {
        workload,
        priority: lane.priority(),
        seed: task_request::seed_of(task),
        ..GenerateRequest::new(task, Input::Inputs(inputs))
    };
    TaskRequest { model_ref: Some(model), ..TaskRequest::new(generate) }
}

impl Generation {
    /// The one `task` of a request that is answered without a word, with what only an engine may know.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::http) fn task_of_inputs(
        api: &Api,
        mut task: TaskRequest,
        extra_body: Option<ExtraBody>,
    ) -> Result<TaskRequest, Refused> {
        Arc::make_mut(&mut task.job).extra_body = extra_body;
        task_request::check(task).map_err(|refusal| not_admitted(api, refusal))
    }

    /// Admits `requests`, all of them or none.
    ///
    /// # Errors
    /// Every refusal that a task can meet.
    pub(in crate::http) async fn start(
        api: &Api,
        requests: Vec<TaskRequest>,
        reasoning: ReasoningPlace,
    ) -> Result<Self, Refused> {
        let first = requests.first().ok_or(Refusal::Internal)?.id();
        let mut unended = Unended { driver: api.driver.clone(), tasks: Vec::with_capacity(requests.len()) };
        let mut logs = Vec::with_capacity(requests.len());
        let mut measured = LastMeasured::default();
        let mut first_log = None;
        for request in requests {
            let task = request.id();
            let job = Arc::clone(&request.job);
            // Before it is admitted, so that there is no moment at which it would be left behind.
            unended.tasks.push(Some(task));
            let admitted = api.driver.submit_and_subscribe(request, &mut measured).await;
            let subscription = admitted.map_err(|refusal| not_admitted(api, refusal))?;
            first_log.get_or_insert_with(|| Arc::clone(subscription.reader.log()));
            let reader = OutputReader::new(subscription, &job, reasoning);
            let log = unfold(reader, async |mut reader: OutputReader| {
                reader.next().await.map(|update| (update, reader))
            });
            logs.push(Some(log.boxed()));
        }
        let log = first_log.ok_or(Refusal::Internal)?;
        Ok(Self { first, logs, turn: 0, log, unended })
    }

    /// The log of the first of its tasks, whose prompt is that of all.
    pub(super) fn log(&self) -> &Arc<TaskLog> {
        &self.log
    }

    /// The first of its tasks, after which the answer is named.
    pub(in crate::http) fn first(&self) -> TaskId {
        self.first
    }

    /// How many they are.
    pub(in crate::http) fn len(&self) -> usize {
        self.logs.len()
    }

    /// What is said next, and by which of the tasks. Nothing when all have ended. Safe to drop and call again.
    pub(in crate::http) async fn next(&mut self) -> Option<(usize, Update)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Generation::next`]. They are heard in turn, so that none has to wait until another is silent.
    pub(in crate::http) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Update)>> {
        let (first, count) = (self.turn, self.len());
        let mut is_over = true;
        for choice in (first..count).chain(0..first) {
            let Some(log) = &mut self.logs[choice] else { continue };
            match log.poll_next_unpin(cx) {
                Poll::Ready(Some(update)) => {
                    self.turn = (choice + 1) % count;
                    if matches!(update, Update::End(_) | Update::Failed(_)) {
                        self.unended.tasks[choice] = None;
                    }
                    return Poll::Ready(Some((choice, update)));
                }
                Poll::Ready(None) => self.logs[choice] = None,
                Poll::Pending => is_over = false,
            }
        }
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }
}

/// Whether the arguments of a call were written to their end: one that was cut must not look like one to run.
pub(in crate::http) fn is_complete(arguments: &str) -> bool {
    // Ones that are no JSON are the model's fault, and for its client to tell it.
    let is_cut = serde_json::from_str::<IgnoredAny>(arguments).is_err_and(|error| error.is_eof());
    arguments.is_empty() || !is_cut
}

/// The name of a call, by which its result refers to it: the engine's own, or a new one.
pub(in crate::http) fn tool_call_id(engines_own: String) -> String {
    if engines_own.is_empty() { format!("call_{}", Uuid::new_v4().simple()) } else { engines_own }
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
