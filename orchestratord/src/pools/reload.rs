//! Another model in a pool, without a task lost: beside the old one where memory allows it, in its place
//! otherwise, and back to the old one when the new one fails. What the pool did before is not looked at
//! meanwhile, and goes on when the reload has failed.
//!
//! A reload is canceled by its token and not dropped: the replicas that it has started end before their memory is
//! given back.
//!
//! Rules: ORCH-MODEL-5, ORCH-MODEL-6, ORCH-MODEL-10, ORCH-MODEL-11, ORCH-CONF-12

use std::sync::Arc;

use config_schema::PoolModel;
use orchestrator_core::ReplicaId;
use pool_manager::{Fleet, Passed, ReloadCandidate};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchPurpose, Model};
use super::place::Plan;
use super::resources::{Loaded, PoolResources};
use super::state::State;
use crate::health_view::ReloadStage;
use crate::pool_protocol::{PoolEvent, Rollback, RollbackCode, Swapped};
use crate::tasks;

/// How a reload ended.
pub(super) struct ReloadEnd {
    /// What is the pool's from now on, or why it is what was before.
    pub(super) outcome: Result<Reloaded, Rollback>,
    /// Where the pool goes on.
    pub(super) state: State,
    /// The replicas before, which finish what they have.
    pub(super) leaving: Option<JoinHandle<()>>,
}

/// What a reload made of a pool.
pub(super) struct Reloaded {
    pub(super) model: Model,
    /// With the options that the model is served with.
    pub(super) pool: Arc<PoolResources>,
}

impl ReloadEnd {
    fn rolled_back(state: State, rollback: Rollback) -> Self {
        Self { outcome: Err(rollback), state, leaving: None }
    }
}

/// A reload that is under way.
pub(super) struct Attempt {
    /// With the options that it is to have.
    pub(super) pool: Arc<PoolResources>,
    /// With the options that it has.
    pub(super) old_pool: Arc<PoolResources>,
    pub(super) old_model: PoolModel,
    /// Gives the attempt up.
    pub(super) cancel: CancellationToken,
    /// Gives the attempt up, and the old model with it.
    pub(super) unload: CancellationToken,
}

