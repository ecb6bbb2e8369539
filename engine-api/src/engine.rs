//! Starting an engine, using it, and hearing from it.
//!
//! Rules: ORCH-ENG-9, ORCH-OAI-15

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use orchestrator_core::{Millis, ReplicaId, SessionId, TaskId, TokenCount};
use serde::{Deserialize, Serialize};

use crate::load_options::LoadOptions;
use crate::text::{self, TextAnswer, TextQuery};

use generation::{EndReport, GenerateRequest, Input, OutputChunk, Workload};

/// The engines that can serve a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// llama.cpp, linked into the worker process or as `llama-server`.
    Llamacpp,
    /// vLLM or another OpenAI-compatible server.
    Vllm,
    /// Text Generation Inference.
    Tgi,
    /// Triton, generate extension.
    Triton,
}

impl EngineKind {
    /// The name on the wire and in metrics.
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

/// Where a replica computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Device {
    /// The processor.
    Cpu,
    /// One graphics card.
    Gpu {
        /// The driver's own name of the card, stable across restarts (`GPU-…`).
        uuid: String,
        /// Its place in PCI order, from 0.
        index: u32,
    },
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu { index, .. } => write!(f, "gpu{index}"),
        }
    }
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSpec {
    /// The replica this engine will be.
    pub replica: ReplicaId,
    /// The model's file on this machine.
    pub model: PathBuf,
    /// The most tokens of a request and its answer. A number above the model's own is lowered to that. When absent, an
    /// estimate reckons with the model's own, and a load takes it up to a bound of the engine's.
    pub ctx: Option<TokenCount>,
    /// Tokens that the KV cache of all slots holds; `ctx` for each slot when absent.
    pub kv_cells: Option<TokenCount>,
    /// Sequences decoded at a time.
    pub slots: u16,
    /// Threads to compute with; the machine's physical cores when absent.
    pub threads: Option<u16>,
    /// Where to compute.
    pub device: Device,
    /// Layers put on the card; all of them when absent. Of no meaning on [`Device::Cpu`].
    pub gpu_layers: Option<u32>,
    /// How the model is loaded and computed with: for the built-in engine.
    pub options: LoadOptions,
}

/// What an engine is, once it is ready. All of it is read off the engine, none of it assumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// The engine.
    pub kind: EngineKind,
    /// Its version, for the metric label `engine_version`.
    pub version: String,
    /// How it was built: the instruction set and the back ends in it, in words (`native: AVX2, FMA`).
    pub build: String,
    /// Sequences decoded at a time.
    pub slots: u16,
    /// The most tokens of a request and its answer.
    pub ctx: TokenCount,
    /// Tokens that the KV cache holds, which all slots share; nothing where each slot has a part of its own, or the
    /// engine does not say.
    pub kv_cells: Option<TokenCount>,
    /// Bytes of KV cache that one token takes.
    pub kv_bytes_per_token: u64,
    /// Bytes of main memory in which it may keep conversations that are out of the slots; 0 where it keeps none.
    pub kv_ram_bytes: u64,
    /// What it can be asked for.
    pub workloads: Vec<Workload>,
    /// Whether it keeps the promise of `strict`.
    pub strict: bool,
    /// What else it can be asked for.
    pub abilities: Abilities,
    /// The model in it.
    pub model: ModelFacts,
    /// How long loading took.
    pub load_ms: Millis,
    /// What it took of memory when it was loaded, by the engine's own count; nothing where it does not tell.
    pub memory: Option<MemoryEstimate>,
}

/// What an engine can be asked for beside text. What it cannot is refused by name: see [`Abilities::check`].
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own, and none excludes another")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Whether it takes tools, and tells calls of them.
    pub tools: bool,
    /// The most alternatives it names beside a token's probability; nothing where it tells no probabilities.
    pub logprobs: Option<u8>,
    /// Whether it sees pictures.
    pub images: bool,
    /// Whether it fills gaps: [`Input::Infill`].
    pub infill: bool,
    /// Whether it goes on with an answer that another engine began: [`GenerateRequest::written`].
    pub continues: bool,
    /// Whether its model reasons before it answers, and can be told how much.
    pub reasoning: bool,
    /// Which fields it takes with a request that nobody here knows.
    pub extra_body: ExtraBodySupport,
}

/// Fields of a request that an engine takes beyond those of a [`GenerateRequest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExtraBodySupport {
    /// None.
    #[default]
    None,
    /// Arguments of its chat template.
    Template,
    /// All, being asked in the words of the same API.
    All,
}

