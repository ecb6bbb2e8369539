//! A pool's way to its replicas, one controller a pool: the model's file is found or fetched, the devices that it
//! fits are chosen, and its replicas are started, changed and ended as the driver orders. What becomes of them is
//! sent to the driver; nothing here decides about tasks, or about when a model is loaded.

use std::sync::Arc;

use config_schema::{PoolConfig, PoolModel};
use engine_api::EngineFactory;
use model_store::Store;
use orchestrator_core::PoolId;
use pool_manager::{MemoryAccount, ReplicaPolicy};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::engine::Offload;
use crate::pool_protocol::{Order, PoolEvent, PoolKey};

mod controller;
mod estimates;
mod fetch;
mod load_options;
mod place;
mod reload;
mod residents;
mod resources;
mod state;

use controller::PoolController;
pub(crate) use load_options::template_kwargs;
pub(crate) use place::{ctx_request, devices, need_of, spec_to_estimate};
pub use residents::Residents;
#[cfg(test)]
pub(crate) use resources::policy_of;

/// What starts the engines of a pool for a model.
pub type Engines = Arc<dyn Fn(&PoolConfig, &PoolModel) -> Arc<dyn EngineFactory> + Send + Sync>;

/// What a pool's controller works with.
#[derive(Clone)]
pub struct PoolContext {
    /// The pool.
    pub pool: PoolId,
    /// Its key in the driver.
    pub key: PoolKey,
    /// Where models are.
    pub store: Arc<Store>,
    /// What starts its engines, by its options and the model they are to serve.
    pub engines: Engines,
    /// The policy for replicas, but for a server's start timeout. It may change; the next load uses the newest.
    pub policy: watch::Receiver<ReplicaPolicy>,
    /// What the engines can compute on beside the processor.
    pub offload: Offload,
    /// The devices, and who holds how much of them.
    pub memory: MemoryAccount,
    /// The pools that are to be loaded together.
    pub residents: Residents,
    /// To the driver.
    pub events: mpsc::Sender<(PoolKey, PoolEvent)>,
    /// The end of all pools.
    pub shutdown: CancellationToken,
}

/// Brings a pool up and keeps it until the shutdown or the end of its orders; returns when its replicas are gone.
pub async fn keep(pool: PoolConfig, orders: mpsc::Receiver<Order>, context: PoolContext) {
    let _resident = context.residents.enter(&pool);
    PoolController::new(pool, orders, context.clone()).run().await;
    context.send(PoolEvent::Closed).await;
}

impl PoolContext {
    async fn send(&self, event: PoolEvent) {
        // A driver that is gone needs no news.
        let _ = self.events.send((self.key, event)).await;
    }
}

#[cfg(test)]
mod tests;