impl Attempt {
    /// Tries another model.
    pub(super) async fn run(self, before: State, model: Model) -> ReloadEnd {
        let ending: Vec<ReplicaId> = match &before {
            State::Loaded(old) => old.fleet.replicas().cloned().collect(),
            _ => Vec::new(),
        };
        let plan = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.canceled()),
            plan = self.planned(&ending, &model) => plan,
        };
        match (plan, before) {
            (Ok(Planned::Beside(plan)), before) => self.beside(before, model, plan).await,
            (Ok(Planned::InPlace(plan)), State::Loaded(old)) => self.in_place(old, model, plan).await,
            (Ok(Planned::InPlace(_)), _) => unreachable!("nothing else has a place to give"),
            (Err(rollback), before) => ReloadEnd::rolled_back(before, rollback),
        }
    }

    /// Finds the file and the memory; that of the replicas `ending`, where it takes no less.
    async fn planned(&self, ending: &[ReplicaId], model: &Model) -> Result<Planned, Rollback> {
        let unavailable = |message| Rollback { code: RollbackCode::ModelUnavailable, message };
        let file = self.pool.fetch(model, FetchPurpose::Reload).await.map_err(unavailable)?;
        let candidates = self.pool.candidates(&model.reference, &file).await;
        // Beside the old one it would have only a small part of the context that it can have in its place: it takes
        // that place, for the change is over in seconds, and the context stays.
        if self.pool.gains_context(&candidates, ending)
            && let Ok(plan) = self.pool.plan(&file, candidates.clone(), ending)
        {
            return Ok(Planned::InPlace(plan));
        }
        let short = match self.pool.plan(&file, candidates.clone(), &[]) {
            Ok(plan) => return Ok(Planned::Beside(plan)),
            Err(short) => short,
        };
        if !ending.is_empty()
            && let Ok(plan) = self.pool.plan(&file, candidates, ending)
        {
            return Ok(Planned::InPlace(plan));
        }
        Err(Rollback { code: RollbackCode::DoesNotFit, message: short.fit.refusal() })
    }

    /// Make before break: what the pool has serves until the new model has passed.
    async fn beside(&self, before: State, model: Model, plan: Plan) -> ReloadEnd {
        let Plan { specs, reservation, placements } = plan;
        let candidate = ReloadCandidate::start(specs, &self.pool.replicas_of(&model.reference));
        match self.tried(candidate).await {
            Ok((fleet, passed)) => {
                self.pool.send(PoolEvent::Placed(placements)).await;
                self.swap(before, model, Loaded { fleet, reservation }, passed).await
            }
            Err(rollback) => {
                drop(reservation);
                ReloadEnd::rolled_back(before, rollback)
            }
        }
    }

    /// Break before make: the queue waits while the models change places.
    async fn in_place(&self, old: Loaded, model: Model, plan: Plan) -> ReloadEnd {
        let (held, idle) = oneshot::channel();
        self.pool.send(PoolEvent::Reloading(ReloadStage::Waiting)).await;
        self.pool.send(PoolEvent::PauseDispatch(held)).await;
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                return ReloadEnd::rolled_back(State::Loaded(old), self.canceled());
            }
            _ = idle => {}
        }
        let Loaded { fleet, reservation: old_reservation } = old;
        let old_specs = fleet.specs().to_vec();
        fleet.stop().await;
        let Plan { specs, reservation, placements } = plan;
        match self.tried(ReloadCandidate::start(specs, &self.pool.replicas_of(&model.reference))).await {
            Ok((fleet, passed)) => {
                drop(old_reservation);
                self.pool.send(PoolEvent::Placed(placements)).await;
                self.swap(State::Unloaded, model, Loaded { fleet, reservation }, passed).await
            }
            // The pool is unloaded, or the daemon ends: the old model is not wanted back.
            Err(rollback) if self.unload.is_cancelled() => ReloadEnd::rolled_back(State::Unloaded, rollback),
            Err(rollback) => {
                drop(reservation);
                // Its supervisors go on trying, should it fail now.
                let old = self.old_pool.start(&self.old_model, old_specs, old_reservation).await;
                ReloadEnd::rolled_back(State::Loaded(old), rollback)
            }
        }
    }

    /// Waits for a candidate's test, and sends meanwhile how far it is. One that fails is ended.
    async fn tried(&self, mut candidate: ReloadCandidate) -> Result<(Fleet, Vec<Passed>), Rollback> {
        let (shares, mut heard) = watch::channel(0.0);
        let report = async {
            loop {
                let share = *heard.borrow_and_update();
                let stage = if share < 1.0 { ReloadStage::Loading(share) } else { ReloadStage::Testing };
                self.pool.send(PoolEvent::Reloading(stage)).await;
                // The other end lives as long as there is something to wait for.
                if heard.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let passed = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.canceled()),
            passed = candidate.passed(|share| _ = shares.send_replace(share)) => {
                passed.map_err(|reason| Rollback::of_failure(&reason))
            }
            () = report => unreachable!("it reports until the test is over"),
        };
        match passed {
            Ok(passed) => Ok((candidate.promote(self.pool.outlet()), passed)),
            Err(rollback) => {
                candidate.dismiss().await;
                Err(rollback)
            }
        }
    }

    /// Gives the tasks to replicas that have passed, and lets those before them finish what they have.
    async fn swap(&self, before: State, model: Model, new: Loaded, passed: Vec<Passed>) -> ReloadEnd {
        let (old_idle, when_idle) = oneshot::channel();
        let replicas = passed
            .into_iter()
            .map(|Passed { spec, engine, self_test }| Swapped {
                replica: spec.replica,
                device: spec.device,
                engine,
                self_test,
            })
            .collect();
        let (model_ref, engine) = (model.reference.to_string(), self.pool.engine());
        self.pool.send(PoolEvent::Swapped { model_ref, engine, replicas, old_idle }).await;
        let leaving = match before {
            State::Loaded(old) => Some(self.let_leave(old, when_idle)),
            _ => None,
        };
        let reloaded = Reloaded { model, pool: Arc::clone(&self.pool) };
        ReloadEnd { outcome: Ok(reloaded), state: State::Loaded(new), leaving }
    }

    /// Ends a fleet once its tasks have.
    fn let_leave(&self, loaded: Loaded, idle: oneshot::Receiver<()>) -> JoinHandle<()> {
        let shutdown = self.pool.context.shutdown.clone();
        tasks::spawn(async move {
            tokio::select! {
                _ = idle => {}
                () = shutdown.cancelled() => {}
            }
            loaded.end().await;
        })
    }

    fn canceled(&self) -> Rollback {
        if self.pool.context.shutdown.is_cancelled() {
            let message = "the daemon is stopping; nothing was changed".to_owned();
            return Rollback { code: RollbackCode::Stopping, message };
        }
        if self.unload.is_cancelled() {
            let message = "the pool was unloaded meanwhile; its model was not changed".to_owned();
            return Rollback { code: RollbackCode::ModelRetired, message };
        }
        let message = "a newer configuration replaced this one".to_owned();
        Rollback { code: RollbackCode::ReloadInProgress, message }
    }
}

/// Replicas of the new model that have been promised their memory.
enum Planned {
    /// Beside what the pool has.
    Beside(Plan),
    /// In the place of the replicas before.
    InPlace(Plan),
}
