//! The decisions of llama-orch, and nothing else: which task is admitted, where it stands, when it will
//! start, which replica takes it. No I/O, no clock, no lock, no async: what needs time takes `now`, and
//! effects come back as values. It depends on no other crate of the workspace.
//!
//! [`PoolScheduler`] is the whole of it for one pool. Its owner tells it what happened and asks what is
//! next:
//!
//! ```text
//!   admit ──► Rejected(retry_after)
//!     │
//!     ▼             next                 finished
//!   waiting ───────────────► running ───────────────► ended
//!     │ ▲                       │                       ▲
//!     │ │ requeue               │ replica_gone          │
//!     │ └───────────── lost ◄───┘                       │
//!     │                  │ finished, cancel             │
//!     │                  └──────────────────────────────┤
//!     └── cancel, evicted ──────────────────────────────┘
//! ```
//!
//! A running task that is canceled goes on running until its replica says its last word: then it has
//! finished. Every admitted task ends once, whichever way it takes.
//!
//! Rules: ORCH-SHAPE-3

pub mod ids;
pub mod placement;
pub mod prediction;
pub mod priority;
pub mod queue;
pub mod replica;
pub mod residency;
pub mod scheduler;
pub mod session;
pub mod task;
pub mod units;
mod work;

pub use ids::{PoolId, ReplicaId, SessionId, TaskId};
pub use prediction::{Accuracy, StartForecast};
pub use priority::Priority;
pub use queue::{FullPolicy, QueueLimits};
pub use replica::{Availability, BatchedThroughput, EndFigures, ReplicaProfile, ReplicaSnapshot};
pub use residency::{Eviction, KeepAlive, Resident};
pub use scheduler::{
    Admission, CancelOutcome, Dispatch, EndedTasks, PoolScheduler, Rejection, RejectionReason,
};
pub use session::{Forgotten, Home, Session, SessionLimits, SessionTable};
pub use task::TaskSpec;
pub use units::{Millis, Timestamp, TokenCount};
