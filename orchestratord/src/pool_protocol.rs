//! The words between the driver and a pool's controller. The driver decides when a model is loaded, unloaded or
//! changed; the controller does it, and sends events about how it went.
//!
//! Every order is answered, in every state of the controller (`pools/controller.rs` has the table of order and state):
//!
//! - [`Order::Load`] by [`PoolEvent::Starting`], or first by [`PoolEvent::Fetching`], [`PoolEvent::FetchFailed`] or
//!   [`PoolEvent::NoRoom`], the first of them within seconds. The load goes on until `Starting`, or until an `Unload`.
//! - [`Order::Preload`] alike, but by [`PoolEvent::Unloaded`] where there is no room.
//! - [`Order::Unload`] by [`PoolEvent::Unloaded`], at once where no replica runs, within the engines' grace otherwise.
//!   It cancels whatever is being done; a reload that it cancels is answered first.
//! - [`Order::Reload`] by exactly one [`PoolEvent::ReloadOver`]. It is tried in every state, and waits for nothing but
//!   its own fetch, load and test, and for running tasks where the models have to change places. One with new options
//!   is answered at once by [`PoolEvent::Adopted`] and `ReloadOver` where nothing is loaded.
//! - [`Order::CancelReload`] ends a reload that is under way, which is answered; otherwise it changes nothing.
//! - [`Order::SetDemand`] has no answer.
//!
//! The end of the orders ends the controller, in every state and within the engines' grace; [`PoolEvent::Closed`] is
//! then the last event of its pool.
//!
//! Rules: ORCH-REPL-10, ORCH-MODEL-11, ORCH-MODEL-12

use std::sync::Arc;
use std::time::Duration;

use config_schema::{PoolConfig, PoolModel};
use engine_api::{Device, Engine, EngineKind};
use orchestrator_core::ReplicaId;
pub use pool_manager::Demand;
use pool_manager::{DownReason, Placement, ReplicaEvent, SelfTest};
use tokio::sync::{mpsc, oneshot};

use crate::health_view::{FetchView, ReloadStage};

/// Orders that wait for a controller. The driver gives a new one only when the one before it is answered, but
/// for a reload, of which there is one at a time.
pub const ORDERS_BOUND: usize = 8;

/// A pool for as long as it is there. A later pool of the same name has another key, so that no event of the earlier
/// one is taken for one of the later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey(u32);

impl PoolKey {
    /// The key of the first pool.
    pub const FIRST: Self = Self(0);

    /// The key of the pool after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Tells a controller that replicas are idle. Used once; dropped unused, it tells that the driver is gone.
pub type IdleSignal = oneshot::Sender<()>;

/// What a controller is ordered to do.
#[derive(Debug)]
pub enum Order {
    /// Load the model, and go on trying until its replicas start.
    Load,
    /// Load the model if there is room for it.
    Preload,
    /// End the replicas, in which no task is any more, or whatever is being done instead of having them.
    Unload,
    /// Serve another model.
    Reload(ReloadOrder),
    /// Give the reload that is under way up, and have the pool as it was before.
    CancelReload,
    /// Whether tasks wait for the pool: sent when that changes. While they do, a replica or a fetch that failed is
    /// tried again every few seconds (`worker.restart.waiting_max_s`) instead of after up to minutes, also while the
    /// breaker is open; each delay that gets shorter is sent anew, as `BackingOff` or [`PoolEvent::FetchFailed`]. A
    /// model whose file is broken ([`pool_manager::ReplicaEventKind::Failed`]) is not tried more often.
    SetDemand(Demand),
}

/// A reload.
#[derive(Debug)]
pub struct ReloadOrder {
    /// The new model.
    pub model: PoolModel,
    /// The checksum its file must have.
    pub sha256: Option<String>,
    /// The pool's options, where they change with the model: a new configuration has them. Where nothing is loaded,
    /// such a reload is not tried but taken over, for the next load.
    pub options: Option<Box<PoolConfig>>,
}

/// What became of a reload: the model that is served, as the config would name it, or why it is the one before.
pub type ReloadOutcome = Result<String, Rollback>;

/// Why a model was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackCode {
    /// Its file is missing, could not be fetched, or has another checksum.
    ModelUnavailable,
    /// Its file is broken or of an unknown architecture.
    ModelInvalid,
    /// It needs more memory than there is.
    DoesNotFit,
    /// It was loaded and did not answer as it must.
    SelfTestFailed,
    /// The engine ended, or did not get ready in time.
    EngineFailed,
    /// The pool is being reloaded already.
    ReloadInProgress,
    /// The pool's model is retired.
    ModelRetired,
    /// The daemon is going down.
    Stopping,
}

