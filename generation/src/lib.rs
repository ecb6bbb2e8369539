//! What is asked of a model and what it answers. Pure data and pure functions: no engine, no task, no HTTP.
//!
//! ```text
//! endpoint ──GenerateRequest──► engine ──OutputChunk … EndReport──► log of the task ──► endpoint
//! ```

pub mod call_text;
pub mod output;
pub mod reasoning;
pub mod request;
pub mod shared;
pub mod tools;

pub use output::{CallEvent, Candidate, EndReport, EngineError, Finish, OwnAnswer, Piece, TokenLogprob};
pub use reasoning::{THOUGHTS_BEGIN, THOUGHTS_END, ThoughtReader};
pub use request::{
    Constraint, Determinism, Input, Job, KvHint, LogitBias, Message, OwnFields, Role, Sampling, Workload,
};
pub use tools::{Tool, ToolCall, ToolChoice, Tools};