impl Abilities {
    /// Finds what `job` asks for and an engine with these abilities cannot do.
    ///
    /// # Errors
    /// The field, its value and what would be right.
    pub fn check(&self, job: &GenerateRequest, kind: EngineKind) -> Result<(), String> {
        let engine = kind.as_str();
        match (&job.extra_body, self.extra_body) {
            (None, _) | (Some(_), ExtraBodySupport::All) => {}
            (Some(own), ExtraBodySupport::Template) if own.template.is_some() => {}
            (Some(own), _) => return Err(own.refusal.clone()),
        }
        job.tools.check()?;
        if job.tools.are_shown() && !self.tools {
            return Err(format!(
                "`tools` are sent, which engine `{engine}` does not take here: leave them out, or set `tool_choice` to \
                 `none`"
            ));
        }
        match (job.logprobs, self.logprobs) {
            (Some(_), None) => {
                return Err(format!(
                    "`logprobs` are asked for, which engine `{engine}` does not tell: leave them out"
                ));
            }
            (Some(asked), Some(most)) if asked > most => {
                return Err(format!("`top_logprobs` is {asked}; 0 to {most} would be right"));
            }
            _ => {}
        }
        if matches!(*job.input, Input::Infill(_)) && !self.infill {
            return Err(format!(
                "`suffix` asks for the text of a gap, and this model of engine `{engine}` fills none: use a model with \
                 fill-in-the-middle tokens (Qwen2.5-Coder, for example), or leave it out"
            ));
        }
        if let Input::Messages(messages) = &*job.input
            && !self.images
            && let Some(at) = messages.iter().position(|message| !message.images.is_empty())
        {
            return Err(format!(
                "`messages[{at}]` holds an image, and engine `{engine}` reads text only here: attach a server with a \
                 vision model (vLLM, or `llama-server` with `--mmproj`) and send it there"
            ));
        }
        Ok(())
    }
}

/// What a model says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Its name, or the file's where it has none.
    pub name: String,
    /// Its architecture (`llama`, `qwen2`, …).
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Bytes of its weights.
    pub size_bytes: u64,
    /// Tokens of context it was trained with.
    pub ctx_train: TokenCount,
    /// Whether it carries a chat template.
    pub chat_template: bool,
    /// Size of an embedding vector.
    pub embedding_size: u32,
    /// A number that is another one where the file is, or how it is loaded: only an engine with the same one goes on with
    /// an answer. 0 where nobody goes on.
    pub identity: u64,
}

/// Hears how far a model has been loaded, from 0 to 1.
pub type LoadProgress = Arc<dyn Fn(f32) + Send + Sync>;

/// What a model takes of the memory of one replica's device, by the engine's own count. What the driver of a
/// card takes for each process comes on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// Its weights, as far as they are put on the device.
    pub weights_bytes: u64,
    /// The KV cache of `kv_cells` tokens.
    pub kv_bytes: u64,
    /// The buffers that a decode step computes in.
    pub compute_bytes: u64,
    /// What one more token of the KV cache takes, in the cache and in the buffers.
    pub bytes_per_token: u64,
    /// Main memory that a replica on a card takes beside it: layers that are not put there, and what is
    /// pinned for it. Nothing on [`Device::Cpu`], whose memory this is already.
    pub host_bytes: u64,
    /// The most tokens of a request that this was reckoned with.
    pub ctx: TokenCount,
    /// Tokens of the KV cache that this was reckoned with.
    pub kv_cells: TokenCount,
}

