//! What may be said of one pool: its model, its engine, its devices, and the server that serves it where
//! that is another program.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine_options::{ExpertsOnCpu, FlashAttention, KvCache, KvTypes, Lora, Pooling, Rope};
use super::{SamplerProfile, WhenFull};

/// One model on one or more replicas, behind one queue.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, and none excludes another")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// The pool's name, in requests, metrics and logs.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub id: String,
    /// The model: `starter` (a small instruct model, fetched once), `file:PATH` or a path that ends in
    /// `.gguf`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT`, `hf:OWNER/REPO` (the best quantisation that fits), each also
    /// with `@REVISION` behind the repository, or `https://…`. Of a model in several files the first is named. With
    /// `server.url`, and with another engine than `llamacpp`, the name by which that server serves it.
    #[schemars(length(min = 1))]
    // ORCH-MODEL-1
    pub model: String,
    /// Further names by which requests may name the model, as `gpt-4o-mini` or `qwen3:8b`. No two pools have one in
    /// common.
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // ORCH-CONF-14
    pub aliases: Vec<String>,
    /// The SHA-256 of the model's file, in hexadecimal. A file that differs is refused; without it an
    /// unknown file is taken with a warning.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-MODEL-2
    pub sha256: Option<String>,
    /// The engine that serves it. All but the built-in `llamacpp` need a `server`.
    pub engine: Engine,
    /// The program that serves it, where that is not the built-in engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-2
    pub server: Option<Server>,
    /// The most tokens that a request and its answer may take together: a number, or `max` for as many as the model
    /// was trained with. A larger number is lowered to that, with a warning. The slots share one KV cache of at least so
    /// many tokens, and of up to so many for each slot where memory allows. When absent, the built-in engine takes what
    /// the model was trained with, as far as memory allows: on a card what is free, less a part for each pool that is
    /// not loaded; on the processor a quarter of the free memory and at most 32,768 tokens, because the cache is kept in
    /// main memory and a processor reads longer prompts for minutes. `llama-orch explain` shows the arithmetic.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-4, ORCH-DEV-10
    pub ctx: Option<Ctx>,
    /// Lowers a `ctx` that is given where the model does not fit the device's memory otherwise. Without it, such a
    /// model is refused, with the `ctx` that would fit.
    pub fit_ctx: bool,
    /// Sequences each replica decodes at a time. They share the KV cache: a long request may take most of it, and
    /// others wait until it has room for them. When absent, 4; for a `server` that tells its own number, that one.
    #[schemars(range(min = 1, max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u16>,
    /// Threads each replica computes with. When absent, the machine's physical cores.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u16>,
    /// Where to compute: `auto` (the best devices found, the default), or one device or a list of them:
    /// `cpu`, `gpu0` (by place in PCI order) or `GPU-…` (by the driver's UUID).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<OneOrMany>,
    /// Layers put on the card. When absent, all of them.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_layers: Option<u32>,
    /// Layers whose experts stay in main memory, of a mixture-of-experts model whose other weights are on a card:
    /// `all`, or the first so many. It has no effect on the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub experts_on_cpu: Option<ExpertsOnCpu>,
    /// The type of the numbers in the KV cache: one for keys and values, or `{k: …, v: …}`. `q8_0` takes about half of
    /// the memory of `f16`, which is the default. Quantized values need flash attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub kv_type: Option<KvTypes>,
    /// Where conversations are kept that are out of the slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-KV-1, ORCH-KV-3
    pub kv_cache: Option<KvCache>,
    /// When attention is computed by one fused kernel: `auto` (where the device has it for the model, the default),
    /// `on` or `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub flash_attention: Option<FlashAttention>,
    /// Prompt tokens read in one call at most. When absent, 512, or `ubatch` where that is more. More of them read
    /// prompts faster on a card, and have running streams wait longer. Models that make vectors read an input in one call.
    #[schemars(range(min = 64, max = 16_384))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub batch: Option<u32>,
    /// Tokens of a call that are computed at a time at most: what the compute buffers are sized for. When absent, 512, or
    /// `batch` where that is less.
    #[schemars(range(min = 32, max = 16_384))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub ubatch: Option<u32>,
    /// Threads each replica reads prompts with, where that is another number than `threads`.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub threads_batch: Option<u16>,
    /// Whether the model's file is mapped into memory, which loads faster and shares its pages between replicas. When
    /// absent, it is, where the back end can.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub mmap: Option<bool>,
    /// Whether the weights in main memory are locked there, so that they are never swapped out. The user's limit of
    /// locked memory (`ulimit -l`) has to allow it; what is beyond stays unlocked, with a line in the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    // ORCH-DEV-12
    pub mlock: bool,
    /// How the positions of tokens are scaled, for more context than the model was trained with.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub rope: Option<Rope>,
    /// How the vectors of an input's tokens become one. It makes a model that writes text serve embeddings. When absent,
    /// what the model's file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-DEV-12
    pub pooling: Option<Pooling>,
    /// LoRA adapters that hold for every request. They are read with the model.
    #[schemars(length(max = 16))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // ORCH-ENG-34
    pub lora: Vec<Lora>,
    /// A file with the chat template (Jinja) that conversations are rendered with in the place of the model's own, or
    /// `chatml`. It is read with the configuration, of at most 1 MiB: a file that has changed takes effect with the next
    /// `SIGHUP`. `~/` is the home folder.
    #[schemars(length(min = 1, max = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-32
    pub chat_template: Option<String>,
    /// Arguments of the chat template, such as `enable_thinking: false`, for requests that do not have them in their own
    /// `chat_template_kwargs`. For the built-in engine, `llama-server`, vLLM and `SGLang`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    // ORCH-ENG-33
    pub template_kwargs: BTreeMap<String, Value>,
    /// Copies of the model, each in a process of its own. When absent, one on each of `devices` that it
    /// fits; on the processor, one.
    #[schemars(range(min = 1, max = 16))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u16>,
    /// Whether the model is loaded at the start, as far as memory allows. If not, the first task loads it.
    // ORCH-MODEL-9
    pub preload: bool,
    /// Seconds without a task after which the model is unloaded, until the next one. When absent, it stays.
    #[schemars(range(min = 1.0, max = 2_592_000.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-MODEL-9
    pub idle_unload_s: Option<f64>,
    /// What holds for requests that do not say otherwise.
    #[serde(skip_serializing_if = "PoolDefaults::is_empty")]
    // ORCH-CONF-15
    pub defaults: PoolDefaults,
    /// Another bound than the common `queue` has, for this pool.
    #[serde(skip_serializing_if = "is_no_override")]
    pub queue: QueueOverride,
}

