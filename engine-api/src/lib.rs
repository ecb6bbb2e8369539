//! What the daemon asks of an engine, whatever the engine is: one trait to start it, one to use it, one
//! for the engine to answer through. An engine translates and streams and decides nothing: order,
//! placement and retries are made before a job reaches it.
//!
//! ```text
//! EngineFactory::start ──► Engine ──submit(Job, Box<dyn TaskSink>)──► TaskSink::tokens … TaskSink::end
//! ```

pub mod engine;

pub use engine::{
    Abilities, Device, Engine, EngineFactory, EngineFacts, EngineKind, ExitReason, LoadProgress,
    MeasureError, Measured, MemoryEstimate, ModelFacts, OwnFieldsTaken, ReplicaSpec, SessionKv, StartError,
    StopOutcome, TaskSink,
};