/// Starts engines of one kind.
pub trait EngineFactory: Send + Sync + 'static {
    /// The kind of engine it starts.
    fn kind(&self) -> EngineKind;

    /// Starts an engine and loads the model. Resolves when it could take a job. Dropping the future ends
    /// what was started so far.
    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>>;

    /// Reckons what a model will need, without loading it; nothing where the engine cannot say.
    ///
    /// # Errors
    /// What is wrong with the model's file, where that shows already.
    fn estimate(&self, spec: ReplicaSpec) -> BoxFuture<'_, Result<Option<MemoryEstimate>, StartError>> {
        drop(spec);
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// An engine with a model in it. Nothing here blocks.
pub trait Engine: Send + Sync + 'static {
    /// What it is.
    fn facts(&self) -> &EngineFacts;

    /// Hands over one job. Whatever becomes of it is said through `sink`; a sink that is dropped without
    /// its `end` says that the engine was lost.
    fn submit(&self, job: Arc<GenerateRequest>, sink: Box<dyn TaskSink>);

    /// Ends a job within one decode step. Its sink still gets `end`, with [`generation::Finish::Canceled`].
    /// A task that is not there is no error: it may have ended meanwhile.
    fn cancel(&self, task: TaskId);

    /// Counts the tokens of the job's input exactly as [`Engine::submit`] would, template included, and
    /// finds what else would make it end as invalid there: a grammar that cannot be compiled, a token that
    /// the model does not have. Nothing is computed for it and nothing kept.
    fn measure(&self, job: Arc<GenerateRequest>) -> BoxFuture<'static, Result<Measured, MeasureError>>;

    /// Answers a question about text, where the engine can.
    fn text(&self, _query: TextQuery) -> BoxFuture<'static, Result<TextAnswer, MeasureError>> {
        let why = text::not_answered(self.facts().kind.as_str());
        Box::pin(std::future::ready(Err(MeasureError::Invalid(why))))
    }

    /// What is in the KV cache of a session; nothing when it is not here.
    fn session_kv(&self, session: SessionId) -> Option<SessionKv>;

    /// Gives the KV cache of a session back.
    fn evict_session(&self, session: SessionId);

    /// The process it runs in, where that is one of this machine; what measures its memory.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Work done so far for a task that was submitted: a count that grows with every prompt token read, token
    /// generated and input embedded or scored, whether or not text comes of it. `None` where the engine does not
    /// say, or does not have the task: then only what reaches the task's sink counts as progress.
    fn work_done(&self, task: TaskId) -> Option<u64> {
        let _ = task;
        None
    }

    /// Resolves, with the reason, once the engine takes no new work for a time: it is there, its running tasks may
    /// go on, and it says when it is back ([`resumed`](Self::resumed)). May be asked any number of times.
    fn suspended(&self) -> BoxFuture<'static, String> {
        Box::pin(std::future::pending())
    }

    /// Resolves once the engine takes work: at once while it is not suspended.
    fn resumed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Resolves when the engine is gone, with the reason. May be asked any number of times.
    fn gone(&self) -> BoxFuture<'static, ExitReason>;

    /// Ends the engine: asks, waits `grace`, kills. Resolves when it is gone.
    fn stop(&self, grace: Duration) -> BoxFuture<'static, StopOutcome>;
}

/// How an engine answers for one job. Calls come in order; `end` comes once, last.
pub trait TaskSink: Send + 'static {
    /// The output of one decode step.
    fn output(&mut self, chunk: OutputChunk);

    /// The last word. A sink dropped without it means that the engine was lost.
    fn end(self: Box<Self>, report: EndReport);
}

/// The exact size of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Tokens of the prompt, template and special tokens included; for several inputs, all together.
    pub tokens: TokenCount,
    /// Tokens of the longest single input: what has to fit the context.
    pub longest: TokenCount,
}

/// Why a job could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MeasureError {
    /// The job is at fault: the text names the field and what would be right.
    #[error("{0}")]
    Invalid(String),
    /// The engine went away meanwhile.
    #[error("the engine went away")]
    Gone,
    /// The engine takes no work now, for this reason. That is no failure of the job.
    #[error("{0}")]
    Unavailable(String),
    /// The engine failed with this job, for this reason. The job may be the cause.
    #[error("{0}")]
    Failed(String),
    /// The engine has as many jobs to measure as it keeps. Nothing is wrong with this one.
    #[error("too many concurrent tokenize requests")]
    Busy,
}

/// A session's share of the KV cache, as measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKv {
    /// Tokens of the session still in the cache.
    pub tokens: TokenCount,
    /// Tokens the session had when its last task ended.
    pub tokens_at_end: TokenCount,
    /// Bytes the tokens in the cache take.
    pub bytes: u64,
}

/// Why an engine could not be started. The texts may be shown to the owner of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartError {
    /// The model's file is missing, unreadable, broken or of a kind the engine does not know: trying
    /// again changes nothing until somebody changes the file.
    #[error("{0}")]
    Model(String),
    /// It does not fit the memory there is.
    #[error("{0}")]
    Memory(String),
    /// The engine ended or misbehaved while it was started.
    #[error("{0}")]
    Engine(String),
}

/// Why an engine is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    /// It was asked to.
    Stopped,
    /// It ended by itself with this exit code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The connection to it broke or what came over it made no sense.
    Channel(String),
    /// It gave no sign of life within its bound, and was ended.
    Hung(String),
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Code(code) => write!(f, "ended by itself with exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Channel(what) => write!(f, "channel broken: {what}"),
            Self::Hung(what) => write!(f, "hung: {what}"),
        }
    }
}

/// How the end of an engine went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// It was gone already.
    AlreadyGone,
    /// It ended within the grace.
    Ended,
    /// It had to be killed.
    Killed,
}

#[cfg(test)]
mod tests;
