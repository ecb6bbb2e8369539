//! The states of a replica, and the events about it.
//!
//! ```text
//!            ┌───────────── engine ready, self-test passed ─────────────┐
//!            │                                                          ▼
//!        Starting ◄──── delay over ──── BackingOff ◄──── gone ──────── Ready
//!            │  └──── start or self-test failed ────►│                  │
//!            └──────────── stop ───────────┐  ┌──────┘                  │ stop
//!                                          ▼  ▼                         ▼
//!                                        Exited ◄──────────────────── Retiring
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, ExitReason, StartError};
use orchestrator_core::ReplicaId;
use tokio::time::Instant;

use crate::backoff::Breaker;
use crate::self_test::{SelfTest, SelfTestError};

/// Why a replica is not up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DownReason {
    /// The engine could not be started.
    #[error("{0}")]
    Start(StartError),
    /// Loading took longer than allowed.
    #[error("the model was not loaded within {} s", .0.as_secs())]
    LoadTimeout(Duration),
    /// It loaded and then failed its test.
    #[error("self-test failed: {0}")]
    SelfTest(SelfTestError),
    /// Its memory was released while it was down, and others have it now; it starts when they give it back.
    #[error("{0}")]
    NoRoom(String),
    /// The engine went away.
    #[error("the engine {0}")]
    Gone(ExitReason),
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// The state of a replica.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplicaState {
    /// The engine is started, its model loaded, its answer tested.
    Starting {
        /// How far the model is loaded, from 0 to 1.
        progress: f32,
    },
    /// It may serve.
    Ready,
    /// It was asked to stop and is not gone yet.
    Retiring,
    /// It is gone and does not come back.
    Exited {
        /// Why.
        reason: DownReason,
    },
    /// It failed and waits for its next start.
    BackingOff {
        /// When it is started again.
        until: Instant,
        /// Failures in a row so far, from 1.
        attempt: u32,
        /// Whether it is taken for a crash loop.
        breaker: Breaker,
        /// Why it failed.
        reason: DownReason,
    },
}

/// Something happened to a replica.
#[derive(Clone)]
pub struct ReplicaEvent {
    /// The replica.
    pub replica: ReplicaId,
    /// What happened.
    pub kind: ReplicaEventKind,
}

/// What happened to a replica. Every `Ready` is followed by exactly one `Gone`, and no other `Ready`
/// comes between. `Starting` with progress may be left out when the receiver is slow; nothing else is.
#[derive(Clone)]
pub enum ReplicaEventKind {
    /// It is being started.
    Starting {
        /// How far the model is loaded, from 0 to 1.
        progress: f32,
    },
    /// It may serve.
    Ready {
        /// The engine.
        engine: Arc<dyn Engine>,
        /// What its test measured.
        self_test: SelfTest,
    },
    /// It takes no new tasks for a time, those in it may go on. Between `Ready` and `Gone`, followed by `Resumed` or
    /// `Gone`.
    Suspended {
        /// Why.
        reason: String,
    },
    /// It takes tasks again.
    Resumed,
    /// It must not be used any more: the engine ended, or is about to because a stop was asked for, which
    /// then is the reason ([`ExitReason::Stopped`]).
    Gone {
        /// Why.
        reason: ExitReason,
    },
    /// It is started again after `delay`. Sent anew, without a start in between, when the delay gets shorter because
    /// tasks wait, and when the start could not be tried ([`DownReason::NoRoom`]).
    BackingOff {
        /// How long it waits.
        delay: Duration,
        /// Failures in a row so far, from 1.
        attempt: u32,
        /// Whether it is taken for a crash loop.
        breaker: Breaker,
        /// Why it failed.
        reason: DownReason,
    },
    /// It cannot be started until somebody changes the model's file; tried again only after `retry_in`.
    Failed {
        /// What is wrong with the model.
        error: StartError,
        /// How long it waits.
        retry_in: Duration,
    },
}

impl std::fmt::Debug for ReplicaEventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting { progress } => f.debug_struct("Starting").field("progress", progress).finish(),
            Self::Ready { self_test, .. } => f.debug_struct("Ready").field("self_test", self_test).finish(),
            Self::Suspended { reason } => f.debug_struct("Suspended").field("reason", reason).finish(),
            Self::Resumed => f.write_str("Resumed"),
            Self::Gone { reason } => f.debug_struct("Gone").field("reason", reason).finish(),
            Self::BackingOff { delay, attempt, breaker, reason } => f
                .debug_struct("BackingOff")
                .field("delay", delay)
                .field("attempt", attempt)
                .field("breaker", breaker)
                .field("reason", reason)
                .finish(),
            Self::Failed { error, retry_in } => {
                f.debug_struct("Failed").field("error", error).field("retry_in", retry_in).finish()
            }
        }
    }
}

impl std::fmt::Debug for ReplicaEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.replica, self.kind)
    }
}
