//! What may stand in the file: the source of the JSON Schema, of the defaults and of the documentation
//! that editors show. Nothing here is resolved; that is [`crate::resolve`]. A range or a pattern written
//! here is the one that the loader enforces, because the loader checks against the schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of `orchestratord`: `llama-orch.yaml`. Every option has a default, and an
/// environment variable that overrides the file: `LLAMA_ORCH_` and the option's path in upper case,
/// joined by `_` (`LLAMA_ORCH_QUEUE_BATCH`, `LLAMA_ORCH_POOLS_0_SLOTS`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "llama-orch")]
// ORCH-CONF-4, ORCH-CONF-5
pub struct File {
    /// The address and port to listen on, as `IP:PORT`. Port 0 takes a free one.
    #[schemars(extend("examples" = ["127.0.0.1:6173", "[::1]:6173"]))]
    // HOME-BIND-1
    pub listen: String,
    /// Allows `listen` to be an address that other machines can reach. Without it the daemon refuses such
    /// an address.
    // ORCH-SEC-1
    pub allow_non_loopback: bool,
    /// Further names by which clients may call this machine in the `Host` header, such as
    /// `workstation.lan`. Loopback names and the address of `listen` are always allowed.
    pub allowed_hosts: Vec<String>,
    /// Pages of other sites that may use this daemon from a browser (CORS), by their origins:
    /// `https://chat.example`, `app://obsidian.md`, every origin of a scheme as `app://*`, `null`, or `*`. They need
    /// the token as any client does. None is allowed by default.
    #[schemars(extend("examples" = [["app://obsidian.md", "http://localhost:3000"]]))]
    // ORCH-SEC-9
    pub allowed_origins: Vec<String>,
    /// Hosts that the image URLs of requests may name although they are not public, such as `nas.lan` or
    /// `192.168.1.5`, over `http` too. Engines fetch these URLs by themselves. Public hosts are always allowed
    /// over `https`.
    // ORCH-IMG-1
    pub image_hosts: Vec<String>,
    /// The one API token. When absent, it is made at the first start and kept in the user's config folder,
    /// where `llama-orch` finds it.
    #[schemars(length(min = 16, max = 512))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-SEC-3
    pub token: Option<String>,
    /// A second address at which the API of Ollama is spoken, for programs that know no other.
    // ORCH-OLLAMA-1
    pub ollama: Ollama,
    /// Where fetched models are kept; `~/` is the home folder. When absent: `$LLAMA_ORCH_MODELS`, else
    /// `$XDG_CACHE_HOME/llama-orch/models`, else `~/.cache/llama-orch/models`.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models_dir: Option<String>,
    /// The bounds of the queue in front of each pool.
    // ORCH-QUEUE-1, ORCH-QUEUE-3, ORCH-REPL-15
    pub queue: Queue,
    /// What is served. Each pool is one model on one or more replicas.
    #[schemars(length(min = 1, max = 512))]
    // ORCH-CONF-1
    pub pools: Vec<Pool>,
    /// Sampling settings by name. A request names one with `sampler_profile_version`.
    // ORCH-TASK-10
    pub sampler_profiles: BTreeMap<String, SamplerProfile>,
    /// How long and how much of finished answers stays readable.
    // ORCH-STREAM-6
    pub stream: Stream,
    /// Conversations whose KV cache is kept for their next turn.
    // ORCH-SESS-4
    pub sessions: Sessions,
    /// What a client may send and hold open.
    // ORCH-SEC-6, ORCH-SEC-7, ORCH-SEC-8
    pub limits: Limits,
    /// How the daemon ends.
    // ORCH-STOP-1
    pub shutdown: Shutdown,
    /// How worker processes are started and restarted.
    // ORCH-REPL-2
    pub worker: Worker,
    /// What is logged, and how.
    // ORCH-INST-8
    pub log: Log,
}

/// The API of Ollama at an address of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ollama {
    /// The address and port, as `IP:PORT`; Ollama's own port is 11434. It is an address of this machine alone, because
    /// its programs send no token. When absent, that API is not spoken.
    #[schemars(extend("examples" = ["127.0.0.1:11434"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Asks for the API token there as well. Clients of Ollama send it where `OLLAMA_API_KEY` is set.
    pub require_token: bool,
}

/// The bounds of the queue in front of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Interactive tasks that may wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub interactive: u32,
    /// Batch tasks that may wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch: u32,
    /// What happens to a batch task when the batch lane is full.
    pub when_full: WhenFull,
    /// Seconds after which a waiting batch task may go before interactive ones that have waited no longer
    /// than it, so that batch is late but never starves.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub batch_max_wait_s: f64,
    /// Seconds that a queued task waits while every replica of its pool is down, before it ends with
    /// `POOL_UNAVAILABLE`. 0 ends it at once.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub outage_wait_s: f64,
    /// While interactive tasks wait, at most one start in so many is a batch task's.
    #[schemars(range(min = 2, max = 1000))]
    pub batch_one_in: u32,
}

/// What happens to a batch task when the batch lane is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The new task is refused with 429 and the time to come back.
    #[default]
    Reject,
    /// The batch task that has waited longest ends with `QUEUE_FULL_DROP_LRU`, and the new one takes its
    /// place.
    DropLru,
}

