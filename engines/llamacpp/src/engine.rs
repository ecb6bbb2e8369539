//! The handle on a running worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine_api::{
    Engine, EngineFacts, ExitReason, MeasureError, Measured, Question, QuestionAnswer, SessionKv,
    StopOutcome, TaskSink, TextAnswer, TextQuery,
};
use futures_core::future::BoxFuture;
use generation::{EndReport, EngineError, GenerateRequest};
use orchestrator_core::{SessionId, TaskId};
use worker_protocol::{MAX_FRAME_BYTES, ToWorker};

use crate::shared::{RESERVED_FOR_CANCELS, Shared};

/// What a frame may take beside the texts in it: ids, numbers, lengths.
const FRAME_OVERHEAD_BYTES: usize = 64 * 1024;

/// The most bytes of text in one message.
const MAX_TEXT_BYTES: usize = MAX_FRAME_BYTES - FRAME_OVERHEAD_BYTES;

/// A job up to this size is encoded at once; a larger one by a thread of its own.
pub(crate) const AT_ONCE_BYTES: usize = 64 * 1024;

/// A running worker. Dropping it kills the worker.
pub(crate) struct LlamacppEngine {
    facts: EngineFacts,
    shared: Arc<Shared>,
}

impl LlamacppEngine {
    pub(crate) fn new(facts: EngineFacts, shared: Arc<Shared>) -> Self {
        Self { facts, shared }
    }
}

impl Drop for LlamacppEngine {
    fn drop(&mut self) {
        self.shared.process.kill();
    }
}

impl Engine for LlamacppEngine {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn submit(&self, job: Arc<GenerateRequest>, sink: Box<dyn TaskSink>) {
        let bytes = job.bytes();
        if bytes > MAX_TEXT_BYTES {
            return sink.end(EndReport::failed(EngineError::Invalid(too_large(bytes))));
        }
        if self.shared.outgoing.is_closed() {
            return drop(sink);
        }
        let room = self.shared.outgoing.capacity() > RESERVED_FOR_CANCELS && !self.shared.is_full();
        let Some(place) = room.then(|| self.shared.outgoing.try_reserve().ok()).flatten() else {
            tracing::error!("a worker does not take its tasks");
            return sink.end(EndReport::failed(EngineError::Lost));
        };
        // The sink is there before the worker can answer. One that comes back is dropped: the engine is gone.
        if self.shared.arrive(job.task, sink).is_ok() {
            place.send(ToWorker::Submit(job));
        }
    }

    fn cancel(&self, task: TaskId) {
        if let Err(tokio::sync::mpsc::error::TrySendError::Full(_)) =
            self.shared.outgoing.try_send(ToWorker::Cancel(task))
        {
            tracing::error!("a worker does not read: it is killed");
            self.shared.process.kill();
        }
    }

    fn measure(&self, job: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>> {
        let answer = ask(Arc::clone(&self.shared), Question::Measure(job));
        Box::pin(async move {
            match answer.await? {
                QuestionAnswer::Measured(measured) => Ok(measured),
                QuestionAnswer::Text(_) => Err(off_the_point()),
            }
        })
    }

    fn text(&self, query: TextQuery) -> BoxFuture<'static, Result<TextAnswer, MeasureError>> {
        let answer = ask(Arc::clone(&self.shared), Question::Text(query));
        Box::pin(async move {
            match answer.await? {
                QuestionAnswer::Text(answer) => Ok(answer),
                QuestionAnswer::Measured(_) => Err(off_the_point()),
            }
        })
    }

    fn session_kv(&self, session: SessionId) -> Option<SessionKv> {
        self.shared.session(session)
    }

    fn evict_session(&self, session: SessionId) {
        let room = self.shared.outgoing.capacity() > RESERVED_FOR_CANCELS;
        if !room || self.shared.outgoing.try_send(ToWorker::EvictSession(session)).is_err() {
            // Nothing is lost: the cache gives way to others by itself.
            tracing::debug!(%session, "an eviction did not reach the worker");
        }
    }

    fn work_done(&self, task: TaskId) -> Option<u64> {
        self.shared.work_done(task)
    }

    fn process(&self) -> Option<u32> {
        self.shared.process.id()
    }

    fn gone(&self) -> BoxFuture<'static, ExitReason> {
        Box::pin(gone(Arc::clone(&self.shared)))
    }

    /// The worker is asked with a message, not with a signal: it ends its jobs in order, their ends still
    /// arrive, and a signal would only cut that short. Past the grace, its whole process group is killed.
    fn stop(&self, grace: Duration) -> BoxFuture<'static, StopOutcome> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.gone.borrow().is_some() {
                return StopOutcome::AlreadyGone;
            }
            if !shared.stopping.swap(true, Ordering::SeqCst) {
                // No room means that the worker does not read; the grace then ends in the kill.
                let _ = shared.outgoing.try_send(ToWorker::Stop);
            }
            if tokio::time::timeout(grace, gone(Arc::clone(&shared))).await.is_ok() {
                return StopOutcome::Ended;
            }
            shared.process.kill();
            gone(shared).await;
            StopOutcome::Killed
        })
    }
}

/// Asks the worker, among a bounded number of questions at a time.
async fn ask(shared: Arc<Shared>, question: Question) -> Result<QuestionAnswer, MeasureError> {
    let bytes = question.bytes();
    if bytes > MAX_TEXT_BYTES {
        return Err(MeasureError::Invalid(too_large(bytes)));
    }
    let _turn = shared.questions.acquire().await.expect("never closed");
    let open = shared.ask().ok_or(MeasureError::Gone)?;
    let place = shared.outgoing.reserve().await.map_err(|_| MeasureError::Gone)?;
    place.send(ToWorker::Ask { request: open.request, question });
    open.answered().await
}

/// What a worker of the same executable never does.
fn off_the_point() -> MeasureError {
    MeasureError::Failed("the worker answered another question".to_owned())
}

async fn gone(shared: Arc<Shared>) -> ExitReason {
    let mut gone = shared.gone.subscribe();
    let reason = gone.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    reason.expect("the sender is held here")
}

fn too_large(bytes: usize) -> String {
    format!("the input of {bytes} bytes is over the limit of {MAX_TEXT_BYTES}")
}
