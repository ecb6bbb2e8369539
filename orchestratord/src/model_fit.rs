//! Whether a model that no pool serves would fit this machine, on which device and with how much context: the
//! arithmetic of a load, with nothing loaded and nothing promised.
//!
//! Rules: ORCH-DEV-11

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config_schema::{DEFAULT_SLOTS, DevicesChoice, PoolConfig};
use engine_api::{Device, EngineFactory, LoadOptions, ReplicaSpec, StartError};
use model_store::{ModelRef, Store};
use orchestrator_core::{PoolId, ReplicaId};
use pool_manager::fit::{CtxRequest, DeviceCandidate, FitQuery};
use pool_manager::{Fit, MemoryAccount};
use tokio::sync::Semaphore;

use crate::engine::Offload;
use crate::pools;

/// How many models are looked at at a time: each costs a process of the engine.
const AT_ONCE: usize = 1;

/// Looks at models.
pub struct ModelFit {
    engines: Arc<dyn EngineFactory>,
    store: Arc<Store>,
    offload: Offload,
    memory: MemoryAccount,
    places: Semaphore,
}

/// Why a model cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Its file is not here.
    #[error("there is no file of it on this machine")]
    Missing,
    /// The engine says what is wrong with it.
    #[error(transparent)]
    Engine(#[from] StartError),
}

impl ModelFit {
    /// With the built-in engine and the files of this store.
    #[must_use]
    pub fn new(
        engines: Arc<dyn EngineFactory>,
        store: Arc<Store>,
        offload: Offload,
        memory: MemoryAccount,
    ) -> Arc<Self> {
        Arc::new(Self { engines, store, offload, memory, places: Semaphore::new(AT_ONCE) })
    }

    /// One that knows no device and no engine of its own, for tests of what stands before it.
    #[must_use]
    pub fn with(engines: Arc<dyn EngineFactory>, store: Arc<Store>) -> Arc<Self> {
        Self::new(engines, store, Offload::None, MemoryAccount::unbounded())
    }

    /// The estimate for each device of this machine, the one that a pool would take first at the head, with the
    /// defaults of a pool; of `pool`, where one is named, with its options and for its devices.
    ///
    /// # Errors
    /// [`FitError`].
    pub async fn of(&self, model: &ModelRef, pool: Option<&PoolConfig>) -> Result<Fit, FitError> {
        let path = self.file(model).ok_or(FitError::Missing)?;
        let _place = self.places.acquire().await;
        let snapshot = (self.memory.devices)();
        let choice = pool.map_or(&DevicesChoice::Auto, |pool| &pool.devices);
        let mut devices = pools::devices(choice, &snapshot, self.offload);
        if pool.is_none() && !devices.contains(&Device::Cpu) {
            devices.push(Device::Cpu);
        }
        let mut candidates = Vec::with_capacity(devices.len());
        for device in devices {
            let spec = match pool {
                Some(pool) => pools::spec_to_estimate(pool, &path, device.clone()),
                None => spec(&path, device.clone()),
            };
            let estimate = self.engines.estimate(spec).await?;
            let need = estimate.map(pools::need_of);
            candidates.push(DeviceCandidate { device, need, free_bytes: None, usable_bytes: None });
        }
        Ok(self.answer(candidates, pool))
    }

    fn file(&self, model: &ModelRef) -> Option<PathBuf> {
        self.store.locate(model).filter(|path| path.is_file())
    }

    /// The fit into what is free now. Nothing is noted in the ledger.
    fn answer(&self, mut candidates: Vec<DeviceCandidate>, pool: Option<&PoolConfig>) -> Fit {
        self.memory.ledger.look(&(self.memory.devices)(), &[], |view| {
            self.memory.note_room(&mut candidates, view);
            let (ctx, slots) =
                pool.map_or((CtxRequest::Auto, DEFAULT_SLOTS), |pool| (pools::ctx_request(pool), pool.slots));
            let replicas = pool.and_then(|pool| pool.replicas);
            FitQuery { candidates, replicas, ctx, slots, others: 0 }.answer()
        })
    }
}

/// A replica with the defaults of a pool. It is never started.
fn spec(file: &Path, device: Device) -> ReplicaSpec {
    ReplicaSpec {
        replica: ReplicaId { pool: PoolId::new("preview").expect("a name of letters"), index: 0 },
        model: file.to_owned(),
        ctx: None,
        kv_cells: None,
        slots: DEFAULT_SLOTS,
        threads: None,
        device,
        gpu_layers: None,
        options: LoadOptions::default(),
    }
}
