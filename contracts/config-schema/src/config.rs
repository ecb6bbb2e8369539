//! The configuration as the daemon uses it: resolved, checked, in types. No option is absent here unless
//! its absence means something to the one who reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::raw::{
    AllLayers, Engine, ExpertsOnCpu, FlashAttention, KvType, LogFormat, LogLevel, PoolDefaults, Pooling,
    ReasoningDefaults, ReasoningEffort, Rope, RopeScaling, SamplerProfile, WhenFull,
};
pub use engine_options::{ChatTemplate, EngineOptions, LoraAdapter};
pub use pool::{
    ApiKey, CtxChoice, DeviceChoice, DevicesChoice, PoolConfig, PoolModel, ServerConfig, ServerSource,
};

pub(crate) use engine_options::CHATML;
pub(crate) use pool::AUTO;

mod engine_options;
mod pool;

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who may reach the daemon, and how.
    pub access: Access,
    /// Where the API of Ollama is spoken.
    pub ollama: OllamaConfig,
    /// Where fetched models are kept, absolute.
    pub models_dir: PathBuf,
    /// What is served: at least one pool, each with a name of its own.
    pub pools: Vec<PoolConfig>,
    /// Sampling settings by name.
    pub sampler_profiles: BTreeMap<String, SamplerProfile>,
    /// Finished answers and idle streams.
    pub stream: StreamConfig,
    /// Conversations whose KV cache is kept.
    pub sessions: SessionsConfig,
    /// What a client may send and hold open.
    pub limits: LimitsConfig,
    /// How long running tasks may take to finish after the first signal.
    pub shutdown_grace: Duration,
    /// How worker processes are started and restarted.
    pub worker: WorkerConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Who may reach the daemon, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines can reach.
    pub allow_non_loopback: bool,
    /// Further names by which clients may call this machine.
    pub allowed_hosts: Vec<String>,
    /// Pages of other sites that may use the daemon, by their origins.
    pub allowed_origins: Vec<String>,
    /// Hosts that image URLs may name although they are not public.
    pub image_hosts: Vec<String>,
    /// The token; when absent, one is made and kept in the user's config folder.
    pub token: Option<Token>,
}

/// Where the API of Ollama is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OllamaConfig {
    /// The address, of this machine alone; that API is not spoken when absent.
    pub listen: Option<SocketAddr>,
    /// Whether the token is asked for there.
    pub require_token: bool,
}

/// The API token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The fewest characters.
    pub const MIN_CHARS: usize = 16;

    /// The token when it can stand in an HTTP header: visible ASCII, and long enough.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = text.len() >= Self::MIN_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    /// The token itself, to compare with and to send.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The bounds of a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Interactive tasks that may wait.
    pub interactive: u32,
    /// Batch tasks that may wait.
    pub batch: u32,
    /// What happens to a batch task when the batch lane is full.
    pub when_full: WhenFull,
    /// After this, a waiting batch task may go before interactive ones.
    pub batch_max_wait: Duration,
    /// How long a queued task waits while every replica of its pool is down; zero ends it at once.
    pub outage_wait: Duration,
    /// While interactive tasks wait, at most one start in so many is a batch task's.
    pub batch_one_in: u32,
}

/// Finished answers and idle streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// How long a finished task's stream stays readable.
    pub keep_finished: Duration,
    /// Finished tasks kept readable at most.
    pub keep_finished_tasks: u32,
    /// Bytes of finished answers kept readable at most.
    pub keep_finished_bytes: u64,
    /// The silence after which a stream carries a comment.
    pub keepalive: Duration,
}

/// Conversations whose KV cache is kept for their next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsConfig {
    /// How long after its last task a session is kept.
    pub ttl: Duration,
    /// Sessions kept at most.
    pub max: u32,
}

/// What a client may send and hold open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Bytes of the largest request body.
    pub body_bytes: u64,
    /// Connections open at a time.
    pub connections: u32,
    /// Streams open at a time.
    pub streams: u32,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request that has the token.
    pub authentication_timeout: Duration,
    /// How long a client may take nothing of a response that waits for it.
    pub write_timeout: Duration,
    /// Bytes of the largest request head.
    pub header_bytes: u64,
}

/// How worker processes are started and restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How long a worker may take to load its model.
    pub load_timeout: Duration,
    /// Bytes of each device's memory that no model is put into.
    pub memory_margin_bytes: u64,
    /// The least silence of a replica at work that is taken for a hang.
    pub hang_after: Duration,
    /// The wait before the first restart.
    pub restart_min: Duration,
    /// The wait between restarts at most.
    pub restart_max: Duration,
    /// The wait between restarts at most while tasks wait for the pool.
    pub restart_waiting_max: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe messages that are logged.
    pub level: LogLevel,
    /// The form of a log line.
    pub format: LogFormat,
    /// The file that is written to, absolute; standard error when absent.
    pub file: Option<PathBuf>,
}
