//! The controllers of pools: what each is started with, and the wait for their end.
//!
//! Rules: ORCH-CONF-10

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config_schema::PoolConfig;
use engine_api::EngineFactory;
use model_store::Store;
use pool_manager::{MemoryAccount, ReplicaPolicy};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::{self, Offload};
use crate::pool_protocol::{ORDERS_BOUND, Orders, PoolEvent, PoolKey};
use crate::pools::{self, PoolContext, Residents};
use crate::tasks;

/// What every controller works with.
pub(super) struct ControllerContext {
    pub(super) store: Arc<Store>,
    pub(super) built_in: Arc<dyn EngineFactory>,
    pub(super) policy: watch::Receiver<ReplicaPolicy>,
    pub(super) offload: Offload,
    pub(super) memory: MemoryAccount,
    pub(super) events: mpsc::Sender<(PoolKey, PoolEvent)>,
    pub(super) shutdown: CancellationToken,
}

/// The controllers that run.
#[derive(Clone, Default)]
pub(super) struct Controllers {
    running: Arc<Mutex<Vec<JoinHandle<()>>>>,
    residents: Residents,
}

impl Controllers {
    /// Starts the controller of a pool. Returns the way to it.
    pub(super) fn open(&self, context: &ControllerContext, key: PoolKey, pool: PoolConfig) -> Orders {
        let (orders, ordered) = mpsc::channel(ORDERS_BOUND);
        let built_in = Arc::clone(&context.built_in);
        let context = PoolContext {
            pool: pool.id.clone(),
            key,
            store: Arc::clone(&context.store),
            engines: Arc::new(move |pool, model| engine::for_pool(pool, model, &built_in)),
            policy: context.policy.clone(),
            offload: context.offload,
            memory: context.memory.clone(),
            residents: self.residents.clone(),
            events: context.events.clone(),
            shutdown: context.shutdown.clone(),
        };
        let mut running = self.running();
        running.retain(|controller| !controller.is_finished());
        running.push(tasks::spawn(pools::keep(pool, ordered, context)));
        orders
    }

    /// Resolves when all of them have ended.
    pub(super) async fn ended(self) {
        let running = std::mem::take(&mut *self.running());
        for controller in running {
            if let Err(error) = controller.await {
                tracing::error!(%error, "a pool's controller did not end well");
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
