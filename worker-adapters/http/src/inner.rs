//! What the engine's handle, its jobs and its probe have in common, and the bounds of it all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use adapter_api::ExitReason;
use orchestrator_core::TaskId;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use crate::exchange::Client;
use crate::process::Process;

/// Tasks at one engine at a time. The daemon never hands over more than there are slots, so that this is
/// only ever reached by a fault.
pub const MAX_TASKS: usize = 1024;

/// Inputs measured at one engine at a time; one more waits for its turn.
const MAX_MEASURES: usize = 64;

/// See the module.
pub(crate) struct Inner<D> {
    pub(crate) dialect: Arc<D>,
    pub(crate) client: Client,
    /// The engine's own process, where it is managed.
    pub(crate) process: Option<Process>,
    pub(crate) measures: Semaphore,
    pub(crate) gone: watch::Sender<Option<ExitReason>>,
    pub(crate) pulse: Pulse,
    /// Why the managed process is being ended, where it does not end by itself.
    pub(crate) cause: OnceLock<ExitReason>,
    /// Nothing once the engine is gone.
    running: Mutex<Option<HashMap<TaskId, oneshot::Sender<()>>>>,
}

/// What the probe and those who wait for its word share.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Asks for a probe at once.
    pub(crate) wanted: Notify,
    /// Probes begun, and the number of the last one that found the engine well.
    pub(crate) found: watch::Sender<Found>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) begun: u64,
    pub(crate) well: u64,
}

/// Why a job was not taken in.
pub(crate) enum NotTaken {
    Gone,
    Full,
}

impl<D> Inner<D> {
    pub(crate) fn new(dialect: Arc<D>, client: Client, process: Option<Process>) -> Self {
        Self {
            dialect,
            client,
            process,
            measures: Semaphore::new(MAX_MEASURES),
            gone: watch::Sender::new(None),
            pulse: Pulse { wanted: Notify::new(), found: watch::Sender::new(Found::default()) },
            cause: OnceLock::new(),
            running: Mutex::new(Some(HashMap::new())),
        }
    }

    /// Takes a job in. What comes over the receiver is its cancel; an end without a word is the engine's.
    pub(crate) fn enter(&self, task: TaskId) -> Result<oneshot::Receiver<()>, NotTaken> {
        let mut running = self.running();
        let running = running.as_mut().ok_or(NotTaken::Gone)?;
        if running.len() >= MAX_TASKS {
            return Err(NotTaken::Full);
        }
        let (cancel, canceled) = oneshot::channel();
        running.insert(task, cancel);
        Ok(canceled)
    }

    /// A job has come to its end.
    pub(crate) fn leave(&self, task: TaskId) {
        if let Some(running) = self.running().as_mut() {
            running.remove(&task);
        }
    }

    pub(crate) fn cancel(&self, task: TaskId) {
        let cancel = self.running().as_mut().and_then(|running| running.remove(&task));
        if let Some(cancel) = cancel {
            // The job may have come to its end this moment.
            let _ = cancel.send(());
        }
    }

    pub(crate) fn cancel_all(&self) {
        let all = self.running().as_mut().map(std::mem::take).unwrap_or_default();
        for cancel in all.into_values() {
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

    /// Whether the engine is still there, by a probe that begins now.
    pub(crate) async fn is_well(&self) -> bool {
        let before = self.pulse.found.borrow().begun;
        let mut found = self.pulse.found.subscribe();
        self.pulse.wanted.notify_one();
        tokio::select! {
            _ = found.wait_for(|found| found.well > before) => true,
            _ = self.until_gone() => false,
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<HashMap<TaskId, oneshot::Sender<()>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
