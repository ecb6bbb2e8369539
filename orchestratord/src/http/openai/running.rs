//! The tasks of one request while they run. They are canceled when it goes away: a client that has closed its
//! connection wants nothing any more, wherever its tasks stand.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use api_types as wire;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use generation::{CallEvent, Input, OwnAnswer, OwnFields, TokenLogprob, ToolCall};
use orchestrator_core::TaskId;
use uuid::Uuid;

use super::heard::Heard;
use super::refusal::not_admitted;
use crate::backpressure::Refusal;
use crate::handle::{DriverHandle, LastMeasured, TaskRequest};
use crate::http::Api;
use crate::http::answer::Refused;
use crate::http::task_request;
use crate::task_log::TaskEnd;
use crate::tasks;

/// What one of the tasks said.
#[derive(Debug)]
pub(super) enum Said {
    /// Texts of its answer, in order.
    Texts(Vec<String>),
    /// What they turned out to be, of an answer that may call tools or is asked for more than its text.
    Told(Vec<Told>),
    /// That it has ended well.
    End(TaskEnd),
    /// That it has failed.
    Failed(Refused),
}

/// A stretch of an answer, with what it has beside its text.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) stretch: Stretch,
    pub(super) more: More,
}

/// What a stretch of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// What the model thinks before it answers.
    Thought(String),
    /// The answer itself.
    Text(String),
    /// A step of a call.
    Call(CallEvent),
}

/// What a stretch of an answer has beside its text.
#[derive(Debug, Default)]
pub(super) struct More {
    /// How probable the tokens of its text were; nothing where that was not asked for.
    pub(super) logprobs: Option<Vec<TokenLogprob>>,
    /// What the engine says with it in fields of its own.
    pub(super) own: Option<Arc<OwnAnswer>>,
}

/// About what a token takes in an answer that tells how probable it was.
const LOGPROB_BYTES: usize = 64;

/// One task's whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    /// What it said, a text for each of its events.
    pub(super) texts: Vec<String>,
    /// What it thought before.
    pub(super) thoughts: String,
    /// The tools it called.
    pub(super) calls: Vec<ToolCall>,
    /// How probable the tokens of its text were, where that was asked for.
    pub(super) logprobs: Vec<TokenLogprob>,
    /// What the engine said with it in fields of its own.
    pub(super) own: OwnAnswer,
    pub(super) end: TaskEnd,
}

impl Whole {
    /// About how many bytes it takes to tell.
    pub(super) fn bytes(&self) -> usize {
        let texts =
            self.texts.iter().map(String::len).chain(self.calls.iter().map(|call| call.arguments.len()));
        let logprobs = self.logprobs.iter().map(|of_token| LOGPROB_BYTES * (1 + of_token.top.len()));
        texts.chain(logprobs).sum::<usize>() + self.thoughts.len()
    }

    /// The answer in one piece.
    pub(super) fn text(&self) -> String {
        self.texts.concat()
    }
}

/// The tasks of one request.
pub(super) struct Running {
    first: TaskId,
    /// What each of them says, until it has ended.
    logs: Vec<Option<BoxStream<'static, Said>>>,
    /// The one that is heard first the next time.
    turn: usize,
    unended: Unended,
}

/// Tasks that are canceled with this.
struct Unended {
    driver: DriverHandle,
    tasks: Vec<Option<TaskId>>,
}

impl Running {
    /// The one `task` of a request that is answered without a word, with what only an engine may know.
    ///
    /// # Errors
    /// What is wrong with it, in the words of this plane.
    pub(super) fn task_of_inputs(
        api: &Api,
        task: wire::TaskRequest,
        own: Option<OwnFields>,
    ) -> Result<TaskRequest, Refused> {
        let task = task_request::resolve(task, &api.settings().sampler_profiles, Uuid::new_v4);
        let mut task = task.map_err(|refusal| not_admitted(api, refusal))?;
        Arc::make_mut(&mut task.job).own = own;
        Ok(task)
    }

