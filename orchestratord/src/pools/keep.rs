//! The keeper of one pool: carries out the driver's orders, one after the other.

use std::path::PathBuf;

use adapter_api::ReplicaSpec;
use config_schema::PoolConfig;
use orchestrator_core::ReplicaId;
use pool_manager::{Fleet, Reservation};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::fetch::Model;
use super::place::Plan;
use super::{LOOK_AGAIN, Means};
use crate::keeper::{Order, PoolEvent, Rollback, RollbackCode};
use crate::tasks;

/// A pool's keeper.
pub(super) struct Keeper {
    pub(super) pool: PoolConfig,
    pub(super) means: Means,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) model: Model,
    pub(super) loaded: Option<Loaded>,
    /// Fleets that finish what they have.
    pub(super) leaving: Vec<JoinHandle<()>>,
}

/// A model with its replicas.
pub(super) struct Loaded {
    pub(super) fleet: Fleet,
    pub(super) reservation: Reservation,
}

impl Loaded {
    /// Ends the replicas, and only then gives their memory back.
    pub(super) async fn end(self) {
        self.fleet.stop().await;
        drop(self.reservation);
    }
}

/// Who wants a model loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The config, at the start, where there is room.
    AtStart,
    /// A task.
    Now,
}

impl Keeper {
    pub(super) fn new(pool: PoolConfig, orders: mpsc::Receiver<Order>, means: Means) -> Self {
        let model = Model { reference: pool.model.clone(), sha256: pool.sha256.clone() };
        Self { pool, means, orders, model, loaded: None, leaving: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        if let Some(file) = self.means.fetched(&self.model).await {
            if self.pool.preload {
                self.load(file, Wanted::AtStart).await;
            } else {
                self.means.tell(PoolEvent::Unloaded).await;
            }
            self.serve().await;
        }
        let stops = self.loaded.take().map(Loaded::end);
        if let Some(stop) = stops {
            stop.await;
        }
        for leaving in self.leaving {
            if let Err(error) = leaving.await {
                tracing::error!(%error, "a fleet did not end well");
            }
        }
    }

    async fn serve(&mut self) {
        let shutdown = self.means.shutdown.clone();
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = shutdown.cancelled() => return,
            };
            match order {
                None => return,
                Some(Order::Load) => {
                    // It was here once; that it still is, and is the same, is looked at again.
                    if let Some(file) = self.means.fetched(&self.model).await {
                        self.load(file, Wanted::Now).await;
                    }
                }
                Some(Order::Unload) => self.unload().await,
                Some(Order::Reload(order)) => self.reload(order).await,
            }
            self.leaving.retain(|leaving| !leaving.is_finished());
        }
    }

    /// Starts the replicas, once there is room for them.
    async fn load(&mut self, file: PathBuf, wanted: Wanted) {
        if self.loaded.is_some() {
            return;
        }
        let mut freed = self.means.ledger.freed();
        let model = self.model.reference.clone();
        loop {
            freed.mark_unchanged();
            let plan = match self.plan(&model, &file).await {
                Ok(plan) => plan,
                Err(short) => {
                    self.means.tell(PoolEvent::Placed(short.fit.placements.clone())).await;
                    if wanted == Wanted::AtStart {
                        tracing::warn!(pool = %self.pool.id, reason = short.fit.refusal(), "not loaded at the start");
                        return self.means.tell(PoolEvent::Unloaded).await;
                    }
                    let why = short.fit.refusal();
                    self.means.tell(PoolEvent::NoRoom { why, devices: short.devices }).await;
                    if self.room(&mut freed).await {
                        continue;
                    }
                    return self.means.tell(PoolEvent::Unloaded).await;
                }
            };
            return self.start(plan).await;
        }
    }

    /// Waits until there may be more room. False when the load is not wanted any more.
    async fn room(&mut self, freed: &mut tokio::sync::watch::Receiver<u64>) -> bool {
        loop {
            tokio::select! {
                _ = freed.changed() => return true,
                () = tokio::time::sleep(LOOK_AGAIN) => return true,
                () = self.means.shutdown.cancelled() => return false,
                order = self.orders.recv() => match order {
                    Some(Order::Load) => {}
                    Some(Order::Unload) | None => return false,
                    Some(Order::Reload(_)) => {
                        let message = "the pool waits for memory for the model it has".to_owned();
                        let refused = Rollback { code: RollbackCode::ReloadInProgress, message };
                        self.means.tell(PoolEvent::ReloadOver(Err(refused))).await;
                    }
                },
            }
        }
    }

    pub(super) async fn start(&mut self, plan: Plan) {
        let Plan { specs, reservation, placements } = plan;
        self.means.tell(PoolEvent::Placed(placements)).await;
        self.means.tell(PoolEvent::Starting(names_of(&specs))).await;
        let fleet = Fleet::open(specs, &self.means.fleet(&self.model.reference), self.means.outlet());
        self.loaded = Some(Loaded { fleet, reservation });
    }

    async fn unload(&mut self) {
        if let Some(loaded) = self.loaded.take() {
            loaded.end().await;
        }
        self.means.tell(PoolEvent::Unloaded).await;
    }

    /// Ends a fleet once its tasks have.
    pub(super) fn let_leave(&mut self, loaded: Loaded, idle: tokio::sync::oneshot::Receiver<()>) {
        let shutdown = self.means.shutdown.clone();
        self.leaving.push(tasks::spawn(async move {
            tokio::select! {
                _ = idle => {}
                () = shutdown.cancelled() => {}
            }
            loaded.end().await;
        }));
    }

    /// Names for so many replicas that no replica bears: the lowest numbers.
    pub(super) fn new_names(&self, count: usize) -> Vec<ReplicaId> {
        let taken = self.means.ledger.holdings();
        let is_free = |name: &ReplicaId| taken.iter().all(|holding| holding.replica != *name);
        let names = (0..=u16::MAX).map(|index| ReplicaId { pool: self.pool.id.clone(), index });
        names.filter(is_free).take(count).collect()
    }
}

pub(super) fn names_of(specs: &[ReplicaSpec]) -> Vec<(ReplicaId, adapter_api::Device)> {
    specs.iter().map(|spec| (spec.replica.clone(), spec.device.clone())).collect()
}
