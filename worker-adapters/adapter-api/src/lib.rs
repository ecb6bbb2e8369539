//! What the daemon asks of an engine, whatever the engine is: one trait to start it, one to use it, one
//! for the engine to answer through. An adapter translates and streams and decides nothing: order,
//! placement and retries are made before a job reaches it.
//!
//! ```text
//! EngineFactory::start ──► Engine ──submit(Job, Box<dyn TaskSink>)──► TaskSink::tokens … TaskSink::end
//! ```

pub mod call_text;
pub mod engine;
pub mod job;
pub mod report;
pub mod shared;
pub mod thoughts;
pub mod tools;

pub use engine::{
    Abilities, Device, Engine, EngineFactory, EngineFacts, EngineKind, ExitReason, LoadProgress,
    MeasureError, Measured, MemoryEstimate, ModelFacts, OwnFieldsTaken, ReplicaSpec, SessionKv, StartError,
    StopOutcome, TaskSink,
};
pub use job::{
    Constraint, Determinism, Input, Job, KvHint, LogitBias, Message, OwnFields, Role, Sampling, Workload,
};
pub use report::{CallEvent, Candidate, EndReport, EngineError, Finish, OwnAnswer, Piece, TokenLogprob};
pub use thoughts::{THOUGHTS_BEGIN, THOUGHTS_END, ThoughtReader};
pub use tools::{Tool, ToolCall, ToolChoice, Tools};
