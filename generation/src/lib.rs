//! What is asked of a model and what it answers. Pure data and pure functions: no engine, no task, no HTTP.
//!
//! ```text
//! endpoint ──GenerateRequest──► engine ──OutputChunk … EndReport──► log of the task ──► endpoint
//! ```

pub mod output;
pub mod pending;
pub mod raw_text;
pub mod reasoning;
pub mod request;
pub mod sampling;
pub mod shared;
pub mod tools;
pub mod transcript;

pub use output::{
    EndReport, EngineError, ExtraFields, Finish, OutputChunk, OutputEvent, TokenCandidate, TokenLogprob,
    ToolCallDelta, ToolCallStart,
};
pub use pending::PendingOutput;
pub use raw_text::RawTextWriter;
pub use reasoning::{InlineReasoningParser, REASONING_END, REASONING_START};
pub use request::{
    Determinism, ExtraBody, GenerateRequest, Infill, InfillFile, Input, KvHint, LoopLimit, MaxTokensMode,
    Message, PROMPT_TOO_LONG, ReasoningOptions, Role, Workload, prompt_too_long,
};
pub use sampling::{Constraint, LogitBias, Sampling, SamplingParams, TextBias};
pub use tools::{Tool, ToolCall, ToolChoice, Tools};
pub use transcript::Transcript;
