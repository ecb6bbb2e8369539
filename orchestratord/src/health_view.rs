//! The daemon at one moment: its pools, their lanes and replicas, as `/health`, the metrics and systemd are told
//! of them. Values only: the driver makes them, and nothing here asks for more.

use engine_api::{EngineFacts, EngineKind};
use orchestrator_core::{Millis, PoolId, Priority, ReplicaId, TokenCount};
use pool_manager::Placement;

use crate::state::ModelState;

/// The daemon at one moment, for `/health`.
#[derive(Clone, Debug)]
pub struct HealthView {
    /// Whether any pool can take a task.
    pub ready: bool,
    /// Whether the daemon is going down.
    pub stopping: bool,
    /// Time since the start.
    pub uptime: Millis,
    /// The pools, in the config's order.
    pub pools: Vec<PoolView>,
}

/// One pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// Its name.
    pub id: PoolId,
    /// The model it serves, as the config names it.
    pub model_ref: String,
    /// Further names of it.
    pub aliases: Vec<String>,
    /// Its engine.
    pub engine: EngineKind,
    /// Whether its model is in service.
    pub state: ModelState,
    /// Whether nothing is loaded, and the first task loads it.
    pub unloaded: bool,
    /// Whether its load is being prepared.
    pub loading: bool,
    /// The reload that is under way.
    pub reload: Option<ReloadView>,
    /// The estimate for each device before the last load.
    pub placement: Vec<Placement>,
    /// What its engine was when one was last ready.
    pub facts: Option<EngineFacts>,
    /// Each lane: tasks waiting, and the most that may.
    pub lanes: Vec<LaneView>,
    /// Its replicas.
    pub replicas: Vec<ReplicaView>,
    /// How far the model's file has been fetched, while it is being fetched.
    pub fetch: Option<FetchView>,
    /// Why the pool cannot serve, where it cannot and knows.
    pub reason: Option<String>,
    /// How long its model stays loaded.
    pub stay: StayView,
    /// The median of the error of predicted starts, as a fraction of the real wait.
    pub prediction_error: Option<f64>,
}

#[cfg(test)]
impl PoolView {
    /// A pool in service of the built-in engine, which has nothing.
    pub(crate) fn empty(id: &str, model_ref: &str) -> Self {
        Self {
            id: PoolId::new(id).expect("a name"),
            model_ref: model_ref.to_owned(),
            aliases: Vec::new(),
            engine: EngineKind::Llamacpp,
            state: ModelState::Active,
            unloaded: false,
            loading: false,
            reload: None,
            placement: Vec::new(),
            facts: None,
            lanes: Vec::new(),
            replicas: Vec::new(),
            fetch: None,
            reason: None,
            stay: StayView::default(),
            prediction_error: None,
        }
    }
}

/// How long a model stays loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StayView {
    /// Whether an operator pinned it.
    pub pinned: bool,
    /// Until it is unloaded for being idle, where that is so.
    pub unloads_in: Option<Millis>,
}

/// A reload that is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct ReloadView {
    /// The model it brings, as the config would name it.
    pub to: String,
    /// How far that is.
    pub stage: ReloadStage,
}

/// How far the new model of a reload is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReloadStage {
    /// Its file is fetched or checked; with how far, where something is fetched.
    Fetching(Option<FetchView>),
    /// The tasks at work finish before the models change places.
    Waiting,
    /// So much of it is loaded, from 0 to 1, over all of its replicas.
    Loading(f32),
    /// It is loaded and answers its test.
    Testing,
}

/// One lane of one pool.
#[derive(Clone, Copy, Debug)]
pub struct LaneView {
    /// Which.
    pub priority: Priority,
    /// Tasks waiting.
    pub depth: u32,
    /// The most that may wait.
    pub bound: u32,
}

/// A model's file on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchView {
    /// Bytes here.
    pub done_bytes: u64,
    /// Bytes in all, where the source says.
    pub total_bytes: Option<u64>,
}

impl FetchView {
    /// The share that is here, where the source says how much there is.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share of bytes needs no more than 52 bits")]
        self.total_bytes.filter(|total| *total > 0).map(|total| self.done_bytes as f64 / total as f64)
    }
}

/// One replica at one moment.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    /// Its name.
    pub id: ReplicaId,
    /// `starting`, `ready`, `suspended`, `retiring`, `exited` or `backing_off`.
    pub state: &'static str,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// How far its model is loaded, while it loads.
    pub load_progress: Option<f32>,
    /// Where it computes: `cpu` or `gpu0`.
    pub device: String,
    /// The card's uuid, where it computes on one.
    pub device_uuid: Option<String>,
    /// What it is, once it is ready.
    pub facts: Option<EngineFacts>,
    /// Slots that decode a task now.
    pub slots_busy: u16,
    /// Cells of its KV cache that running tasks hold or keep for their answers, where they are counted.
    pub kv_cells_used: Option<TokenCount>,
    /// Measured speed of one stream.
    pub decode_tps: Option<f64>,
    /// Measured speed of prompt reading.
    pub prefill_tps: Option<f64>,
}