impl RollbackCode {
    /// As the wire and the log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ModelUnavailable => "MODEL_UNAVAILABLE",
            Self::ModelInvalid => "MODEL_INVALID",
            Self::DoesNotFit => "DOES_NOT_FIT",
            Self::SelfTestFailed => "SELF_TEST_FAILED",
            Self::EngineFailed => "ENGINE_FAILED",
            Self::ReloadInProgress => "RELOAD_IN_PROGRESS",
            Self::ModelRetired => "MODEL_RETIRED",
            Self::Stopping => "STOPPING",
        }
    }
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Why.
    pub code: RollbackCode,
    /// What happened and what to do, for a person.
    pub message: String,
}

impl Rollback {
    /// Whether the new model was not even tried.
    #[must_use]
    pub const fn refused(&self) -> bool {
        match self.code {
            RollbackCode::ReloadInProgress | RollbackCode::ModelRetired | RollbackCode::Stopping => true,
            RollbackCode::ModelUnavailable
            | RollbackCode::ModelInvalid
            | RollbackCode::DoesNotFit
            | RollbackCode::SelfTestFailed
            | RollbackCode::EngineFailed => false,
        }
    }

    /// The rollback for a replica that failed.
    #[must_use]
    pub fn of_failure(reason: &DownReason) -> Self {
        use engine_api::StartError;
        let code = match reason {
            DownReason::Start(StartError::Model(_)) => RollbackCode::ModelInvalid,
            DownReason::Start(StartError::Memory(_)) | DownReason::NoRoom(_) => RollbackCode::DoesNotFit,
            DownReason::SelfTest(_) => RollbackCode::SelfTestFailed,
            DownReason::Start(StartError::Engine(_)) | DownReason::LoadTimeout(_) | DownReason::Gone(_) => {
                RollbackCode::EngineFailed
            }
            DownReason::Stopped => RollbackCode::Stopping,
        };
        Self { code, message: reason.to_string() }
    }
}

/// News of a pool, in order.
#[derive(Debug)]
pub enum PoolEvent {
    /// The model's file is on its way.
    Fetching(FetchView),
    /// The model's file could not be fetched or found, and is tried again after `retry_in`. Sent at the start of the
    /// daemon and after [`Order::Load`], at every failed try, with the delay before the next one; alike for a transfer
    /// that broke off, a checksum that is wrong, and a `file:` reference whose file is not there (any more). Until the
    /// next event, nothing is loaded. The tries end with the file (`Starting`, `NoRoom` or `Unloaded` follow), with
    /// [`Order::Unload`], or with another model by [`Order::Reload`].
    FetchFailed {
        /// Why, in words for the user.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Nothing is loaded, and nothing is being loaded. Sent after [`Order::Unload`]; at the start of the daemon, when
    /// the file is there and nothing is to be loaded; and unasked, when all replicas were down with their breakers open
    /// and others have taken the memory meanwhile: the next [`Order::Load`] waits for room as any other.
    Unloaded,
    /// Where the model was to go, and why there.
    Placed(Vec<Placement>),
    /// It does not fit beside what is loaded; it is loaded when it does.
    NoRoom {
        /// The arithmetic in words.
        why: String,
        /// The devices it could go to.
        devices: Vec<Device>,
        /// Whether it would not fit though nothing else were loaded: there is nothing to wait for.
        never: bool,
    },
    /// These replicas are started.
    Starting(Vec<(ReplicaId, Device)>),
    /// News of a replica.
    Replica(ReplicaEvent),
    /// These replicas serve from now on, and those before them take nothing more.
    Swapped {
        /// The model they serve, as the config would name it.
        model_ref: String,
        /// The engine that serves it.
        engine: EngineKind,
        /// The new replicas.
        replicas: Vec<Swapped>,
        /// Told when no task is in the old ones any more.
        old_idle: IdleSignal,
    },
    /// The next load is of this model, and nothing was loaded of the one before.
    Adopted {
        /// The model, as the config would name it.
        model_ref: String,
        /// The engine that serves it.
        engine: EngineKind,
    },
    /// No task may be given to a replica: the models change places. Told when none is in one any more.
    PauseDispatch(IdleSignal),
    /// How far the new model of the reload is.
    Reloading(ReloadStage),
    /// The reload is over: the next one may come.
    ReloadOver(ReloadOutcome),
    /// The controller has ended, and with it all that the pool had.
    Closed,
}

/// A replica that takes another's place.
pub struct Swapped {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it computes.
    pub device: Device,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// What its test measured.
    pub self_test: SelfTest,
}

impl std::fmt::Debug for Swapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.replica, self.device)
    }
}

/// The channel to a controller.
pub type Orders = mpsc::Sender<Order>;
