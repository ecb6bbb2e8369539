//! What the engine's handle, its jobs and its probe have in common, and the bounds of it all.
//!
//! Rules: ORCH-ENG-21

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine_api::ExitReason;
use engine_api::redact::without_folders;
use generation::{EngineError, Workload};
use orchestrator_core::TaskId;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::exchange::Client;
use crate::fault::Fault;
use crate::large;
use crate::process::Process;
use crate::progress::EventsRead;
use crate::suspension::{Proof, Suspension};
use crate::template_kwargs::TemplateKwargs;

/// Tasks at one engine at a time. The daemon never hands over more than there are slots, so that this is
/// only ever reached by a fault.
pub const MAX_TASKS: usize = 1024;

/// Inputs measured at one engine at a time; one more waits for its turn.
const MAX_MEASURES: usize = 64;

/// See the module.
pub(crate) struct Inner<D> {
    pub(crate) backend: Arc<D>,
    pub(crate) client: Client,
    /// The engine's own process, where it is managed.
    pub(crate) process: Option<Process>,
    /// What the engine is asked for where it has to show that it works.
    pub(crate) workload: Workload,
    /// What chats have that do not say it themselves.
    pub(crate) template_kwargs: TemplateKwargs,
    pub(crate) measures: Semaphore,
    /// Places for measures of large jobs.
    pub(crate) large_measures: Semaphore,
    /// Places for the requests of large jobs that are submitted, which wait for no measure.
    pub(crate) large_requests: Semaphore,
    pub(crate) gone: watch::Sender<Option<ExitReason>>,
    pub(crate) probe_wanted: Notify,
    /// Why it takes no new work; nothing while it does.
    pub(crate) suspension: watch::Sender<Option<Suspension>>,
    /// Why the managed process is being ended, where it does not end by itself.
    pub(crate) cause: OnceLock<ExitReason>,
    /// Nothing once the engine is gone.
    running: Mutex<Option<HashMap<TaskId, Running>>>,
}

/// A job that is at the engine.
struct Running {
    cancel: oneshot::Sender<()>,
    read: EventsRead,
}

/// Why a job was not taken in.
pub(crate) enum NotTaken {
    Gone,
    /// For a time, for this reason.
    Suspended(String),
    Full,
}

impl<D> Inner<D> {
    pub(crate) fn new(backend: Arc<D>, client: Client, process: Option<Process>, workload: Workload) -> Self {
        Self {
            backend,
            client,
            process,
            workload,
            template_kwargs: TemplateKwargs::default(),
            measures: Semaphore::new(MAX_MEASURES),
            large_measures: Semaphore::new(large::THREADS),
            large_requests: Semaphore::new(large::THREADS),
            gone: watch::Sender::new(None),
            probe_wanted: Notify::new(),
            suspension: watch::Sender::new(None),
            cause: OnceLock::new(),
            running: Mutex::new(Some(HashMap::new())),
        }
    }

    /// The same with what chats have that do not say it themselves.
    pub(crate) fn with_kwargs(self, template_kwargs: TemplateKwargs) -> Self {
        Self { template_kwargs, ..self }
    }

    /// Takes a job in, with what counts the events of its answer. What comes over the receiver is its cancel; an end
    /// without a word is the engine's.
    pub(crate) fn enter(&self, task: TaskId) -> Result<(oneshot::Receiver<()>, EventsRead), NotTaken> {
        let mut running = self.running();
        let running = running.as_mut().ok_or(NotTaken::Gone)?;
        if let Some(suspension) = &*self.suspension.borrow() {
            return Err(NotTaken::Suspended(suspension.reason.clone()));
        }
        if running.len() >= MAX_TASKS {
            return Err(NotTaken::Full);
        }
        let (cancel, canceled) = oneshot::channel();
        let read = EventsRead::default();
        running.insert(task, Running { cancel, read: read.clone() });
        Ok((canceled, read))
    }

    /// A job has come to its end.
    pub(crate) fn leave(&self, task: TaskId) {
        if let Some(running) = self.running().as_mut() {
            running.remove(&task);
        }
    }

    pub(crate) fn cancel(&self, task: TaskId) {
        let cancel = self.running().as_mut().and_then(|running| running.remove(&task));
        if let Some(Running { cancel, .. }) = cancel {
            // The job may have come to its end this moment.
            let _ = cancel.send(());
        }
    }

    pub(crate) fn cancel_all(&self) {
        let all = self.running().as_mut().map(std::mem::take).unwrap_or_default();
        for Running { cancel, .. } in all.into_values() {
            let _ = cancel.send(());
        }
    }

    /// The engine is gone, with the first reason given: says so, so that whoever loses a sink can see why,
    /// and then lets go of every job.
    pub(crate) fn close(&self, reason: ExitReason) {
        self.gone.send_if_modified(|gone| {
            let first = gone.is_none();
            gone.get_or_insert(reason);
            first
        });
        let running = self.running().take();
        drop(running);
        self.client.idle().clear();
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.borrow().is_some()
    }

    /// Resolves when the engine is gone.
    pub(crate) async fn until_gone(&self) -> ExitReason {
        let mut gone = self.gone.subscribe();
        let reason = gone.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.expect("the sender is held here")
    }

    /// Takes no new work from now on, until the engine shows `proof` that it is well.
    pub(crate) fn suspend(&self, reason: &str, proof: Proof) {
        if self.is_gone() {
            return;
        }
        self.suspension.send_if_modified(|suspension| match suspension {
            Some(suspension) => {
                suspension.proof = suspension.proof.max(proof);
                false
            }
            None => {
                *suspension = Some(Suspension { reason: reason.to_owned(), proof });
                true
            }
        });
    }

    /// A task failed before its first token. Unless the engine refused the task itself, that is the engine's affair: it
    /// takes no new work until it shows that it is well.
    pub(crate) fn fail_early(&self, fault: Fault) -> EngineError {
        match fault {
            Fault::Refused(text) => EngineError::Invalid(without_folders(&text)),
            Fault::Absent(text) => {
                self.suspend(&text, Proof::Health);
                EngineError::Unavailable(text)
            }
            Fault::Unready(text) => {
                self.suspend(&text, Proof::Generation);
                EngineError::Unavailable(text)
            }
            Fault::Unanswered(text)
            | Fault::Transport(text)
            | Fault::Protocol(text)
            | Fault::Failed(text) => {
                self.suspend(&text, Proof::Generation);
                EngineError::Failed(text)
            }
        }
    }

    /// Events of the answer that were read so far for a task; nothing before the first one.
    pub(crate) fn read_of(&self, task: TaskId) -> Option<u64> {
        let running = self.running();
        running.as_ref()?.get(&task).map(|running| running.read.count()).filter(|read| *read > 0)
    }

    /// Events of the answers of all tasks that run.
    pub(crate) fn read_of_all(&self) -> Vec<u64> {
        self.running().iter().flat_map(HashMap::values).map(|running| running.read.count()).collect()
    }

    fn running(&self) -> MutexGuard<'_, Option<HashMap<TaskId, Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
