//! The handle on an engine, and the life of one job at it.
//!
//! Rules: ORCH-ERR-7, ORCH-ENG-3, ORCH-ENG-6

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use engine_api::admission::{check_fit, check_offer, cut_to_room};
use engine_api::redact::without_folders;
use engine_api::{
    Engine, EngineFacts, ExitReason, MeasureError, Measured, SessionKv, StopOutcome, TaskSink, TextAnswer,
    TextQuery,
};
use futures_core::future::BoxFuture;
use generation::{EndReport, EngineError, Finish, GenerateRequest, MaxTokensMode};
use orchestrator_core::{Millis, SessionId, TaskId, TokenCount};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::backend::{Call, Ending, HttpBackend, Last};
use crate::clock;
use crate::delivery::Delivery;
use crate::estimate::estimated_tokens;
use crate::exchange::Incoming;
use crate::fault::Fault;
use crate::inner::{Inner, NotTaken};
use crate::large;
use crate::suspension::Proof;
use crate::{relay, tasks};

/// An engine that speaks HTTP. Dropping it ends its jobs and its process.
pub(crate) struct HttpEngine<D> {
    facts: EngineFacts,
    inner: Arc<Inner<D>>,
}

impl<D> HttpEngine<D> {
    pub(crate) fn new(facts: EngineFacts, inner: Arc<Inner<D>>) -> Self {
        Self { facts, inner }
    }
}

impl<D> Drop for HttpEngine<D> {
    fn drop(&mut self) {
        match &self.inner.process {
            Some(process) => process.kill(),
            None => self.inner.close(ExitReason::Stopped),
        }
    }
}

impl<D: HttpBackend> Engine for HttpEngine<D> {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn process(&self) -> Option<u32> {
        self.inner.process.as_ref().and_then(crate::process::Process::id)
    }

    fn submit(&self, job: Arc<GenerateRequest>, sink: Box<dyn TaskSink>) {
        if let Err(fault) = check_offer(&job, &self.facts) {
            return sink.end(EndReport::failed(EngineError::Invalid(fault)));
        }
        match self.inner.enter(job.task) {
            Ok((canceled, read)) => {
                let job = self.inner.template_kwargs.given_to(job);
                let inner = Arc::clone(&self.inner);
                let most = job.max_tokens.unwrap_or(job.ctx.unwrap_or(self.facts.ctx));
                let delivery = Delivery::new(sink, read).of(&job, most);
                let unmeasured = (job.max_tokens_mode == MaxTokensMode::Ceiling).then(|| self.facts.clone());
                tasks::spawn(run(inner, (job, unmeasured), delivery, canceled).in_current_span());
            }
            Err(NotTaken::Gone) => drop(sink),
            Err(NotTaken::Suspended(reason)) => sink.end(EndReport::failed(EngineError::Unavailable(reason))),
            Err(NotTaken::Full) => {
                tracing::error!("an engine has more tasks than it can have");
                sink.end(EndReport::failed(EngineError::Lost));
            }
        }
    }

    fn cancel(&self, task: TaskId) {
        self.inner.cancel(task);
    }

    fn measure(&self, job: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
        let inner = Arc::clone(&self.inner);
        let checked = check_offer(&job, &self.facts);
        Box::pin(async move {
            checked.map_err(MeasureError::Invalid)?;
            let job = inner.template_kwargs.given_to(job);
            let bytes = job.bytes();
            let measure = Arc::clone(&inner.backend).measure(inner.client.clone(), job);
            ask(inner, bytes, measure).await
        })
    }

