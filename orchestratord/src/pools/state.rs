//! The states of a controller. Each owns its data. The work of a state is a future in it: an order that makes the work
//! pointless drops the future, which cancels the work.
//!
//! ```text
//!            ┌──── delay over, Load ────┐
//!            ▼                          │
//!  ──► Fetching ──failed──► FetchDelay ─┘
//!            │ file
//!            ▼                no room
//!        Estimating ──────────────────────► WaitingForRoom
//!            │  ▲ └─no room, at the start─►┐   │
//!            │  └── memory freed, a second ─│───┘
//!            │ fits                         ▼
//!            ▼                   Load: Fetching ◄── Unloaded
//!          Loaded ── Unload, without room ──► Unloading ──► Unloaded
//!
//!  any but Unloading ──Reload──► Reloading ── passed ──► Loaded (the new model)
//!                                    └────── failed ──► the state before
//! ```
//!
//! Who triggers what: orders come from the driver; `without room` from the replicas' supervisors; all else from the
//! future in the state.
//!
//! Rules: ORCH-MODEL-11

use std::time::Duration;

use futures_util::future::BoxFuture;
use pool_manager::fit::DeviceCandidate;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch::ModelFile;
use super::reload::ReloadEnd;
use super::resources::Loaded;

/// What the model is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// Its file is to be here.
    File,
    /// It is to be loaded where there is room: the config asks for it at the start.
    LoadIfRoom,
    /// It is to be loaded: the driver asks for it.
    Load,
}

/// The state of a controller.
pub(super) enum State {
    /// Nothing is loaded, and nothing is being done.
    Unloaded,
    /// The model's file is looked for or transferred.
    Fetching {
        goal: Goal,
        /// The delay after this try, should it fail.
        retry: Duration,
        fetch: BoxFuture<'static, Result<ModelFile, String>>,
    },
    /// The last try failed.
    FetchDelay {
        goal: Goal,
        /// The delay after the next try, should it fail.
        retry: Duration,
        /// Why the last one failed.
        why: String,
        until: Instant,
    },
    /// The engine estimates what the model needs; at once where it has done so before.
    Estimating { goal: Goal, file: ModelFile, candidates: BoxFuture<'static, Vec<DeviceCandidate>> },
    /// No device has room. Other programs do not say when they give memory back, so it looks again after a time.
    WaitingForRoom { file: ModelFile, look_at: Instant, freed: watch::Receiver<u64> },
    /// Replicas start, serve, or wait for their restart.
    Loaded(Loaded),
    /// Replicas end.
    Unloading(BoxFuture<'static, ()>),
    /// Another model is tried.
    Reloading {
        /// Gives the reload up.
        cancel: CancellationToken,
        /// Gives the reload up, and what the pool had before with it. The parent of `cancel`.
        unload: CancellationToken,
        /// What the driver ordered meanwhile.
        then: AfterReload,
        reload: BoxFuture<'static, ReloadEnd>,
    },
}

/// What comes after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterReload {
    /// What the pool did before, if the reload fails.
    Nothing,
    /// A load, if the reload fails and nothing is loaded or being loaded.
    Load,
    /// The unload for which the reload was canceled.
    Unload,
}

/// Something in a state has come to its end.
pub(super) enum Step {
    Fetched(Result<ModelFile, String>),
    RetryFetch,
    Estimated(Vec<DeviceCandidate>),
    LookForRoom,
    /// Every replica is down, and others have their memory.
    WithoutRoom,
    Unloaded,
    ReloadOver(ReloadEnd),
}

impl State {
    /// Resolves when what is being done has come to its end. May be dropped and called again.
    pub(super) async fn step(&mut self) -> Step {
        match self {
            Self::Unloaded => std::future::pending().await,
            Self::Fetching { fetch, .. } => Step::Fetched(fetch.await),
            Self::FetchDelay { until, .. } => {
                tokio::time::sleep_until(*until).await;
                Step::RetryFetch
            }
            Self::Estimating { candidates, .. } => Step::Estimated(candidates.await),
            Self::WaitingForRoom { look_at, freed, .. } => {
                tokio::select! {
                    _ = freed.changed() => {}
                    () = tokio::time::sleep_until(*look_at) => {}
                }
                Step::LookForRoom
            }
            Self::Loaded(loaded) => {
                loaded.fleet.without_room().await;
                Step::WithoutRoom
            }
            Self::Unloading(ending) => {
                ending.await;
                Step::Unloaded
            }
            Self::Reloading { reload, .. } => Step::ReloadOver(reload.await),
        }
    }

    /// Whether orders are taken now. They wait while replicas end, which the engines' grace bounds.
    pub(super) fn takes_orders(&self) -> bool {
        !matches!(self, Self::Unloading(_) | Self::Reloading { then: AfterReload::Unload, .. })
    }
}
