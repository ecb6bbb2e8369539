//! A pool's way to its replicas, one keeper a pool: the model's file is found or fetched, the devices that it
//! fits are chosen, and its replicas are started, changed and ended as the driver orders. What becomes of
//! them is told to the driver; nothing here decides about tasks, or about when a model is loaded.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::EngineFactory;
use config_schema::{PoolConfig, PoolModel};
use model_store::Store;
use orchestrator_core::PoolId;
use pool_manager::{FleetMeans, Ledger, Outlet, ReplicaEvent, ReplicaEventKind, ReplicaPolicy, Snapshot};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use crate::engine::Offload;
use crate::keeper::{Order, PoolEvent};

mod fetch;
mod keep;
mod place;
mod reload;

use keep::Keeper;

/// What starts the engines for a model.
pub type Engines = Arc<dyn Fn(&PoolModel) -> Arc<dyn EngineFactory> + Send + Sync>;

/// What one pool is kept with.
#[derive(Clone)]
pub struct Means {
    /// Whose it is.
    pub pool: PoolId,
    /// Where models are.
    pub store: Arc<Store>,
    /// What starts its engines, by the model they are to serve.
    pub engines: Engines,
    /// How replicas are kept up.
    pub policy: ReplicaPolicy,
    /// The devices, once they have been read.
    pub devices: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// What the engines can compute on beside the processor.
    pub offload: Offload,
    /// Who holds how much of which device.
    pub ledger: Arc<Ledger>,
    /// Held from the look at what is free to the note of what is taken, by one pool at a time.
    pub reckoning: Arc<Mutex<()>>,
    /// Bytes of each device that are left free.
    pub margin_bytes: u64,
    /// To the driver.
    pub events: mpsc::Sender<(PoolId, PoolEvent)>,
    /// The end of it all.
    pub shutdown: CancellationToken,
}

/// How long a pool that waits for room waits before it looks again, if nobody gives any: other programs tell
/// nobody when they give memory back.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Brings a pool up and keeps it until the shutdown; returns when its replicas are gone.
pub async fn keep(pool: PoolConfig, orders: mpsc::Receiver<Order>, means: Means) {
    Keeper::new(pool, orders, means).run().await;
}

impl Means {
    async fn tell(&self, event: PoolEvent) {
        // A driver that is gone needs no news.
        let _ = self.events.send((self.pool.clone(), event)).await;
    }

    fn fleet(&self, model: &PoolModel) -> FleetMeans {
        FleetMeans {
            factory: (self.engines)(model),
            policy: self.policy.clone(),
            shutdown: self.shutdown.clone(),
        }
    }

    /// The replicas' way to the driver, past the ledger.
    fn outlet(&self) -> Outlet {
        let means = self.clone();
        Arc::new(move |event: ReplicaEvent| {
            let means = means.clone();
            Box::pin(async move {
                if let ReplicaEventKind::Ready { engine, .. } = &event.kind {
                    means.note_loaded(&event.replica, engine.process());
                }
                means.tell(PoolEvent::Replica(event)).await;
            })
        })
    }

    fn note_loaded(&self, replica: &orchestrator_core::ReplicaId, process: Option<u32>) {
        self.ledger.loaded(replica, (self.devices)().readings, process);
    }
}

#[cfg(test)]
mod tests;
