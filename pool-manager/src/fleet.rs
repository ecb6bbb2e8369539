//! The replicas of one model in one pool, started together. What becomes of them goes out through one
//! outlet, in order. A candidate fleet keeps it to itself until all of its replicas have passed their
//! test, so that a model that does not work is never seen by a task.
//!
//! ```text
//! Fleet::open ───────────────────────────────► Fleet ── stop ──► gone
//! ReloadCandidate::start ── passed ── promote ──────►  ▲
//!        └── a replica failed ── dismiss ──► gone
//! ```
//!
//! Rules: ORCH-MODEL-5, ORCH-MODEL-10

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, ExitReason, ReplicaSpec, StopOutcome};
use futures_core::future::BoxFuture;
use orchestrator_core::ReplicaId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::self_test::SelfTest;
use crate::state::{DownReason, ReplicaEvent, ReplicaEventKind, ReplicaState};
use crate::supervisor::{EVENTS_BOUND, ReplicaContext, Supervisor, SupervisorHandle};
use crate::tasks;

/// Takes the news of replicas, and waits for room where there is none.
pub type Outlet = Arc<dyn Fn(ReplicaEvent) -> BoxFuture<'static, ()> + Send + Sync>;

/// Replicas whose news goes out.
#[derive(Debug)]
#[must_use]
pub struct Fleet {
    supervisors: Vec<SupervisorHandle>,
    specs: Vec<ReplicaSpec>,
    grace: Duration,
    /// What lets the news out; it ends after the last of it.
    outlet: Option<JoinHandle<()>>,
}

/// A replica that has passed its test.
#[derive(Clone)]
pub struct Passed {
    /// What it was started as.
    pub spec: ReplicaSpec,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// What its test measured.
    pub self_test: SelfTest,
}

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passed").field("replica", &self.spec.replica).finish_non_exhaustive()
    }
}

impl Fleet {
    /// Starts the replicas; their news goes out at once.
    pub fn open(specs: Vec<ReplicaSpec>, context: &ReplicaContext, outlet: Outlet) -> Self {
        ReloadCandidate::start(specs, context).promote(outlet)
    }

    /// What its replicas were started as.
    #[must_use]
    pub fn specs(&self) -> &[ReplicaSpec] {
        &self.specs
    }

    /// The names of its replicas.
    pub fn replicas(&self) -> impl Iterator<Item = &ReplicaId> {
        self.specs.iter().map(|spec| &spec.replica)
    }

    /// Resolves when every replica is down and others have the memory that it would start with.
    pub async fn without_room(&self) {
        let waits = |state: &ReplicaState| {
            matches!(state, ReplicaState::BackingOff { reason: DownReason::NoRoom(_), .. })
        };
        loop {
            for supervisor in &self.supervisors {
                // A supervisor that has ended waits for nothing.
                if supervisor.watch().wait_for(waits).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            if self.supervisors.iter().all(|supervisor| waits(&supervisor.state())) {
                return;
            }
        }
    }

    /// Ends every replica, each with the policy's grace. Resolves when all are gone and their news is out.
    pub async fn stop(self) {
        stop_all(self.supervisors, self.grace).await;
        if let Some(outlet) = self.outlet
            && let Err(error) = outlet.await
        {
            tracing::error!(%error, "news of replicas was lost");
        }
    }
}

/// The replicas of a reload, which the driver does not know before they have passed their test.
#[derive(Debug)]
#[must_use]
pub struct ReloadCandidate {
    fleet: Fleet,
    events: mpsc::Receiver<ReplicaEvent>,
}

impl ReloadCandidate {
    /// Starts the replicas.
    pub fn start(specs: Vec<ReplicaSpec>, context: &ReplicaContext) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_BOUND);
        let supervisors =
            specs.iter().map(|spec| Supervisor::spawn(spec.clone(), context, sender.clone())).collect();
        Self { fleet: Fleet { supervisors, specs, grace: context.policy.stop_grace, outlet: None }, events }
    }

    /// Waits until every replica has passed its test. `progress` hears meanwhile how much is loaded, 0 to 1, over
    /// all of them: at 1 every one is loaded, and tested or being so.
    ///
    /// # Errors
    /// Why the first replica that failed did.
    pub async fn passed(&mut self, mut progress: impl FnMut(f32)) -> Result<Vec<Passed>, DownReason> {
        let wanted = self.fleet.specs.len();
        let mut passed = Vec::with_capacity(wanted);
        let mut shares = BTreeMap::new();
        while passed.len() < wanted {
            // The supervisors hold the other end; they are gone only when the daemon ends.
            let Some(ReplicaEvent { replica, kind }) = self.events.recv().await else {
                return Err(DownReason::Stopped);
            };
            match kind {
                ReplicaEventKind::Starting { progress: share } => {
                    shares.insert(replica, share);
                    progress(shares.values().sum::<f32>() / self.fleet.specs.len() as f32);
                }
                ReplicaEventKind::Ready { engine, self_test } => {
                    let spec = self.fleet.specs.iter().find(|spec| spec.replica == replica);
                    let spec = spec.expect("a fleet hears of its own replicas").clone();
                    passed.push(Passed { spec, engine, self_test });
                }
                // A candidate that takes no work cannot take over.
                ReplicaEventKind::Suspended { reason } => {
                    return Err(DownReason::Gone(ExitReason::Channel(reason)));
                }
                ReplicaEventKind::Resumed => {}
                ReplicaEventKind::Gone { reason } => return Err(DownReason::Gone(reason)),
                ReplicaEventKind::BackingOff { reason, .. } => return Err(reason),
                ReplicaEventKind::Failed { error, .. } => return Err(DownReason::Start(error)),
            }
        }
        Ok(passed)
    }

    /// Lets the replicas' news out from here on, what has not been read included.
    pub fn promote(self, outlet: Outlet) -> Fleet {
        let Self { mut fleet, mut events } = self;
        fleet.outlet = Some(tasks::spawn(async move {
            while let Some(event) = events.recv().await {
                outlet(event).await;
            }
        }));
        fleet
    }

    /// Ends the replicas. Resolves when all are gone.
    pub async fn dismiss(self) {
        // The events are read on, so that no supervisor waits for room.
        self.promote(Arc::new(|_| Box::pin(std::future::ready(())))).stop().await;
    }
}

async fn stop_all(supervisors: Vec<SupervisorHandle>, grace: Duration) {
    let stops: Vec<_> = supervisors.iter().map(|supervisor| supervisor.stop(grace)).collect();
    for (supervisor, stop) in supervisors.iter().zip(stops) {
        let outcome: StopOutcome = stop.await;
        tracing::debug!(replica = %supervisor.replica(), ?outcome, "replica ended");
    }
}

#[cfg(test)]
mod tests;