fn is_no_override(queue: &QueueOverride) -> bool {
    *queue == QueueOverride::default()
}

/// What holds for requests of a pool that do not say otherwise, on every plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolDefaults {
    /// The most tokens of an answer, or what the context holds behind the prompt where that is less. It ends an answer
    /// that would not end by itself.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_tokens: u32,
    /// Ends an answer whose last tokens are one sequence of up to 64 over and over, when they are so many: at least 64,
    /// or 0 for never. When absent, 512 for models of fewer than 4 billion parameters, which fall into loops, and never
    /// for larger ones. Such an answer ends as one that has reached its `max_tokens`. For the built-in engine.
    #[schemars(range(min = 0, max = 1_048_576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-WORKER-8
    pub loop_tokens: Option<u32>,
    /// How tokens are chosen.
    #[serde(skip_serializing_if = "is_default")]
    // ORCH-TASK-10
    pub sampling: SamplerProfile,
    /// The system message of conversations that begin without one.
    #[schemars(length(min = 1, max = 65_536))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// How the model reasons before it answers a chat.
    #[serde(skip_serializing_if = "is_default")]
    pub reasoning: ReasoningDefaults,
}

/// How the model of a pool reasons where the request does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReasoningDefaults {
    /// How much; `none` switches it off where the chat template can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<ReasoningEffort>,
    /// The most tokens of reasoning, after which it is closed and the answer follows. 0 switches it off.
    #[schemars(range(min = 0, max = 1_048_576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

