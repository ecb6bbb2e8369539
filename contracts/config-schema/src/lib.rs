//! The configuration of the daemon: its types, its defaults, its checks, its JSON Schema.
//!
//! ```text
//! llama-orch.yaml ─┐
//! LLAMA_ORCH_* ────┼─► tree ──check against the schema──► raw::File ──resolve──► Config
//! command line ────┘   (every node knows its origin)
//! ```
//!
//! [`raw`] is the one source: the JSON Schema is made from it, and the loader checks against that schema.

pub mod config;
pub mod raw;

mod check;
mod diff;
mod env;
mod error;
mod load;
mod print;
mod resolve;
mod shape;
mod tree;
mod variables;

pub use config::{
    Access, AllLayers, ApiKey, ChatTemplate, Config, CtxChoice, DeviceChoice, DevicesChoice, Engine,
    EngineOptions, ExpertsOnCpu, FlashAttention, KvType, LimitsConfig, LogConfig, LogFormat, LogLevel,
    LoraAdapter, OllamaConfig, PoolConfig, PoolDefaults, PoolModel, Pooling, QueueConfig, ReasoningDefaults,
    ReasoningEffort, Rope, RopeScaling, SamplerProfile, ServerConfig, ServerSource, SessionsConfig,
    StreamConfig, Token, WhenFull, WorkerConfig,
};
pub use diff::Difference;
pub use env::{OTHER_VARIABLES, Override, PREFIX, TEST_PREFIX};
pub use error::{ConfigError, Problem};
pub use load::{LoadRequest, Loaded, load};
pub use resolve::{DEFAULT_SLOTS, fill_variables};
pub use shape::json_schema;
pub use tree::Origin;
pub use variables::{Variable, variables};

/// The name of the file that is searched for.
pub const FILE_NAME: &str = "llama-orch.yaml";
