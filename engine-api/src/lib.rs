//! What the daemon asks of an engine, whatever the engine is: one trait to start it, one to use it, one
//! for the engine to answer through. An engine translates and streams and decides nothing: order,
//! placement and retries are made before a job reaches it.
//!
//! ```text
//! EngineFactory::start ──► Engine ──submit(GenerateRequest, Box<dyn TaskSink>)──► TaskSink::output … TaskSink::end
//! ```

pub mod admission;
pub mod engine;
pub mod load_options;
pub mod redact;
pub mod text;

pub use engine::{
    Abilities, Device, Engine, EngineFactory, EngineFacts, EngineKind, ExitReason, ExtraBodySupport,
    LoadProgress, MeasureError, Measured, MemoryEstimate, ModelFacts, ReplicaSpec, SessionKv, StartError,
    StopOutcome, TaskSink,
};
pub use load_options::LoadOptions;
pub use text::{Question, QuestionAnswer, TextAnswer, TextQuery, TokenPiece};