/// How much a model reasons. Chat templates know `low`, `medium` and `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the words of the API")]
pub enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl ReasoningEffort {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl PoolDefaults {
    fn is_empty(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An engine that a pool can be served by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// llama.cpp: built in, one worker process a replica; with a `server`, `llama-server`.
    #[default]
    Llamacpp,
    /// vLLM, or another server that speaks OpenAI's API.
    Vllm,
    /// Text Generation Inference.
    Tgi,
    /// Triton with its generate extension.
    Triton,
}

impl Engine {
    /// The engine's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llamacpp => "llamacpp",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
            Self::Triton => "triton",
        }
    }
}

/// A number of tokens, or `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Ctx {
    /// So many.
    Tokens(#[schemars(range(min = 16, max = 16_777_216))] u32),
    /// By a word.
    Word(CtxWord),
}

/// A word in the place of a number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CtxWord {
    /// As many as the model was trained with.
    Max,
}

/// `auto`, one device, or a list of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `auto`, `cpu`, `gpu0` or `GPU-…`.
    One(#[schemars(regex(pattern = r"^(auto|cpu|gpu[0-9]{1,3}|GPU-[0-9A-Za-z-]+)$"))] String),
    /// Devices by name: `cpu`, `gpu0` or `GPU-…`.
    Many(
        #[schemars(
            length(min = 1, max = 16),
            inner(regex(pattern = r"^(cpu|gpu[0-9]{1,3}|GPU-[0-9A-Za-z-]+)$"))
        )]
        Vec<String>,
    ),
}

/// A program that serves the model over HTTP: one that runs already (`url`), or one that is started and
/// ended with its replica (`command`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where a server that runs already listens: `http://HOST:PORT` or `https://HOST:PORT`. A list of them is one replica for each: servers of
    /// the same kind with the same model.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-25
    pub url: Option<Urls>,
    /// The program to start and its arguments, each a text of its own. `{port}` becomes a free port of this
    /// machine, on which it has to listen; `{model}` the model's file or name; `{slots}` and `{ctx}` the
    /// options of the pool, `{ctx}` 0 where there is none.
    #[schemars(length(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The port at which a program listens that `command` starts and that cannot be told another: a script, a container. It is
    /// what `{port}` stands for, and for one replica only.
    #[schemars(range(min = 1, max = 65_535))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-36
    pub port: Option<u16>,
    /// Environment variables of the program, beside those of the daemon. `{port}` is replaced in them too, and `${NAME}` by
    /// what the daemon's own variable NAME is; `$${` stands for `${`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Run to end a server that is started with `command` and that its own process does not answer for, as `[docker,
    /// stop, NAME]`: before it is sent signals, and whatever ended it. `{port}`, `{model}`, `{slots}` and `{ctx}` are
    /// replaced as in `command`.
    #[schemars(length(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-24
    pub stop_command: Option<Vec<String>>,
    /// How a server at an `https://` URL is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    // ORCH-ENG-30
    pub tls: Option<Tls>,
    /// The key that the server asks for, sent as `Authorization: Bearer`.
    #[schemars(length(min = 1, max = 4096))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Seconds until the server has to be ready, the loading of its model counted in.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub start_timeout_s: f64,
    /// Seconds of silence in an answer that has begun after which the server counts as hung.
    #[schemars(range(min = 1.0, max = 86_400.0))]
    pub silence_timeout_s: f64,
}

/// How a server at an `https://` URL is trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with certificates of authorities that are trusted beside the system's, as the own authority of a
    /// network, or the server's self-signed certificate. `~/` is the home folder.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// One server, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Urls {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    One(#[schemars(length(min = 1, max = 2048))] String),
    /// Each of the same form, and each a replica.
    Many(#[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 2048)))] Vec<String>),
}

impl Urls {
    /// All of them, in order.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(url) => std::slice::from_ref(url),
            Self::Many(urls) => urls,
        }
    }
}

/// Another bound than the common `queue` has, for one pool. What is absent is as there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueOverride {
    /// Interactive tasks that may wait.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactive: Option<u32>,
    /// Batch tasks that may wait.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// What happens to a batch task when the batch lane is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
    /// Seconds after which a waiting batch task may go before interactive ones.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_max_wait_s: Option<f64>,
    /// Seconds that a queued task waits while every replica of the pool is down.
    #[schemars(range(min = 0.0, max = 86_400.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_wait_s: Option<f64>,
    /// While interactive tasks wait, at most one start in so many is a batch task's.
    #[schemars(range(min = 2, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_one_in: Option<u32>,
}