    fn text(&self, query: TextQuery) -> BoxFuture<'static, Result<TextAnswer, MeasureError>> {
        let inner = Arc::clone(&self.inner);
        let query = match query {
            TextQuery::ApplyTemplate(job) => TextQuery::ApplyTemplate(inner.template_kwargs.given_to(job)),
            query => query,
        };
        let (bytes, text) = (query.bytes(), Arc::clone(&inner.backend).text(inner.client.clone(), query));
        Box::pin(ask(inner, bytes, text))
    }

    fn session_kv(&self, session: SessionId) -> Option<SessionKv> {
        if self.inner.is_gone() { None } else { self.inner.backend.session_kv(session) }
    }

    fn evict_session(&self, session: SessionId) {
        self.inner.backend.evict_session(session);
    }

    fn work_done(&self, task: TaskId) -> Option<u64> {
        self.inner.read_of(task)
    }

    fn suspended(&self) -> BoxFuture<'static, String> {
        let mut suspension = self.inner.suspension.subscribe();
        Box::pin(async move {
            let suspended = suspension.wait_for(Option::is_some).await;
            match suspended.ok().and_then(|suspension| suspension.as_ref().map(|why| why.reason.clone())) {
                Some(reason) => reason,
                // The engine is gone.
                None => std::future::pending().await,
            }
        })
    }

    fn resumed(&self) -> BoxFuture<'static, ()> {
        let mut suspension = self.inner.suspension.subscribe();
        Box::pin(async move {
            if suspension.wait_for(Option::is_none).await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn gone(&self) -> BoxFuture<'static, ExitReason> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.until_gone().await })
    }

    /// An attached engine goes on running: only its jobs are ended here.
    fn stop(&self, grace: Duration) -> BoxFuture<'static, StopOutcome> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            if inner.is_gone() {
                return StopOutcome::AlreadyGone;
            }
            inner.cancel_all();
            let Some(process) = &inner.process else {
                inner.close(ExitReason::Stopped);
                return StopOutcome::Ended;
            };
            let _ = inner.cause.set(ExitReason::Stopped);
            process.terminate();
            if tokio::time::timeout(grace, inner.until_gone()).await.is_ok() {
                return StopOutcome::Ended;
            }
            process.kill();
            inner.until_gone().await;
            StopOutcome::Killed
        })
    }
}

/// Has the server answer a question of so many bytes, among a bounded number at a time.
async fn ask<D: HttpBackend, T: Send + 'static>(
    inner: Arc<Inner<D>>,
    bytes: usize,
    answer: BoxFuture<'static, Result<T, Fault>>,
) -> Result<T, MeasureError> {
    let _turn = inner.measures.acquire().await.expect("never closed");
    if inner.is_gone() {
        return Err(MeasureError::Gone);
    }
    large::run(&inner.large_measures, bytes, answer).await.map_err(|fault| match fault {
        Fault::Refused(text) => MeasureError::Invalid(without_folders(&text)),
        fault => {
            tracing::warn!(engine = D::NAME, %fault, "an input could not be measured");
            match fault {
                _ if inner.is_gone() => MeasureError::Gone,
                Fault::Absent(why) | Fault::Unanswered(why) | Fault::Unready(why) => {
                    inner.suspend(&why, Proof::Health);
                    MeasureError::Unavailable(why)
                }
                fault => {
                    inner.probe_wanted.notify_one();
                    MeasureError::Failed(fault.to_string())
                }
            }
        }
    })
}

/// How a job came to its end.
enum End {
    Last(Last),
    Canceled,
    Fault(Fault),
    /// The engine is gone.
    Lost,
}

