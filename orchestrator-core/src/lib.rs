//! The decisions of llama-orch, and nothing else: which task is admitted, where it stands, when it will
//! start, which replica takes it. No I/O, no clock, no lock, no async: what needs time takes `now`, and
//! effects come back as values. It depends on no other crate of the workspace.

pub mod ids;
pub mod priority;
pub mod units;

pub use ids::{PoolId, ReplicaId, SessionId, TaskId};
pub use priority::Priority;
pub use units::{Millis, Timestamp, TokenCount};
