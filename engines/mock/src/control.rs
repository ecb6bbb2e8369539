//! The handle by which a test steers pretend engines from outside and sees what they were asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use engine_api::{ExitReason, StartError};
use orchestrator_core::TaskId;
use tokio::sync::{Notify, watch};

use crate::engine::Inner;

/// How long [`MockControl::until`] waits before it says that the condition never came.
pub const UNTIL_LIMIT: Duration = Duration::from_secs(30);

/// Where an engine can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before an estimate is answered.
    Estimate,
    /// Before the model is loaded.
    Load,
    /// Before a job is measured.
    Measure,
    /// After a job got its slot, before its prompt is read.
    Prefill,
    /// Before each token.
    Decode,
    /// Before a `stop` is obeyed: the engine hangs until it is killed.
    Stop,
}

/// What happened so far, over all engines of one factory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Estimates asked for.
    pub estimates: u64,
    /// Starts asked for.
    pub starts: u64,
    /// Engines that became ready.
    pub ready: u64,
    /// Engines that are gone.
    pub gone: u64,
    /// Jobs measured, or asked to be.
    pub measures: u64,
    /// Jobs submitted.
    pub submitted: u64,
    /// Jobs in a slot now.
    pub running: u64,
    /// Tokens told.
    pub tokens: u64,
    /// Jobs that got their `end`.
    pub ended: u64,
    /// Jobs whose sink was dropped.
    pub lost: u64,
    /// Cancels asked for.
    pub cancels: u64,
}

#[derive(Default)]
struct Script {
    /// The held phases, each with how many more it lets through.
    gates: HashMap<Phase, u64>,
    failures: VecDeque<StartError>,
    engines: Vec<Weak<Inner>>,
    order: Vec<TaskId>,
}

pub(crate) struct Shared {
    script: Mutex<Script>,
    opened: Notify,
    counts: watch::Sender<Counts>,
}

/// Steers the engines of one [`crate::MockFactory`]. Clones steer the same ones.
#[derive(Clone)]
pub struct MockControl(pub(crate) Arc<Shared>);

impl MockControl {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            script: Mutex::default(),
            opened: Notify::new(),
            counts: watch::Sender::new(Counts::default()),
        }))
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.0.counts.borrow()
    }

    /// The tasks submitted so far, in order.
    #[must_use]
    pub fn submitted(&self) -> Vec<TaskId> {
        self.0.script().order.clone()
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// When it does not within [`UNTIL_LIMIT`]: this is for tests.
    pub async fn until(&self, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.0.counts.subscribe();
        let waited = tokio::time::timeout(UNTIL_LIMIT, counts.wait_for(condition)).await;
        match waited {
            Ok(Ok(counts)) => *counts,
            _ => panic!("the condition never came; the pretend engines stand at {:?}", self.counts()),
        }
    }

    /// The next `times` starts fail with `error`.
    pub fn fail_starts(&self, times: usize, error: &StartError) {
        self.0.script().failures.extend(std::iter::repeat_n(error.clone(), times));
    }

    /// Holds everything that reaches `phase` from now on.
    pub fn hold(&self, phase: Phase) {
        self.0.script().gates.insert(phase, 0);
    }

    /// Lets everything through again.
    pub fn release(&self, phase: Phase) {
        self.0.script().gates.remove(&phase);
        self.0.opened.notify_waiters();
    }

    /// Lets `count` more through a held phase: jobs, or tokens in [`Phase::Decode`].
    pub fn pass(&self, phase: Phase, count: u64) {
        if let Some(passes) = self.0.script().gates.get_mut(&phase) {
            *passes += count;
        }
        self.0.opened.notify_waiters();
    }

    /// Every living engine takes no new jobs from now on; those in it go on.
    pub fn suspend(&self, reason: &str) {
        self.0.living().iter().for_each(|engine| engine.set_suspended(Some(reason.to_owned())));
    }

    /// Every living engine takes jobs again.
    pub fn resume(&self) {
        self.0.living().iter().for_each(|engine| engine.set_suspended(None));
    }

    /// Every living engine dies now, with `reason`; its jobs are lost.
    pub fn crash(&self, reason: &ExitReason) {
        self.0.living().iter().for_each(|engine| engine.die(reason.clone()));
    }
}

impl Shared {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Vec<Arc<Inner>> {
        self.script().engines.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    pub(crate) fn next_failure(&self) -> Option<StartError> {
        self.script().failures.pop_front()
    }

    pub(crate) fn started(&self, engine: &Arc<Inner>) {
        let mut script = self.script();
        script.engines.retain(|engine| engine.strong_count() > 0);
        script.engines.push(Arc::downgrade(engine));
    }

    pub(crate) fn submitted(&self, task: TaskId) {
        self.script().order.push(task);
        self.count(|counts| counts.submitted += 1);
    }

    /// Resolves when `phase` lets one more through.
    pub(crate) async fn gate(&self, phase: Phase) {
        loop {
            let mut opened = std::pin::pin!(self.opened.notified());
            opened.as_mut().enable();
            if self.try_pass(phase) {
                return;
            }
            opened.await;
        }
    }

    fn try_pass(&self, phase: Phase) -> bool {
        match self.script().gates.get_mut(&phase) {
            Some(0) => false,
            Some(passes) => {
                *passes -= 1;
                true
            }
            None => true,
        }
    }
}
