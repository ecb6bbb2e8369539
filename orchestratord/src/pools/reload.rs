//! Another model in a pool, without a task lost: beside the old one where memory allows it, in its place
//! otherwise, and back to the old one when the new one fails.

use pool_manager::{Candidate, Fleet, Holding, Passed, Reservation};
use tokio::sync::{oneshot, watch};

use super::fetch::{Model, Told};
use super::keep::{Keeper, Loaded, names_of};
use super::place::Plan;
use crate::health_view::ReloadStage;
use crate::keeper::{PoolEvent, ReloadOrder, Rollback, RollbackCode, Swapped};

impl Keeper {
    /// Carries a reload out.
    pub(super) async fn reload(&mut self, order: ReloadOrder) {
        let ReloadOrder { model, sha256 } = order;
        tracing::info!(pool = %self.pool.id, %model, "reload");
        let outcome = self.change(Model { reference: model, sha256 }).await;
        let outcome = match outcome {
            Ok(()) => {
                let served = self.model.reference.to_string();
                tracing::info!(pool = %self.pool.id, model = served, "reloaded");
                Ok(served)
            }
            Err(rollback) => {
                tracing::warn!(pool = %self.pool.id, code = ?rollback.code, reason = rollback.message, "rolled back");
                Err(rollback)
            }
        };
        self.means.tell(PoolEvent::ReloadOver(outcome)).await;
    }

    async fn change(&mut self, model: Model) -> Result<(), Rollback> {
        let unavailable = |message| Rollback { code: RollbackCode::ModelUnavailable, message };
        let file = self.means.fetch_once(&model, Told::OfReload).await.map_err(unavailable)?;
        match self.plan(&model.reference, &file).await {
            Ok(plan) => self.beside(model, plan).await,
            Err(short) => {
                let old = self.holdings();
                let in_its_place = if old.is_empty() {
                    None
                } else {
                    self.plan_beside(&model.reference, &file, &old).await.ok()
                };
                match in_its_place {
                    Some(plan) => self.in_place(model, plan).await,
                    None => Err(Rollback { code: RollbackCode::DoesNotFit, message: short.fit.refusal() }),
                }
            }
        }
    }

    /// What the model that is served holds.
    fn holdings(&self) -> Vec<Holding> {
        let Some(loaded) = &self.loaded else { return Vec::new() };
        let mut holdings = self.means.ledger.holdings();
        holdings.retain(|holding| loaded.fleet.replicas().any(|replica| *replica == holding.replica));
        holdings
    }

    /// Make before break: the old model serves until the new one has passed.
    async fn beside(&mut self, model: Model, plan: Plan) -> Result<(), Rollback> {
        let Plan { specs, reservation, placements } = plan;
        let candidate = Candidate::start(specs, &self.means.fleet(&model.reference));
        let (fleet, passed) = self.tried(candidate).await?;
        self.means.tell(PoolEvent::Placed(placements)).await;
        self.swap(model, Loaded { fleet, reservation }, passed).await;
        Ok(())
    }

    /// Break before make: the queue waits while the models change places.
    async fn in_place(&mut self, model: Model, plan: Plan) -> Result<(), Rollback> {
        let (held, idle) = oneshot::channel();
        self.means.tell(PoolEvent::Reloading(ReloadStage::Waiting)).await;
        self.means.tell(PoolEvent::Hold(held)).await;
        tokio::select! {
            _ = idle => {}
            () = self.means.shutdown.cancelled() => return Err(stopping()),
        }
        let Loaded { fleet, reservation: old_reservation } =
            self.loaded.take().expect("it has something to make room");
        let old_specs = fleet.specs().to_vec();
        fleet.stop().await;
        let Plan { specs, reservation, placements } = plan;
        match self.tried(Candidate::start(specs, &self.means.fleet(&model.reference))).await {
            Ok((fleet, passed)) => {
                drop(old_reservation);
                self.means.tell(PoolEvent::Placed(placements)).await;
                self.swap(model, Loaded { fleet, reservation }, passed).await;
                Ok(())
            }
            Err(rollback) => {
                drop(reservation);
                self.back(old_specs, old_reservation).await;
                Err(rollback)
            }
        }
    }

    /// Waits for a candidate's test, and says meanwhile how far it is. One that fails is ended.
    async fn tried(&self, mut candidate: Candidate) -> Result<(Fleet, Vec<Passed>), Rollback> {
        let (shares, mut heard) = watch::channel(0.0);
        let tell = async {
            loop {
                let share = *heard.borrow_and_update();
                let stage = if share < 1.0 { ReloadStage::Loading(share) } else { ReloadStage::Testing };
                self.means.tell(PoolEvent::Reloading(stage)).await;
                // The other end lives as long as there is something to wait for.
                if heard.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let passed = tokio::select! {
            passed = candidate.passed(|share| _ = shares.send_replace(share)) => {
                passed.map_err(|reason| Rollback::of_failure(&reason))
            }
            () = self.means.shutdown.cancelled() => Err(stopping()),
            () = tell => unreachable!("it says how far it is until the test is over"),
        };
        match passed {
            Ok(passed) => Ok((candidate.promote(self.means.outlet()), passed)),
            Err(rollback) => {
                candidate.dismiss().await;
                Err(rollback)
            }
        }
    }

    /// Gives the tasks to replicas that have passed, and lets those before them finish what they have.
    async fn swap(&mut self, model: Model, new: Loaded, passed: Vec<Passed>) {
        self.model = model;
        let (idle, when_idle) = oneshot::channel();
        let replicas = passed
            .into_iter()
            .map(|Passed { spec, engine, self_test }| {
                self.means.note_loaded(&spec.replica, engine.process());
                Swapped { replica: spec.replica, device: spec.device, engine, self_test }
            })
            .collect();
        let model_ref = self.model.reference.to_string();
        self.means.tell(PoolEvent::Swapped { model_ref, replicas, old_idle: idle }).await;
        if let Some(old) = self.loaded.replace(new) {
            self.let_leave(old, when_idle);
        }
    }

    /// The old model gets its place back. Its supervisors go on trying, should that fail.
    async fn back(&mut self, specs: Vec<adapter_api::ReplicaSpec>, reservation: Reservation) {
        self.means.tell(PoolEvent::Starting(names_of(&specs))).await;
        let fleet = Fleet::open(specs, &self.means.fleet(&self.model.reference), self.means.outlet());
        self.loaded = Some(Loaded { fleet, reservation });
    }
}

fn stopping() -> Rollback {
    Rollback {
        code: RollbackCode::Stopping,
        message: "the daemon is stopping; nothing was changed".to_owned(),
    }
}
