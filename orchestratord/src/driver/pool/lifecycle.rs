//! The life of a pool's model.
//!
//! ```text
//! Fetching ──► Unloaded ──a task, preload──► Loading ──► Serving ──idle, evicted, retired──► Emptying
//!    │ ▲          ▲                           │  ▲          ▲                                  │
//!    ▼ │          │                           ▼  │ room     │ another load, or taken back      ▼
//! FetchFailed     │                          NoRoom ──► NoFit                               Unloading ──► Retired
//!                 └──────────────────────────────────────────────────────────────────────────┘
//!
//! Reloading(under): a change of the model on top of any state that is not on its way out. Its own controller moves
//! the state under it: `Swapped` to Serving, or Emptying ──► Swapping ──► Serving where memory is for one model.
//! ```
//!
//! | transition | who triggers it |
//! |---|---|
//! | into Fetching, `FetchFailed`, `NoRoom`, Serving, Unloaded | the pool's controller (`PoolEvent`) |
//! | Unloaded, `NoFit` to Loading | the driver, when a task waits or the model is pinned (`NoFit` once its time has come), or memory came back |
//! | `NoRoom` to `NoFit` | the driver, when no other pool can make room |
//! | Serving to Emptying | the driver: idle for long enough (`stay.rs`), another pool needs the room, retired; the controller: `Hold` |
//! | Emptying to Unloading or Swapping | the end of the last task in a replica |
//! | into and out of Retired | an operator, by `retire` and `activate` |
//! | into Reloading | an operator or a configuration; out of it: the controller (`ReloadOver`), whatever came of it |
//!
//! `events.rs` takes in what the controller reports, `operations.rs` carries out loads, reloads and retirement, and
//! `settle.rs` does what has become due.
//!
//! Every order to the controller is answered; a pool that failed is never a state without a way on: `FetchFailed` is
//! retried by the controller, `NoFit` by the next task after its time, and replicas that are down by their supervisors.

use engine_api::Device;
use orchestrator_core::{ReplicaId, Timestamp};

use super::Pool;
use crate::backpressure::Refusal;
use crate::driver::Effect;
use crate::health_view::{FetchView, ReloadView};
use crate::pool_protocol::{IdleSignal, Order, ReloadOutcome};
use crate::protocol::ReplyTo;
use crate::state::ModelState;

mod events;
mod operations;
mod settle;

/// The life of a model.
#[derive(Debug)]
pub(super) enum Lifecycle {
    /// The controller fetches the model's file.
    Fetching { view: FetchView, since: Timestamp },
    /// The file is not there; the controller tries again.
    FetchFailed { why: String, retry_at: Timestamp },
    /// The file is there, and nothing is loaded.
    Unloaded,
    /// The controller has the order to load it.
    Loading { since: Timestamp },
    /// It waits for others to make room; `looks` counts how often in a row there was none.
    NoRoom { why: String, devices: Vec<Device>, since: Timestamp, looks: u32 },
    /// It does not fit, and no other pool could make room.
    NoFit { why: String, retry_at: Timestamp },
    /// It has replicas. `down_since` is when the last one that takes tasks was lost.
    Serving { down_since: Option<Timestamp> },
    /// Its replicas take nothing new and finish what they have; then comes `then`.
    Emptying { then: AfterEmpty },
    /// The controller has the order to unload it.
    Unloading { then: AfterUnload },
    /// The controller puts another model in its place.
    Swapping,
    /// An operator took it out of service; nothing is loaded.
    Retired,
    /// Another model is being put in; `under` is the state of the pool without that.
    Reloading { reload: Reload, under: Box<Lifecycle> },
}

/// What follows once no task is in a replica.
#[derive(Debug)]
pub(super) enum AfterEmpty {
    /// The model is unloaded.
    Unload(AfterUnload),
    /// The controller gets this signal, and swaps the models.
    Swap(IdleSignal),
}

/// What follows once nothing is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterUnload {
    /// The next task loads it.
    Rest,
    /// It is loaded again: it was put back into service meanwhile.
    Load,
    /// It stays out of service.
    Retire,
}

/// A reload that is under way.
#[derive(Debug)]
pub(super) struct Reload {
    /// What is shown of it.
    pub(super) view: ReloadView,
    /// Who asked for it.
    to: ReplyTo<Result<ReloadOutcome, Refusal>>,
    /// Whether a new configuration asked for it, and not an operator.
    pub(super) by_config: bool,
    /// Whether the model is retired once it is over.
    retire: bool,
}

impl Lifecycle {
    /// The state of a pool whose controller has just been started.
    pub(super) fn at_start(now: Timestamp) -> Self {
        Self::Fetching { view: FetchView { done_bytes: 0, total_bytes: None }, since: now }
    }

    /// The state without a reload on top of it.
    pub(super) fn base(&self) -> &Self {
        match self {
            Self::Reloading { under, .. } => under.base(),
            other => other,
        }
    }

    pub(super) fn base_mut(&mut self) -> &mut Self {
        match self {
            Self::Reloading { under, .. } => under.base_mut(),
            other => other,
        }
    }

    /// The reload that is under way.
    pub(super) fn reload(&self) -> Option<&Reload> {
        match self {
            Self::Reloading { reload, .. } => Some(reload),
            _ => None,
        }
    }

    /// Whether an operator has taken the model out of service.
    pub(super) fn is_retired(&self) -> bool {
        match self {
            Self::Retired
            | Self::Emptying { then: AfterEmpty::Unload(AfterUnload::Retire) }
            | Self::Unloading { then: AfterUnload::Retire } => true,
            Self::Reloading { reload, under } => reload.retire || under.is_retired(),
            _ => false,
        }
    }

    /// Whether its replicas are on their way out: they get no new task.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.base(), Self::Emptying { .. } | Self::Unloading { .. } | Self::Swapping | Self::Retired)
    }
}

impl Pool {
    /// Whether the model is in service.
    pub(in crate::driver) fn state(&self) -> ModelState {
        let out = self.lifecycle.is_retired() || !self.is_configured();
        if out { ModelState::Retired } else { ModelState::Active }
    }

    /// Whether a reload can begin now.
    pub(in crate::driver) fn may_reload(&self) -> bool {
        self.lifecycle.reload().is_none() && !self.lifecycle.is_leaving()
    }

    /// Whether a replica of this name is here.
    pub(in crate::driver) fn has(&self, replica: &ReplicaId) -> bool {
        self.replicas.has(replica)
    }

    pub(super) fn enter(&mut self, next: Lifecycle) {
        *self.lifecycle.base_mut() = next;
    }

    pub(super) fn order(&self, order: Order, effects: &mut Vec<Effect>) {
        if !self.is_closing() {
            effects.push(Effect::Order(self.key, order));
        }
    }
}
