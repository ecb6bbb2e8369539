//! The configuration as the daemon uses it: resolved, checked, in types. No option is absent here unless
//! its absence means something to the one who reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model_store::ModelRef;
use orchestrator_core::{PoolId, TokenCount};

pub use crate::raw::{Engine, LogFormat, LogLevel, SamplerProfile, WhenFull};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who may reach the daemon, and how.
    pub access: Access,
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
    /// The token; when absent, one is made and kept in the user's config folder.
    pub token: Option<Token>,
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
    /// After this, a waiting batch task goes before interactive ones.
    pub batch_max_wait: Duration,
}

/// One model on one or more replicas, behind one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Its name.
    pub id: PoolId,
    /// The model. A file's path is absolute.
    pub model: ModelRef,
    /// The SHA-256 its file must have, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The engine that serves it.
    pub engine: Engine,
    /// Tokens of context of each slot; the model's own, up to a bound of the engine's, when absent.
    pub ctx: Option<TokenCount>,
    /// Sequences each replica decodes at a time.
    pub slots: u16,
    /// Threads each replica computes with; the machine's physical cores when absent.
    pub threads: Option<u16>,
    /// Where to compute.
    pub device: DeviceChoice,
    /// Layers put on the card; all of them when absent.
    pub gpu_layers: Option<u32>,
    /// Copies of the model, each in a process of its own.
    pub replicas: u16,
    /// The bounds of its queue.
    pub queue: QueueConfig,
}

/// Where a pool is to compute, before it is known what devices there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best device found.
    Auto,
    /// The processor.
    Cpu,
    /// A card by its place in PCI order, from 0.
    GpuIndex(u32),
    /// A card by the driver's UUID (`GPU-…`).
    GpuUuid(String),
}

impl DeviceChoice {
    /// Reads `auto`, `cpu`, `gpu0` or `GPU-…`; nothing when it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            _ => {
                if let Some(uuid) = text.strip_prefix("GPU-") {
                    let fits = !uuid.is_empty()
                        && uuid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                    return fits.then(|| Self::GpuUuid(text.to_owned()));
                }
                let index = text.strip_prefix("gpu")?;
                let fits = (1..=3).contains(&index.len()) && index.bytes().all(|byte| byte.is_ascii_digit());
                fits.then(|| index.parse().ok().map(Self::GpuIndex)).flatten()
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::GpuIndex(index) => write!(f, "gpu{index}"),
            Self::GpuUuid(uuid) => f.write_str(uuid),
        }
    }
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
    /// Bytes of the largest request head.
    pub header_bytes: u64,
}

/// How worker processes are started and restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    /// How long a worker may take to load its model.
    pub load_timeout: Duration,
    /// The wait before the first restart.
    pub restart_min: Duration,
    /// The wait between restarts at most.
    pub restart_max: Duration,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The least severe messages that are logged.
    pub level: LogLevel,
    /// The form of a log line.
    pub format: LogFormat,
}
