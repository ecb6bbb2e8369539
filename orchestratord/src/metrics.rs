//! The HOME set of metrics, and no other. Counters move where the thing happens; gauges are set from the
//! driver's and the telemetry's state at each scrape, so that none can go stale.
//!
//! Rules: ORCH-CONF-11, HOME-MET-1, ORCH-MET-1, ORCH-MET-2, ORCH-MET-3

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use orchestrator_core::Priority;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::backpressure::Code;
use crate::health_view::{HealthView, PoolView};
use crate::state::ModelState;

/// A lane of a pool. `replica_id` is empty on a task's way in: a task is counted when it enters its pool's
/// queue, and gets a replica only when it leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnqueuedLabels {
    engine: &'static str,
    engine_version: String,
    pool_id: String,
    replica_id: &'static str,
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    engine: &'static str,
    engine_version: String,
    pool_id: String,
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    engine: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    engine: &'static str,
    engine_version: String,
    pool_id: String,
    replica_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    engine: &'static str,
    engine_version: String,
    pool_id: String,
    replica_id: String,
    device: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model_id: String,
    state: &'static str,
}

/// What is read off one card at a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReading {
    /// The card's uuid.
    pub uuid: String,
    /// Share of the time it computed, 0 to 1.
    pub utilization: f64,
    /// Bytes of its memory in use.
    pub used_bytes: u64,
}

/// All series of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tasks_enqueued: Family<EnqueuedLabels, Counter>,
    tasks_rejected: Family<RejectedLabels, Counter>,
    tokens_in: Family<ReplicaLabels, Counter>,
    tokens_out: Family<ReplicaLabels, Counter>,
    queue_depth: Family<LaneLabels, Gauge>,
    gpu_utilization: Family<DeviceLabels, Gauge<f64, AtomicU64>>,
    vram_used_bytes: Family<DeviceLabels, Gauge>,
    model_state: Family<ModelLabels, Gauge>,
    /// The counters of pools, by the labels that they were counted with: what is to go with a pool.
    counted: Mutex<Counted>,
    /// One scrape at a time: gauges are set anew for each.
    scrape: Mutex<()>,
}

/// Labels of counters that belong to pools.
#[derive(Debug, Default)]
struct Counted {
    enqueued: HashSet<EnqueuedLabels>,
    tokens: HashSet<ReplicaLabels>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The registry with the HOME set in it.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            tasks_enqueued: Family::default(),
            tasks_rejected: Family::default(),
            tokens_in: Family::default(),
            tokens_out: Family::default(),
            queue_depth: Family::default(),
            gpu_utilization: Family::default(),
            vram_used_bytes: Family::default(),
            model_state: Family::default(),
            registry: Registry::default(),
            counted: Mutex::default(),
            scrape: Mutex::default(),
        };
        // The registry adds `_total` to the names of counters.
        registry.register("tasks_enqueued", "Tasks admitted into a queue", metrics.tasks_enqueued.clone());
        registry.register("tasks_rejected", "Tasks refused, by reason", metrics.tasks_rejected.clone());
        registry.register("tokens_in", "Prompt tokens of ended tasks", metrics.tokens_in.clone());
        registry.register("tokens_out", "Tokens given to tasks", metrics.tokens_out.clone());
        registry.register("queue_depth", "Tasks that wait", metrics.queue_depth.clone());
        registry.register(
            "gpu_utilization",
            "Share of the time the card computed, 0 to 1",
            metrics.gpu_utilization.clone(),
        );
        registry.register("vram_used_bytes", "Memory of the card in use", metrics.vram_used_bytes.clone());
        registry.register("model_state", "1 for the state that a model is in", metrics.model_state.clone());
        Self { registry, ..metrics }
    }

    /// A task entered its pool's queue.
    pub fn task_enqueued(&self, pool: &PoolLabels, priority: Priority) {
        let labels = EnqueuedLabels {
            engine: pool.engine,
            engine_version: pool.engine_version.clone(),
            pool_id: pool.pool_id.clone(),
            replica_id: "",
            priority: priority.as_str(),
        };
        self.tasks_enqueued.get_or_create(&labels).inc();
        self.counted().enqueued.insert(labels);
    }

    /// A task was refused.
    pub fn task_rejected(&self, engine: &'static str, reason: Code) {
        self.tasks_rejected.get_or_create(&RejectedLabels { engine, reason: reason.as_str() }).inc();
    }

    /// A task ended on a replica with this many tokens either way.
    pub fn tokens(&self, pool: &PoolLabels, replica: &str, tokens_in: u64, tokens_out: u64) {
        let labels = ReplicaLabels {
            engine: pool.engine,
            engine_version: pool.engine_version.clone(),
            pool_id: pool.pool_id.clone(),
            replica_id: replica.to_owned(),
        };
        self.tokens_in.get_or_create(&labels).inc_by(tokens_in);
        self.tokens_out.get_or_create(&labels).inc_by(tokens_out);
        self.counted().tokens.insert(labels);
    }

    /// A pool is gone: its series end.
    pub fn forget_pool(&self, pool_id: &str) {
        let mut counted = self.counted();
        for labels in counted.enqueued.extract_if(|labels| labels.pool_id == pool_id) {
            self.tasks_enqueued.remove(&labels);
        }
        for labels in counted.tokens.extract_if(|labels| labels.pool_id == pool_id) {
            self.tokens_in.remove(&labels);
            self.tokens_out.remove(&labels);
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, as OpenMetrics text.
    #[must_use]
    pub fn encode(&self, health: &HealthView, devices: &[DeviceReading]) -> String {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue_depth.clear();
        self.gpu_utilization.clear();
        self.vram_used_bytes.clear();
        self.model_state.clear();
        for pool in &health.pools {
            self.set_pool(pool, devices);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }

    fn set_pool(&self, pool: &PoolView, devices: &[DeviceReading]) {
        for state in ModelState::ALL {
            let labels = ModelLabels { model_id: pool.id.to_string(), state: state.as_str() };
            self.model_state.get_or_create(&labels).set(i64::from(pool.state == state));
        }
        let engine = pool.engine.as_str();
        let engine_version = pool.facts.as_ref().map(|facts| facts.version.clone()).unwrap_or_default();
        for lane in &pool.lanes {
            let labels = LaneLabels {
                engine,
                engine_version: engine_version.clone(),
                pool_id: pool.id.to_string(),
                priority: lane.priority.as_str(),
            };
            self.queue_depth.get_or_create(&labels).set(lane.depth.into());
        }
        for replica in &pool.replicas {
            let Some(reading) =
                devices.iter().find(|reading| replica.device_uuid.as_ref() == Some(&reading.uuid))
            else {
                continue;
            };
            let labels = DeviceLabels {
                engine,
                engine_version: engine_version.clone(),
                pool_id: pool.id.to_string(),
                replica_id: replica.id.to_string(),
                device: replica.device.clone(),
            };
            self.gpu_utilization.get_or_create(&labels).set(reading.utilization);
            let used = i64::try_from(reading.used_bytes).unwrap_or(i64::MAX);
            self.vram_used_bytes.get_or_create(&labels).set(used);
        }
    }
}

/// The labels that all series of one pool share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLabels {
    /// The engine's name.
    pub engine: &'static str,
    /// Its version.
    pub engine_version: String,
    /// The pool.
    pub pool_id: String,
}

#[cfg(test)]
mod tests;
