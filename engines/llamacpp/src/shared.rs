//! What the engine's handle, its reader and its writer have in common, and the bounds of it all.
//!
//! Rules: ORCH-WORKER-2, ORCH-WORKER-6

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use engine_api::{ExitReason, MeasureError, QuestionAnswer, SessionKv, TaskSink};
use orchestrator_core::{SessionId, TaskId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use worker_protocol::{Pong, SessionUpdate, TaskProgress, ToWorker};

use crate::process::Process;

/// Messages that wait to be written to a worker.
pub const OUTGOING_BOUND: usize = 4096;

/// Places in the outgoing queue that only cancels and the stop may take.
pub(crate) const RESERVED_FOR_CANCELS: usize = 1024;

/// Tasks at one worker at a time. The daemon never hands over more than there are slots, so that this is
/// only ever reached by a fault.
pub const MAX_TASKS: usize = 1024;

/// Questions to one worker at a time; one more waits for its turn.
pub const MAX_QUESTIONS: usize = 256;

/// Work done for one task, as far as the worker has told.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// By its reports, which come a few times a second.
    reported: u64,
    /// Tokens that came meanwhile.
    tokens: u64,
}

/// Sessions whose figures are kept: far more than a KV cache holds.
const MAX_SESSIONS: usize = 65_536;

/// The answer to a question, or why there is none.
pub(crate) type AnswerResult = Result<QuestionAnswer, MeasureError>;

/// See the module.
pub(crate) struct Shared {
    pub(crate) process: Process,
    pub(crate) outgoing: mpsc::Sender<ToWorker>,
    pub(crate) questions: Semaphore,
    pub(crate) gone: watch::Sender<Option<ExitReason>>,
    /// Set by the first `stop`: from then on the end of the worker is what was asked for.
    pub(crate) stopping: AtomicBool,
    /// Nothing once the engine is gone.
    desk: Mutex<Option<PendingRequests>>,
    sessions: Mutex<HashMap<SessionId, SessionKv>>,
    work: Mutex<HashMap<TaskId, Work>>,
    /// The last answer to a ping.
    pub(crate) pong: watch::Sender<Option<Pong>>,
    /// Why the worker was ended, where it was because it hung.
    pub(crate) hung: OnceLock<String>,
}

/// What waits for the reader.
#[derive(Default)]
struct PendingRequests {
    /// Submitted, and not yet taken over by the reader.
    arrivals: Vec<(TaskId, Box<dyn TaskSink>)>,
    questions: HashMap<u64, oneshot::Sender<AnswerResult>>,
    next_request: u64,
}

impl Shared {
    pub(crate) fn new(process: Process, outgoing: mpsc::Sender<ToWorker>) -> Self {
        Self {
            process,
            outgoing,
            questions: Semaphore::new(MAX_QUESTIONS),
            gone: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            desk: Mutex::new(Some(PendingRequests::default())),
            sessions: Mutex::default(),
            work: Mutex::default(),
            pong: watch::Sender::new(None),
            hung: OnceLock::new(),
        }
    }

    /// Takes a sink in for the reader; gives it back when the engine is gone.
    pub(crate) fn arrive(&self, task: TaskId, sink: Box<dyn TaskSink>) -> Result<(), Box<dyn TaskSink>> {
        match lock(&self.desk).as_mut() {
            Some(desk) => {
                lock(&self.work).insert(task, Work::default());
                desk.arrivals.push((task, sink));
                Ok(())
            }
            None => Err(sink),
        }
    }

    /// Whether [`MAX_TASKS`] are here.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.work).len() >= MAX_TASKS
    }

    /// A task had its end.
    pub(crate) fn ended(&self, task: TaskId) {
        lock(&self.work).remove(&task);
    }

    /// What the worker reports of running tasks. A call that was interrupted is computed again, and does not take
    /// back what was told.
    pub(crate) fn note_progress(&self, progress: &[TaskProgress]) {
        let mut work = lock(&self.work);
        for report in progress {
            if let Some(known) = work.get_mut(&report.task) {
                known.reported = known.reported.max(report.total());
            }
        }
    }

    /// Tokens of `task` came.
    pub(crate) fn note_tokens(&self, task: TaskId, tokens: usize) {
        if let Some(known) = lock(&self.work).get_mut(&task) {
            known.tokens += tokens as u64;
        }
    }

    /// Work done for a task that is here.
    pub(crate) fn work_done(&self, task: TaskId) -> Option<u64> {
        lock(&self.work).get(&task).map(|work| work.reported.max(work.tokens))
    }

    /// The sinks that came since the last call.
    pub(crate) fn arrivals(&self) -> Vec<(TaskId, Box<dyn TaskSink>)> {
        lock(&self.desk).as_mut().map(|desk| std::mem::take(&mut desk.arrivals)).unwrap_or_default()
    }

    /// Opens a question to the worker; nothing when the engine is gone.
    pub(crate) fn ask(&self) -> Option<OpenQuestion<'_>> {
        let mut desk = lock(&self.desk);
        let desk = desk.as_mut()?;
        let request = desk.next_request;
        desk.next_request += 1;
        let (sender, answer) = oneshot::channel();
        desk.questions.insert(request, sender);
        Some(OpenQuestion { shared: self, request, answer })
    }

    /// Hands an answer to whoever asked, if they still wait.
    pub(crate) fn answer(&self, request: u64, answer: AnswerResult) {
        if let Some(waiting) = lock(&self.desk).as_mut().and_then(|desk| desk.questions.remove(&request)) {
            // Whoever asked may have gone meanwhile.
            let _ = waiting.send(answer);
        }
    }

    pub(crate) fn session(&self, session: SessionId) -> Option<SessionKv> {
        lock(&self.sessions).get(&session).copied()
    }

    pub(crate) fn update_sessions(&self, updates: Vec<SessionUpdate>) {
        if updates.is_empty() {
            return;
        }
        let mut sessions = lock(&self.sessions);
        for SessionUpdate { session, kv } in updates {
            match kv {
                Some(kv) if sessions.len() < MAX_SESSIONS || sessions.contains_key(&session) => {
                    sessions.insert(session, kv);
                }
                Some(_) => tracing::debug!(%session, "figures of a session beyond the bound are not kept"),
                None => {
                    sessions.remove(&session);
                }
            }
        }
    }

    /// The engine is gone: says so first, so that whoever loses a sink can see why, and then lets go of
    /// every sink and question.
    pub(crate) fn close(&self, reason: ExitReason) {
        self.gone.send_replace(Some(reason));
        let desk = lock(&self.desk).take();
        lock(&self.sessions).clear();
        lock(&self.work).clear();
        drop(desk);
    }
}

/// A question that waits for its answer, and is forgotten when it is dropped.
pub(crate) struct OpenQuestion<'a> {
    shared: &'a Shared,
    pub(crate) request: u64,
    answer: oneshot::Receiver<AnswerResult>,
}

impl OpenQuestion<'_> {
    pub(crate) async fn answered(mut self) -> AnswerResult {
        (&mut self.answer).await.unwrap_or(Err(MeasureError::Gone))
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        if let Some(desk) = lock(&self.shared.desk).as_mut() {
            let unanswered = desk.questions.remove(&self.request).is_some();
            // No room is no harm: the answer is computed and not used.
            if unanswered && self.shared.outgoing.capacity() > RESERVED_FOR_CANCELS {
                let _ = self.shared.outgoing.try_send(ToWorker::ForgetQuestion(self.request));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
