//! One pool as the daemon uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use model_store::ModelRef;
use orchestrator_core::{PoolId, TokenCount};

use super::{EngineOptions, QueueConfig};
use crate::raw::{Engine, PoolDefaults};

/// The word for the best devices found.
pub(crate) const AUTO: &str = "auto";

/// One model on one or more replicas, behind one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Its name.
    pub id: PoolId,
    /// The model.
    pub model: PoolModel,
    /// Further names by which requests may name it.
    pub aliases: Vec<String>,
    /// What holds for requests that do not say otherwise.
    pub defaults: PoolDefaults,
    /// The SHA-256 its file must have, in lower-case hexadecimal.
    pub sha256: Option<String>,
    /// The engine that serves it.
    pub engine: Engine,
    /// The program that serves it; the built-in engine when absent.
    pub server: Option<ServerConfig>,
    /// The most tokens of a request and its answer; when absent, as many as the model and the memory allow.
    pub ctx: Option<CtxChoice>,
    /// Whether a `ctx` that is given may be lowered where the model does not fit otherwise.
    pub fit_ctx: bool,
    /// Sequences each replica decodes at a time. For a pool with a server, [`ServerConfig::slots`] says
    /// whether somebody asked for that number.
    pub slots: u16,
    /// Threads each replica computes with; the machine's physical cores when absent.
    pub threads: Option<u16>,
    /// Where to compute.
    pub devices: DevicesChoice,
    /// Layers put on the card; all of them when absent.
    pub gpu_layers: Option<u32>,
    /// How the built-in engine loads the model and computes with it. Of a pool with a server, the arguments of its chat
    /// template alone.
    pub options: EngineOptions,
    /// Copies of the model; when absent, one on each device that it fits, on the processor one. One for a
    /// server that runs already.
    pub replicas: Option<u16>,
    /// Whether the model is loaded at the start; else the first task loads it.
    pub preload: bool,
    /// How long it stays loaded without a task; for good when absent.
    pub idle_unload: Option<Duration>,
    /// The bounds of its queue.
    pub queue: QueueConfig,
}

/// How much context a pool is asked to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxChoice {
    /// So many tokens.
    Tokens(TokenCount),
    /// As many as the model was trained with.
    Max,
}

impl CtxChoice {
    /// The number of tokens, where one is given.
    #[must_use]
    pub const fn tokens(self) -> Option<TokenCount> {
        match self {
            Self::Tokens(tokens) => Some(tokens),
            Self::Max => None,
        }
    }
}

/// What a pool serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolModel {
    /// A file, or what one is fetched from. A file's path is absolute.
    Reference(ModelRef),
    /// The name by which the pool's server serves it. No file of it is known here.
    Served(String),
}

impl fmt::Display for PoolModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(model) => model.fmt(f),
            Self::Served(name) => f.write_str(name),
        }
    }
}

/// A program that serves a pool's model over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it is, or how it is started.
    pub source: ServerSource,
    /// Sequences it decodes at a time, where the configuration says so; else what it says of itself.
    pub slots: Option<u16>,
    /// A PEM file of certificate authorities that are trusted beside the system's; absolute.
    pub ca_file: Option<PathBuf>,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<ApiKey>,
    /// What is run to end a server that is started here, before it is sent signals; empty where there is nothing.
    pub stop_command: Vec<String>,
    /// How long it may take until it is ready, the loading of its model counted in.
    pub start_timeout: Duration,
    /// The silence in an answer that has begun after which it counts as hung.
    pub silence_timeout: Duration,
}

impl ServerConfig {
    /// Whether somebody else starts and ends it.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.source, ServerSource::Urls(_))
    }
}

/// Where a server is, or how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerSource {
    /// Somebody else starts and ends them, each of them a replica: `http[s]://HOST[:PORT][/PATH]`, without a slash at the
    /// end. At least one.
    Urls(Vec<String>),
    /// It is started and ended with its replica.
    Command {
        /// The program and its arguments, `{port}`, `{model}`, `{slots}` and `{ctx}` still in them.
        command: Vec<String>,
        /// Variables beside those of the daemon, `{port}` and `${NAME}` still in their values.
        env: BTreeMap<String, String>,
        /// The port at which it listens, where it cannot be told one.
        port: Option<u16>,
    },
}

/// A key that is sent to a server. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key when it can stand in an HTTP header: visible ASCII, at least one character.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    /// The key itself, to send.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// Where a pool is to compute, before it is known what devices there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevicesChoice {
    /// The best devices found.
    Auto,
    /// These: at least one, none twice.
    Listed(Vec<DeviceChoice>),
}

/// A device by name, before it is known whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// A card by its place in PCI order, from 0.
    GpuIndex(u32),
    /// A card by the driver's UUID (`GPU-…`).
    GpuUuid(String),
}

impl DeviceChoice {
    /// Reads `cpu`, `gpu0` or `GPU-…`; nothing when it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "cpu" {
            return Some(Self::Cpu);
        }
        if let Some(uuid) = text.strip_prefix("GPU-") {
            let fits =
                !uuid.is_empty() && uuid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            return fits.then(|| Self::GpuUuid(text.to_owned()));
        }
        let index = text.strip_prefix("gpu")?;
        let fits = (1..=3).contains(&index.len()) && index.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| index.parse().ok().map(Self::GpuIndex)).flatten()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::GpuIndex(index) => write!(f, "gpu{index}"),
            Self::GpuUuid(uuid) => f.write_str(uuid),
        }
    }
}
