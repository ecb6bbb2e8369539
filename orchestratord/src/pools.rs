//! A pool's way to its replicas: the model's file is found or fetched, devices are chosen, and a supervisor
//! is started for each replica. What becomes of it is told to the driver; nothing here decides about tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{Device, EngineFactory, ReplicaSpec};
use config_schema::{DeviceChoice, DevicesChoice, PoolConfig, PoolModel};
use model_store::{Cancel, FetchError, Progress, Store, Transfer};
use orchestrator_core::{PoolId, ReplicaId};
use pool_manager::{ReplicaEvent, ReplicaPolicy, Snapshot, Supervisor, SupervisorHandle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::driver::PoolEvent;
use crate::engine::Offload;
use crate::handle::FetchView;

/// The wait before a failed fetch is tried again: at first, and at most.
const FETCH_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// The least time between two words on a fetch's progress, and between two lines of it in the log.
const PROGRESS_STEP: Duration = Duration::from_millis(250);
const PROGRESS_LOG_STEP: Duration = Duration::from_secs(5);

/// What pools are kept with.
#[derive(Clone)]
pub struct Means {
    /// Where models are.
    pub store: Arc<Store>,
    /// What starts engines.
    pub engines: Arc<dyn EngineFactory>,
    /// How replicas are kept up.
    pub policy: ReplicaPolicy,
    /// The devices, once they have been read.
    pub devices: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// What the engines of this build can compute on beside the processor.
    pub offload: Offload,
    /// To the driver.
    pub pool_events: mpsc::Sender<(PoolId, PoolEvent)>,
    /// To the driver.
    pub replica_events: mpsc::Sender<ReplicaEvent>,
    /// The end of it all.
    pub shutdown: CancellationToken,
}

/// Brings a pool up and keeps it up until the shutdown; returns when its replicas are gone.
pub async fn keep(pool: PoolConfig, means: Means) {
    let Some(model) = fetched(&pool, &means).await else { return };
    let replicas = start(&pool, model, &means).await;
    means.shutdown.cancelled().await;
    let stops: Vec<_> = replicas.iter().map(|replica| replica.stop(means.policy.stop_grace)).collect();
    for stop in stops {
        let outcome = stop.await;
        tracing::debug!(pool = %pool.id, ?outcome, "replica stopped");
    }
}

/// The model's file; nothing when the shutdown came first.
async fn fetched(pool: &PoolConfig, means: &Means) -> Option<PathBuf> {
    let mut wait = FETCH_RETRY.0;
    loop {
        let why = match fetch_once(pool, means).await {
            Ok(path) => return Some(path),
            Err(_) if means.shutdown.is_cancelled() => return None,
            Err(why) => why,
        };
        tracing::error!(pool = %pool.id, model = %pool.model, reason = why, retry_s = wait.as_secs(), "no model");
        tell(pool, means, PoolEvent::FetchFailed { why, retry_in: wait }).await;
        tokio::select! {
            () = means.shutdown.cancelled() => return None,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(FETCH_RETRY.1);
    }
}

async fn fetch_once(pool: &PoolConfig, means: &Means) -> Result<PathBuf, String> {
    let cancel = Cancel::default();
    let (views, mut seen) = tokio::sync::watch::channel(None::<FetchView>);
    let fetching = tokio::task::spawn_blocking({
        let PoolModel::Reference(model) = pool.model.clone() else {
            return Err(format!("the built-in engine does not serve `{}` by its name", pool.model));
        };
        let (store, sha256) = (Arc::clone(&means.store), pool.sha256.clone());
        let cancel = cancel.clone();
        move || store.fetch(&model, sha256.as_deref(), &Reporter(views), &cancel)
    });
    tokio::pin!(fetching);
    let mut last_line = None::<tokio::time::Instant>;
    loop {
        tokio::select! {
            done = &mut fetching => {
                let fetched = done.map_err(|_| "the fetch panicked".to_owned())?.map_err(describe)?;
                if let Some(warning) = &fetched.warning {
                    tracing::warn!(pool = %pool.id, model = %pool.model, "{warning}");
                }
                return Ok(fetched.path);
            }
            // Its thread may sit in a system call for a while yet: nobody waits for it.
            () = means.shutdown.cancelled() => {
                cancel.cancel();
                return Err("canceled".to_owned());
            }
            Ok(()) = seen.changed() => {
                let Some(view) = *seen.borrow_and_update() else { continue };
                tell(pool, means, PoolEvent::Fetching(view)).await;
                if last_line.is_none_or(|last| last.elapsed() >= PROGRESS_LOG_STEP) {
                    last_line = Some(now());
                    tracing::info!(
                        pool = %pool.id, model = %pool.model, done_bytes = view.done_bytes,
                        total_bytes = view.total_bytes, "fetching"
                    );
                }
                tokio::time::sleep(PROGRESS_STEP).await;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how often the log speaks decides nothing")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// An error and its causes, for the owner of the machine.
fn describe(error: FetchError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Passes the newest figures on; those in between are of no use to anybody.
struct Reporter(tokio::sync::watch::Sender<Option<FetchView>>);

impl Progress for Reporter {
    fn transfer(&self, transfer: Transfer<'_>) {
        self.0.send_replace(Some(FetchView { done_bytes: transfer.done, total_bytes: transfer.total }));
    }

    fn note(&self, text: &str) {
        tracing::info!("{text}");
    }
}

async fn start(pool: &PoolConfig, model: PathBuf, means: &Means) -> Vec<SupervisorHandle> {
    let replicas = pool.replicas.unwrap_or(1);
    let devices = devices(&pool.devices, replicas, &(means.devices)(), means.offload);
    let specs: Vec<ReplicaSpec> = (0..replicas)
        .zip(devices)
        .map(|(index, device)| ReplicaSpec {
            replica: ReplicaId { pool: pool.id.clone(), index },
            model: model.clone(),
            ctx: pool.ctx,
            slots: pool.slots,
            threads: pool.threads,
            device,
            gpu_layers: pool.gpu_layers,
        })
        .collect();
    let names = specs.iter().map(|spec| (spec.replica.clone(), spec.device.clone())).collect();
    tell(pool, means, PoolEvent::Starting(names)).await;
    specs
        .into_iter()
        .map(|spec| {
            let (engines, policy) = (Arc::clone(&means.engines), means.policy.clone());
            Supervisor::spawn(
                spec,
                engines,
                policy,
                means.replica_events.clone(),
                means.shutdown.child_token(),
            )
        })
        .collect()
}

/// The device of each of so many replicas. A card that is named and not there is still named: the engine's
/// start says so, and goes on trying.
fn devices(choice: &DevicesChoice, replicas: u16, found: &Snapshot, offload: Offload) -> Vec<Device> {
    let all = |device: Device| vec![device; usize::from(replicas)];
    match choice {
        DevicesChoice::Listed(devices) => {
            devices.iter().map(|device| named(device, found)).cycle().take(usize::from(replicas)).collect()
        }
        DevicesChoice::Auto => match offload {
            Offload::None => all(Device::Cpu),
            Offload::Own => all(Device::Gpu { uuid: String::new(), index: 0 }),
            Offload::Nvidia => by_free_memory(found, replicas),
        },
    }
}

fn named(choice: &DeviceChoice, found: &Snapshot) -> Device {
    let find = |wanted: &dyn Fn(&str, u32) -> bool| {
        found.devices.iter().map(|reading| &reading.device).find_map(|device| match device {
            Device::Gpu { uuid, index } if wanted(uuid, *index) => Some(device.clone()),
            Device::Gpu { .. } | Device::Cpu => None,
        })
    };
    match choice {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::GpuIndex(wanted) => find(&|_, index| index == *wanted)
            .unwrap_or_else(|| Device::Gpu { uuid: String::new(), index: *wanted }),
        DeviceChoice::GpuUuid(wanted) => {
            find(&|uuid, _| uuid == wanted).unwrap_or_else(|| Device::Gpu { uuid: wanted.clone(), index: 0 })
        }
    }
}

/// The cards in turn, the one with the most free memory first; the processor where there is none.
fn by_free_memory(found: &Snapshot, replicas: u16) -> Vec<Device> {
    let mut cards = found.devices.clone();
    cards.retain(|card| card.device != Device::Cpu && card.memory.is_some());
    cards.sort_by_key(|card| std::cmp::Reverse(card.memory.map_or(0, |memory| memory.free_bytes)));
    let cards: Vec<Device> = cards.into_iter().map(|card| card.device).collect();
    let cards = if cards.is_empty() { vec![Device::Cpu] } else { cards };
    cards.iter().cloned().cycle().take(usize::from(replicas)).collect()
}

async fn tell(pool: &PoolConfig, means: &Means, event: PoolEvent) {
    // A driver that is gone needs no news.
    let _ = means.pool_events.send((pool.id.clone(), event)).await;
}

#[cfg(test)]
mod tests;