/// One job from its arrival to its end.
async fn run<D: HttpBackend>(
    inner: Arc<Inner<D>>,
    (job, unmeasured): (Arc<GenerateRequest>, Option<EngineFacts>),
    mut delivery: Delivery,
    mut canceled: oneshot::Receiver<()>,
) {
    let arrived = clock::now();
    let (task, most, guessed) = (job.task, job.max_tokens, estimated_tokens(&job.input));
    let mut rest = None;
    let end = {
        let mut answer = std::pin::pin!(async {
            match cut(&inner, job, unmeasured.as_ref()).await {
                Ok(job) => answer(&inner, job, &mut delivery).await,
                Err(fault) => (Err(fault), None),
            }
        });
        poll_fn(|cx| {
            if let Poll::Ready(word) = std::pin::Pin::new(&mut canceled).poll(cx) {
                return Poll::Ready(if word.is_ok() { End::Canceled } else { End::Lost });
            }
            answer.as_mut().poll(cx).map(|(last, incoming)| {
                rest = incoming;
                last.map_or_else(End::Fault, End::Last)
            })
        })
        .await
    };
    let finish = match &end {
        End::Last(last) => match last.ending {
            Ending::Stop => Finish::Stop,
            Ending::Length => Finish::Length,
            Ending::Unsaid if most.is_some_and(|most| delivery.tokens >= most.0) => Finish::Length,
            Ending::Unsaid => Finish::Stop,
        },
        End::Canceled => Finish::Canceled,
        End::Lost => return,
        End::Fault(fault @ Fault::Refused(_)) => Finish::Failed(inner.fail_early(fault.clone())),
        End::Fault(fault) => {
            tracing::warn!(engine = D::NAME, %fault, "a task failed at its engine");
            if delivery.first.is_none() {
                Finish::Failed(inner.fail_early(fault.clone()))
            } else {
                if let Fault::Transport(why) = fault {
                    inner.suspend(why, Proof::Generation);
                }
                Finish::Failed(fault.clone().into_late_error())
            }
        }
    };
    inner.leave(task);
    let mut last = if let End::Last(last) = end { last } else { Last::default() };
    if delivery.first.is_some() {
        // An engine that does not count, or was not let to its end.
        last.tokens_in.get_or_insert(guessed);
    }
    let report = report(finish, last, &mut delivery, arrived);
    delivery.sink.end(report);
    if let Some(rest) = rest {
        inner.client.keep(rest).await;
    }
}

fn report(finish: Finish, last: Last, delivery: &mut Delivery, arrived: Instant) -> EndReport {
    let now = clock::now();
    let first = delivery.first.unwrap_or(now);
    EndReport {
        finish,
        tokens_in: last.tokens_in.unwrap_or_default(),
        tokens_cached: last.tokens_cached.unwrap_or_default(),
        tokens_out: last.tokens_out.unwrap_or(TokenCount(delivery.tokens)),
        tokens_reasoning: last.tokens_reasoning,
        stop_text: last.stop_text,
        prefill_ms: last.prefill.unwrap_or_else(|| Millis::from_duration(first - arrived)),
        decode_ms: last.decode.unwrap_or_else(|| Millis::from_duration(now - first)),
        extra: delivery.take_extra(),
    }
}

/// The job with its ceiling cut to what the context holds, where it was admitted before the server could measure it.
async fn cut<D: HttpBackend>(
    inner: &Inner<D>,
    mut job: Arc<GenerateRequest>,
    facts: Option<&EngineFacts>,
) -> Result<Arc<GenerateRequest>, Fault> {
    let Some(facts) = facts.filter(|_| job.max_tokens.is_some()) else { return Ok(job) };
    let measure = Arc::clone(&inner.backend).measure(inner.client.clone(), Arc::clone(&job));
    let measured = large::run(&inner.large_measures, job.bytes(), measure).await?;
    check_fit(&job, measured, facts).map_err(Fault::Refused)?;
    cut_to_room(Arc::make_mut(&mut job), measured, facts);
    Ok(job)
}

/// The answer to `job`, and the connection that it came over where that may carry another one.
pub(crate) async fn answer<D: HttpBackend>(
    inner: &Inner<D>,
    job: Arc<GenerateRequest>,
    delivery: &mut Delivery,
) -> (Result<Last, Fault>, Option<Incoming>) {
    let client = &inner.client;
    let begun = async {
        let bytes = job.bytes();
        let prepare = Arc::clone(&inner.backend).prepare(client.clone(), job);
        let Call { path, body, reading } = large::run(&inner.large_requests, bytes, prepare).await?;
        Ok((client.start(&path, &body).await?, reading))
    };
    match begun.await {
        Ok((mut opened, reading)) => {
            let last = relay::relay(client, &mut opened, reading, delivery).await;
            let incoming = opened.incoming;
            let persists = incoming.persists && (last.is_ok() || incoming.framing.is_over());
            (last, persists.then_some(incoming))
        }
        Err(fault) => (Err(fault), None),
    }
}
