//! The built-in engine as the daemon sees it: a child process that speaks `worker-protocol` over a socket
//! pair, one end of which is its standard input. This crate starts it, translates, streams and ends it; it
//! decides nothing and knows nothing of models.
//!
//! ```text
//! LlamacppFactory::start ─► Process (keeper task: waits, kills, reaps; stderr task: forwards log lines)
//!        │ Load … Ready
//!        ▼
//! LlamacppEngine ── outgoing (bounded) ─► writer task ─► socket ─► worker
//! probe task: pings ─────────┘
//!        sinks, answers, session figures ◄── reader task ◄── socket ◄──┘
//! ```

mod connection;
mod engine;
mod factory;
mod probe;
mod process;
mod shared;
mod stderr;
mod tasks;

pub use factory::LlamacppFactory;
pub use shared::{MAX_QUESTIONS, MAX_TASKS, OUTGOING_BOUND};
