//! What a controller and the work that it has under way share.

use std::sync::Arc;
use std::time::Duration;

use config_schema::{PoolConfig, PoolModel, ServerSource};
use engine_api::{Device, EngineFactory, EngineKind, ReplicaSpec};
use futures_util::FutureExt;
use orchestrator_core::ReplicaId;
use pool_manager::{Demand, Fleet, Outlet, ReplicaContext, ReplicaEvent, ReplicaPolicy, Reservation};
use tokio::sync::watch;

use super::PoolContext;
use super::estimates::Estimates;
use crate::pool_protocol::PoolEvent;

/// What a supervisor gives the start of a server beyond the server's own limit.
const ADAPTER_MARGIN: Duration = Duration::from_secs(5);

/// What one pool's work is done with.
pub(super) struct PoolResources {
    pub(super) config: PoolConfig,
    pub(super) context: PoolContext,
    pub(super) estimates: Estimates,
    demand: watch::Sender<Demand>,
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

impl PoolResources {
    pub(super) fn new(config: PoolConfig, context: PoolContext) -> Self {
        let demand = watch::Sender::new(Demand::Idle);
        Self { config, context, estimates: Estimates::default(), demand }
    }

    /// The same pool with other options.
    pub(super) fn with(&self, config: PoolConfig) -> Self {
        let (context, demand) = (self.context.clone(), self.demand.clone());
        Self { config, context, estimates: Estimates::default(), demand }
    }

    /// The kind of its engines.
    pub(super) fn engine(&self) -> EngineKind {
        crate::engine::kind(self.config.engine)
    }

    /// What starts its engines for a model.
    pub(super) fn engines(&self, model: &PoolModel) -> Arc<dyn EngineFactory> {
        (self.context.engines)(&self.config, model)
    }

    pub(super) async fn send(&self, event: PoolEvent) {
        self.context.send(event).await;
    }

    pub(super) fn demand(&self) -> Demand {
        *self.demand.borrow()
    }

    pub(super) fn set_demand(&self, demand: Demand) {
        self.demand.send_replace(demand);
    }

    /// What replicas of a model are started with.
    pub(super) fn replicas_of(&self, model: &PoolModel) -> ReplicaContext {
        ReplicaContext {
            factory: self.engines(model),
            policy: policy_of(&self.config, &self.context.policy.borrow()),
            memory: self.context.memory.clone(),
            demand: self.demand.subscribe(),
            shutdown: self.context.shutdown.clone(),
        }
    }

    /// The replicas' way to the driver.
    pub(super) fn outlet(&self) -> Outlet {
        let context = self.context.clone();
        Arc::new(move |event: ReplicaEvent| {
            let context = context.clone();
            async move { context.send(PoolEvent::Replica(event)).await }.boxed()
        })
    }

    /// Starts replicas whose memory is promised; their events go out at once.
    pub(super) async fn start(
        &self,
        model: &PoolModel,
        specs: Vec<ReplicaSpec>,
        reservation: Reservation,
    ) -> Loaded {
        self.send(PoolEvent::Starting(names_of(&specs))).await;
        Loaded { fleet: Fleet::open(specs, &self.replicas_of(model), self.outlet()), reservation }
    }

    /// Whether its server is attached by its URL: its memory is then outside of this daemon's ledger.
    pub(super) fn is_attached(&self) -> bool {
        let source = self.config.server.as_ref().map(|server| &server.source);
        matches!(source, Some(ServerSource::Urls(_)))
    }
}

/// The policy for the replicas of `pool`. A server has a start timeout of its own: its adapter enforces it, with a better
/// error than the supervisor's, which therefore waits a little longer.
pub(crate) fn policy_of(pool: &PoolConfig, common: &ReplicaPolicy) -> ReplicaPolicy {
    let load_timeout = match &pool.server {
        Some(server) => server.start_timeout + ADAPTER_MARGIN,
        None => common.load_timeout,
    };
    ReplicaPolicy { load_timeout, ..common.clone() }
}

fn names_of(specs: &[ReplicaSpec]) -> Vec<(ReplicaId, Device)> {
    specs.iter().map(|spec| (spec.replica.clone(), spec.device.clone())).collect()
}