/// How tokens are chosen. What is absent is left to the request's pool, then to the model or its engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerProfile {
    /// 0 is greedy; otherwise logits are divided by it.
    #[schemars(range(min = 0.0, max = 5.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Keeps the smallest set of tokens whose probabilities sum to this; 1 keeps all.
    #[schemars(range(min = 0.001, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Keeps this many most probable tokens; 0 keeps all.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Keeps tokens at least this fraction as probable as the best; 0 keeps all.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Makes tokens of the last `repeat_last_n` less likely; 1 changes nothing.
    #[schemars(range(min = 0.1, max = 10.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
    /// How many of the last tokens the penalty looks at; 0 turns it off.
    #[schemars(range(min = 0, max = 65_536))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_last_n: Option<u32>,
    /// Taken from the logit of each token that the answer holds already; 0 changes nothing.
    #[schemars(range(min = -2.0, max = 2.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// As `presence_penalty`, once for each time that the token is there.
    #[schemars(range(min = -2.0, max = 2.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Keeps the tokens whose information is nearest to what was to be expected, of this probability together; 1
    /// keeps all.
    #[schemars(range(min = 0.001, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical_p: Option<f32>,
    /// How often the most probable tokens are left out, but for the last of them above `xtc_threshold`; 0 is never.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xtc_probability: Option<f32>,
    /// The least probability of tokens that `xtc_probability` leaves out; more than 0.5 leaves none out.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xtc_threshold: Option<f32>,
    /// How much a token is punished that would go on repeating a sequence (DRY); 0 changes nothing.
    #[schemars(range(min = 0.0, max = 100.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_multiplier: Option<f32>,
    /// By how much that grows with each token of the sequence past `dry_allowed_length`.
    #[schemars(range(min = 1.0, max = 100.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_base: Option<f32>,
    /// Shorter sequences may be repeated.
    #[schemars(range(min = 0, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_allowed_length: Option<u32>,
    /// How many of the last tokens are searched for the sequence; -1 is all, 0 none.
    #[schemars(range(min = -1, max = 1_048_576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_penalty_last_n: Option<i32>,
    /// Texts over which no sequence goes.
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_sequence_breakers: Option<Vec<String>>,
}

/// How long and how much of finished answers stays readable, and how idle streams are kept open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Seconds a finished task's stream stays readable.
    #[schemars(range(min = 0.0, max = 604_800.0))]
    pub keep_finished_s: f64,
    /// Finished tasks kept readable at most; the oldest goes first.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub keep_finished_tasks: u32,
    /// Mebibytes of finished answers kept readable at most; the oldest goes first.
    #[schemars(range(min = 1, max = 65_536))]
    pub keep_finished_mb: u32,
    /// Seconds of silence after which a stream carries a comment, so that nothing on the way closes it.
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub keepalive_s: f64,
}

/// Conversations whose KV cache is kept for their next turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// Seconds after its last task that a session is kept.
    #[schemars(range(min = 1.0, max = 604_800.0))]
    pub ttl_s: f64,
    /// Sessions kept at most; the one unused longest goes first.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: u32,
}

/// What a client may send and hold open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Mebibytes of the largest request body.
    #[schemars(range(min = 1, max = 32))]
    pub body_mb: u32,
    /// Connections open at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: u32,
    /// Streams open at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams: u32,
    /// Seconds a client may take to send a request's headers.
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub header_timeout_s: f64,
    /// Seconds from the start of a connection to its first request with the token, whatever else it sends. A
    /// connection without one is closed.
    #[schemars(range(min = 0.1, max = 3600.0))]
    pub authentication_timeout_s: f64,
    /// Seconds in which a client takes nothing of a response that waits for it, after which its connection is
    /// closed. A client that reads slowly is not closed.
    #[schemars(range(min = 0.1, max = 86_400.0))]
    pub write_timeout_s: f64,
    /// Kibibytes of the largest request head.
    #[schemars(range(min = 8, max = 1024))]
    pub header_kb: u32,
}

/// How the daemon ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Seconds that the stop may take after the first signal. Running tasks may finish in four fifths of it, or all of
    /// it but 5; the rest is for last events, connections and engines. A second signal ends at once.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    pub grace_s: f64,
}

/// How worker processes are started and restarted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// Seconds a worker may take to load its model.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub load_timeout_s: f64,
    /// Mebibytes of each device's memory that no model is put into: for what else uses the device.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub memory_margin_mb: u32,
    /// Seconds of silence, on top of what its work explains, after which a replica is taken to hang and is
    /// ended.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub hang_after_s: f64,
    /// The waits between restarts of a worker that ends by itself.
    pub restart: Restart,
}

/// The waits between restarts: doubling from the least to the most, with jitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// Milliseconds before the first restart.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub min_ms: u64,
    /// Seconds between restarts at most, whatever failed and however often.
    #[schemars(range(min = 0.001, max = 86_400.0))]
    pub max_s: f64,
    /// Seconds between restarts at most while tasks wait for the pool, however often the worker has failed.
    #[schemars(range(min = 0.001, max = 3_600.0))]
    // ORCH-REPL-10
    pub waiting_max_s: f64,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe messages that are logged.
    pub level: LogLevel,
    /// The form of a log line.
    pub format: LogFormat,
    /// The file that is written to instead of standard error, from its end on; `~/` is the home folder. Its
    /// folder is made when it is not there. `llama-orch logs` shows it.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How severe a log message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What fails.
    Error,
    /// What may be wrong.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

mod defaults;
mod engine_options;
mod pool;

pub use engine_options::{
    AllLayers, ExpertsOnCpu, FlashAttention, KvCache, KvType, KvTypeOfEach, KvTypes, Lora, Pooling, Rope,
    RopeScaling,
};
pub use pool::{
    Ctx, CtxWord, Engine, OneOrMany, Pool, PoolDefaults, QueueOverride, ReasoningDefaults, ReasoningEffort,
    Server, Tls, Urls,
};