    /// Admits `requests`, all of them or none.
    ///
    /// # Errors
    /// Every refusal that a task can meet, in the words of this plane.
    pub(super) async fn start(api: &Api, requests: Vec<TaskRequest>) -> Result<Self, Refused> {
        let first = requests.first().ok_or(Refusal::Internal)?.id();
        let mut unended = Unended { driver: api.driver.clone(), tasks: Vec::with_capacity(requests.len()) };
        let mut logs = Vec::with_capacity(requests.len());
        let mut measured = LastMeasured::default();
        for request in requests {
            let task = request.id();
            let may_call = request.job.tools.are_shown();
            let (weighed, tells_own) = (request.job.logprobs.is_some(), request.job.tells_own);
            let chats = matches!(*request.job.input, Input::Messages(_));
            // Before it is admitted, so that there is no moment at which it would be left behind.
            unended.tasks.push(Some(task));
            let admitted = api.driver.submit_and_subscribe(request, &mut measured).await;
            let subscription = admitted.map_err(|refusal| not_admitted(api, refusal))?;
            let mut heard = Heard::new(subscription, may_call);
            if weighed {
                heard.weigh();
            }
            if tells_own {
                heard.tell_own();
            }
            if chats {
                heard.tell_thoughts();
            }
            let log = unfold(heard, async |mut heard: Heard| heard.next().await.map(|said| (said, heard)));
            logs.push(Some(log.boxed()));
        }
        Ok(Self { first, logs, turn: 0, unended })
    }

    /// The first of its tasks, after which the answer is named.
    pub(super) fn first(&self) -> TaskId {
        self.first
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.logs.len()
    }

    /// What is said next, and by which of the tasks. Nothing when all have ended. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<(usize, Said)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Running::next`]. They are heard in turn, so that none has to wait until another is silent.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Said)>> {
        let (first, count) = (self.turn, self.len());
        let mut is_over = true;
        for choice in (first..count).chain(0..first) {
            let Some(log) = &mut self.logs[choice] else { continue };
            match log.poll_next_unpin(cx) {
                Poll::Ready(Some(said)) => {
                    self.turn = (choice + 1) % count;
                    if matches!(said, Said::End(_) | Said::Failed(_)) {
                        self.unended.tasks[choice] = None;
                    }
                    return Poll::Ready(Some((choice, said)));
                }
                Poll::Ready(None) => self.logs[choice] = None,
                Poll::Pending => is_over = false,
            }
        }
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }

    /// All answers, whole.
    ///
    /// # Errors
    /// The first failure; what still runs is canceled.
    pub(super) async fn gather(mut self) -> Result<Vec<Whole>, Refused> {
        let mut parts = Vec::new();
        parts.resize_with(self.len(), Part::default);
        while let Some((choice, said)) = self.next().await {
            let part = &mut parts[choice];
            match said {
                Said::Texts(more) => part.texts.extend(more),
                Said::Told(events) => {
                    for Told { stretch, more } in events {
                        part.logprobs.extend(more.logprobs.into_iter().flatten());
                        part.own = OwnAnswer::joined(part.own.take(), more.own);
                        part.collect(stretch);
                    }
                }
                Said::End(last) => part.end = Some(last),
                Said::Failed(refused) => return Err(refused),
            }
        }
        let wholes: Option<Vec<_>> = parts.into_iter().map(Part::whole).collect();
        wholes.ok_or_else(|| Refusal::Internal.into())
    }
}

/// An answer that grows.
#[derive(Default)]
struct Part {
    texts: Vec<String>,
    thoughts: String,
    calls: Vec<ToolCall>,
    logprobs: Vec<TokenLogprob>,
    own: Option<Arc<OwnAnswer>>,
    end: Option<TaskEnd>,
}

impl Part {
    /// Adds what is said.
    fn collect(&mut self, stretch: Stretch) {
        match stretch {
            Stretch::Text(text) => self.texts.push(text),
            Stretch::Thought(text) => self.thoughts.push_str(&text),
            Stretch::Call(CallEvent::Start { id, name, .. }) => {
                self.calls.push(ToolCall { id: call_id(id), name, arguments: String::new() });
            }
            Stretch::Call(CallEvent::Arguments { text, .. }) => {
                if let Some(call) = self.calls.last_mut() {
                    call.arguments.push_str(&text);
                }
            }
            Stretch::Call(CallEvent::End { .. }) => {}
        }
    }

    fn whole(self) -> Option<Whole> {
        let Self { texts, thoughts, calls, logprobs, own, end } = self;
        let mut end = end?;
        let own = OwnAnswer::joined(own, end.own.take()).map(Arc::unwrap_or_clone).unwrap_or_default();
        Some(Whole { texts, thoughts, calls, logprobs, own, end })
    }
}

/// The name of a call, by which its result refers to it: the engine's own, or a new one.
pub(super) fn call_id(told: String) -> String {
    if told.is_empty() { format!("call_{}", Uuid::new_v4().simple()) } else { told }
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
