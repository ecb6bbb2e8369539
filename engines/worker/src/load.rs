//! Loads a model and says what it is. Everything in the facts is read off the file, the build or the
//! loaded engine.
//!
//! Rules: ORCH-MODEL-4

mod sizes;

use std::ffi::CString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::path::Path;

use engine_api::{
    Abilities, Device, EngineFacts, EngineKind, ExtraBodySupport, MemoryEstimate, ModelFacts, ReplicaSpec,
    StartError,
};
use generation::{SamplingParams, Workload};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::context::session::LlamaStateSeqFlags;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::{LlamaModelParams, LlamaSplitMode};
use llama_cpp_2::token::LlamaToken;
use orchestrator_core::{Millis, TokenCount};

use crate::budget::Interrupts;
use crate::buffers::{Buffers, ContextSize};
use crate::chat::ChatTemplate;
use crate::clock;
use crate::ffi::lora::Adapter;
use crate::ffi::{self, ContextShape, ModelShape};
use crate::heartbeat::{CallWatch, Heartbeat};
use crate::infill;
use crate::lora;
use crate::machine;
use crate::model_file;
use crate::options::{self, ContextOptions};
use crate::sample;
use crate::template::{self, Template};
use crate::vocabulary::Vocabulary;
use sizes::{cells_of, ctx_of, kv_ram_of};

/// Tokens of the smaller of the two contexts that an estimate compares.
const SMALL_CTX: u32 = 1024;

/// The shortest context of a `strict` task, which an estimate counts: what longer ones take is in the margin.
const STRICT_CTX_LEAST: u32 = 4096;

/// The version of `llama-cpp-2`, and with it of the llama.cpp in it.
const BINDINGS_VERSION: &str = "0.1.160";

/// A model in memory, with what is needed to use it from several threads. It lives as long as the process,
/// which serves one model only.
#[derive(Debug)]
pub struct Loaded {
    /// The back end, kept initialised.
    pub backend: &'static LlamaBackend,
    /// The weights.
    pub model: &'static LlamaModel,
    /// The texts of its tokens.
    pub vocabulary: &'static Vocabulary,
    /// Its chat template, or why it cannot be used; nothing when it has none.
    pub template: Template,
    /// What it is.
    pub facts: EngineFacts,
    /// How its file says that its tokens are best chosen.
    pub sampling: SamplingParams,
    /// Threads to decode with.
    threads: i32,
    /// Threads to read prompts with.
    threads_batch: i32,
    /// Prompt tokens of a call at most, where the model writes text.
    read_batch: u32,
    /// How its contexts compute.
    options: ContextOptions,
    /// What is added to its weights.
    adapters: Vec<Adapter>,
    /// Whether its layers are on a card.
    pub on_card: bool,
    /// What its contexts report to.
    pub heartbeat: &'static Heartbeat,
}

impl Loaded {
    /// The context of all slots, over one KV cache that they share.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn context(&self) -> Result<LlamaContext<'static>, String> {
        self.context_of(self.shape(self.cells(), self.facts.slots))
    }

    /// A context for one `strict` task of so many tokens. Its size depends on the task alone: some models compute
    /// otherwise in a larger context.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn strict_context(&self, tokens: usize) -> Result<LlamaContext<'static>, String> {
        self.context_of(self.shape(self.strict_cells(tokens), 1))
    }

    /// Tokens of the context for a `strict` task of so many tokens.
    #[must_use]
    pub fn strict_cells(&self, tokens: usize) -> u32 {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        tokens.clamp(STRICT_CTX_LEAST, 1 << 31).next_power_of_two().min(self.facts.ctx.0)
    }

    /// Tokens that the KV cache of the slots holds.
    #[must_use]
    pub fn cells(&self) -> u32 {
        self.facts.kv_cells.unwrap_or(self.facts.ctx).0
    }

    fn context_of(&self, shape: ContextShape) -> Result<LlamaContext<'static>, String> {
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(shape.cells))
            .with_n_batch(shape.batch)
            .with_n_ubatch(shape.ubatch)
            .with_n_seq_max(shape.sequences)
            .with_kv_unified(true)
            .with_n_threads(self.threads)
            .with_n_threads_batch(self.threads_batch)
            .with_offload_kqv(shape.on_card)
            .with_op_offload(shape.on_card)
            .with_embeddings(shape.embeddings)
            .with_flash_attention_policy(shape.options.flash_attention)
            .with_type_k(KvCacheType::from(shape.options.type_k))
            .with_type_v(KvCacheType::from(shape.options.type_v))
            .with_pooling_type(shape.options.pooling.into())
            .with_rope_scaling_type(shape.options.rope_scaling.into())
            .with_rope_freq_base(shape.options.rope_freq_base)
            .with_rope_freq_scale(shape.options.rope_freq_scale)
            .with_yarn_orig_ctx(shape.options.yarn_orig_ctx);
        ffi::take_errors();
        let context = self
            .model
            .new_context(self.backend, params)
            .map_err(|_| reason().unwrap_or_else(|| "no reason given".into()))?;
        if !ffi::lora::set(&context, &self.adapters) {
            return Err("the LoRA adapters cannot be set".to_owned());
        }
        ffi::watch(&context, self.heartbeat);
        Ok(context)
    }

    /// Whether a call can be aborted and what it left in the KV cache removed: a card does not look for it, and
    /// the state of a recurrent model cannot be cut.
    #[must_use]
    pub fn interrupts(&self) -> Interrupts {
        if self.heartbeat.is_heard() && !self.on_card && self.cuts_cache() {
            Interrupts::AtOnce
        } else {
            Interrupts::Never
        }
    }

    /// Whether the KV cache of a sequence can be cut off at a place in the middle.
    #[must_use]
    pub fn cuts_cache(&self) -> bool {
        !self.model.is_recurrent() && !self.model.is_hybrid()
    }

    fn shape(&self, cells: u32, sequences: u16) -> ContextShape {
        let embeddings = self.pools();
        let sequences = u32::from(sequences);
        let batch = if embeddings { cells } else { self.read_batch.max(sequences) };
        ContextShape {
            cells,
            batch,
            ubatch: if embeddings { cells } else { self.options.ubatch.min(batch) },
            options: self.options,
            sequences,
            embeddings,
            on_card: self.on_card,
        }
    }

    /// Whether the model pools what it read into a vector or a score instead of making text.
    #[must_use]
    pub fn pools(&self) -> bool {
        !self.facts.workloads.contains(&Workload::Completion)
    }
}

/// Loads what `spec` names. `progress` hears how far it is, from 0 to 1.
///
/// # Errors
/// [`StartError`], with the file and what is wrong.
pub fn load(
    spec: &ReplicaSpec,
    progress: impl Fn(f32) + 'static,
) -> Result<(Loaded, LlamaContext<'static>), StartError> {
    let started = clock::now();
    let mut loaded = open(spec, Weights::Read, progress)?;
    let mut context = loaded.context().map_err(|why| no_context(&loaded.facts, &why))?;
    let made = ffi::take_buffers();
    if !loaded.pools() {
        loaded.facts.kv_bytes_per_token = warm_up(&mut context, loaded.heartbeat)?;
    }
    let size = ContextSize {
        ctx: loaded.facts.ctx,
        kv_cells: TokenCount(loaded.cells()),
        bytes_per_token: loaded.facts.kv_bytes_per_token,
    };
    loaded.facts.memory = Some(made.recomputed(ffi::take_buffers()).on(&spec.device, size));
    loaded.facts.load_ms = Millis::from_duration(clock::now().duration_since(started));
    Ok((loaded, context))
}

/// What loading `spec` would take of memory, by llama.cpp's own count of the same model with the same
/// contexts, that of `strict` tasks included. A second, smaller context tells what a token takes: the cache of layers
/// with a sliding window does not grow with the context, and the buffers of some steps do. No weights are read.
///
/// # Errors
/// As [`load`].
pub fn estimate(spec: &ReplicaSpec) -> Result<MemoryEstimate, StartError> {
    let loaded = open(spec, Weights::Skip, |_| {})?;
    let (cells, slots) = (loaded.cells(), loaded.facts.slots);
    // Below that the buffers shrink with the batch, which says nothing of longer contexts.
    let small = (cells >= 2 * SMALL_CTX).then_some(SMALL_CTX);
    let mut shapes = vec![loaded.shape(cells, slots), loaded.shape(small.unwrap_or(cells), slots)];
    if !loaded.pools() {
        shapes.push(loaded.shape(loaded.strict_cells(1), 1));
    }
    ffi::take_errors();
    let file = CString::new(spec.model.as_os_str().as_encoded_bytes())
        .map_err(|_| StartError::Model("the name of the model file holds a NUL byte".into()))?;
    let (lora_bytes, host_tensors) = (lora::bytes(spec)?, options::host_tensors(spec));
    let gpu_layers = i32::try_from(options::gpu_layers(spec)).unwrap_or(i32::MAX);
    let model = ModelShape { file: &file, gpu_layers, host_tensors: &host_tensors };
    let buffers = ffi::memory_of(model, &shapes).ok_or_else(|| {
        let reason = reason().unwrap_or_else(|| "llama.cpp gave no reason".into());
        StartError::Engine(format!("the memory for `{}` cannot be told: {reason}", spec.model.display()))
    })?;
    let [whole, less, beside @ ..] = &*buffers else { unreachable!("as many as shapes") };
    let (bytes, tokens) = match small {
        Some(small) => {
            let bytes = |buffers: &Buffers| buffers.context_bytes(&spec.device);
            (bytes(whole).saturating_sub(bytes(less)), cells - small)
        }
        None => (whole.kv_bytes(&spec.device), cells),
    };
    let size = ContextSize {
        ctx: loaded.facts.ctx,
        kv_cells: TokenCount(cells),
        bytes_per_token: bytes.div_ceil(u64::from(tokens.max(1))),
    };
    let all = beside.iter().fold(*whole, |sum, one| sum.beside(*one)).on(&spec.device, size);
    Ok(MemoryEstimate { weights_bytes: all.weights_bytes + lora_bytes, ..all })
}

/// Whether a model's weights are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    Read,
    Skip,
}

/// Everything but a context.
fn open(
    spec: &ReplicaSpec,
    weights: Weights,
    progress: impl Fn(f32) + 'static,
) -> Result<Loaded, StartError> {
    model_file::check(&spec.model).map_err(|error| StartError::Model(error.to_string()))?;
    ffi::route_log();
    let backend = LlamaBackend::init().map_err(|error| StartError::Engine(error.to_string()))?;
    let on_card = matches!(spec.device, Device::Gpu { .. });
    if on_card && !backend.supports_gpu_offload() {
        let hint = "build it with one of the features `cuda`, `vulkan`, `metal`, `rocm`, or use the cpu";
        return Err(StartError::Engine(format!("this build has no back end for {}; {hint}", spec.device)));
    }
    let params = LlamaModelParams::default()
        .with_n_gpu_layers(options::gpu_layers(spec))
        .with_split_mode(LlamaSplitMode::None)
        .with_progress_callback(move |part| {
            progress(part);
            true
        });
    let mut params = if weights == Weights::Skip { params.with_no_alloc(true) } else { params };
    let host_tensors = options::host_tensors(spec);
    options::apply(&spec.options, &host_tensors, &mut params);
    ffi::take_errors();
    ffi::take_buffers();
    let mut model =
        LlamaModel::load_from_file(&backend, &spec.model, &params).map_err(|_| cannot_load(&spec.model))?;
    let adapters = match weights {
        Weights::Read => lora::read(&mut model, spec)?,
        Weights::Skip => Vec::new(),
    };
    let (backend, model): (&'static LlamaBackend, &'static LlamaModel) =
        (Box::leak(Box::new(backend)), Box::leak(Box::new(model)));

    let vocabulary: &'static Vocabulary = Box::leak(Box::new(Vocabulary::of(model)));
    let threads = spec.threads.unwrap_or_else(machine::physical_cores).max(1);
    let threads_batch = spec.options.threads_batch.unwrap_or(threads);
    let template = template::of(model, &spec.options)?;
    let workload = options::workload(model, spec)?;
    if weights == Weights::Read {
        options::name_without_effect(spec, model, workload);
    }
    let reachable = options::reachable_ctx(model.n_ctx_train(), &spec.options.rope);
    let ctx = TokenCount(ctx_of(spec, weights, workload, reachable)?);
    let facts = EngineFacts {
        kind: EngineKind::Llamacpp,
        version: format!("llama-cpp-2-{BINDINGS_VERSION}"),
        build: machine::build(&ffi::system_info()),
        slots: spec.slots.max(1),
        ctx,
        kv_cells: Some(cells_of(spec, weights, workload, ctx)),
        kv_bytes_per_token: 0,
        kv_ram_bytes: kv_ram_of(spec, workload),
        workloads: vec![workload],
        strict: true,
        abilities: Abilities {
            infill: infill::is_offered(model),
            continues: workload == Workload::Completion,
            ..abilities_of(workload, template.as_ref())
        },
        model: ModelFacts { chat_template: template.is_some(), ..model_facts(spec, model) },
        load_ms: Millis(0),
        memory: None,
    };
    let heartbeat = Box::leak(Box::new(Heartbeat::new(clock::now())));
    Ok(Loaded {
        backend,
        model,
        vocabulary,
        template,
        facts,
        sampling: sampling_of(model),
        threads: i32::from(threads),
        threads_batch: i32::from(threads_batch),
        read_batch: options::read_batch(&spec.options),
        options: ContextOptions::of(&spec.options),
        adapters,
        on_card,
        heartbeat,
    })
}

/// Decodes a few tokens, which sets everything up that is set up late, and measures the KV cache by it.
fn warm_up(context: &mut LlamaContext<'_>, heartbeat: &Heartbeat) -> Result<u64, StartError> {
    const HALF: usize = 8;
    let failed =
        |error: &dyn std::fmt::Display| StartError::Engine(format!("a first decode failed: {error}"));
    let mut batch = LlamaBatch::new(HALF, 1);
    let mut sizes = [0; 2];
    for (round, size) in sizes.iter_mut().enumerate() {
        batch.clear();
        for at in 0..HALF {
            let position = i32::try_from(round * HALF + at).expect("a few tokens");
            batch.add(LlamaToken(0), position, &[0], at + 1 == HALF).map_err(|error| failed(&error))?;
        }
        // What the second call takes is the first that is known of how long a call may be silent: the first one
        // sets things up.
        heartbeat.begin(
            CallWatch { tokens: if round == 0 { 0 } else { HALF }, ..CallWatch::default() },
            clock::now(),
        );
        context.decode(&mut batch).map_err(|error| failed(&error))?;
        context.synchronize();
        heartbeat.end(true, clock::now());
        *size = context.state_seq_get_size_ext(0, LlamaStateSeqFlags::default());
    }
    context.clear_kv_cache();
    heartbeat.waits();
    Ok((sizes[1].saturating_sub(sizes[0]) / HALF) as u64)
}

/// How the model's file says that its tokens are best chosen. What is no number or cannot be is passed over, as what is
/// not there.
fn sampling_of(model: &LlamaModel) -> SamplingParams {
    let number = |name: &str, least: f32, most: f32| {
        let text = model.meta_val_str(&format!("general.sampling.{name}")).ok()?;
        text.parse::<f32>().ok().filter(|value| (least..=most).contains(value))
    };
    let count = |name: &str| {
        let text = model.meta_val_str(&format!("general.sampling.{name}")).ok()?;
        text.parse::<u32>().ok()
    };
    SamplingParams {
        temperature: number("temp", 0.0, 5.0),
        top_p: number("top_p", f32::MIN_POSITIVE, 1.0),
        top_k: count("top_k"),
        min_p: number("min_p", 0.0, 1.0),
        repeat_penalty: number("penalty_repeat", f32::MIN_POSITIVE, 10.0),
        repeat_last_n: count("penalty_last_n"),
        xtc_probability: number("xtc_probability", 0.0, 1.0),
        xtc_threshold: number("xtc_threshold", 0.0, 1.0),
        ..SamplingParams::default()
    }
}

/// Tools go through the chat template, and both go with text alone.
fn abilities_of(workload: Workload, template: Option<&Result<ChatTemplate, String>>) -> Abilities {
    if workload != Workload::Completion {
        return Abilities::default();
    }
    let chats = template.is_some_and(Result::is_ok);
    Abilities {
        tools: chats,
        reasoning: template.and_then(|template| template.as_ref().ok()).is_some_and(ChatTemplate::reasons),
        logprobs: Some(sample::MAX_TOP),
        extra_body: ExtraBodySupport::Template,
        ..Abilities::default()
    }
}

fn model_facts(spec: &ReplicaSpec, model: &LlamaModel) -> ModelFacts {
    let file = spec.model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    ModelFacts {
        name: model
            .meta_val_str("general.name")
            .ok()
            .filter(|name| !name.is_empty())
            .or(file)
            .unwrap_or_default(),
        architecture: model.meta_val_str("general.architecture").unwrap_or_default(),
        parameters: model.n_params(),
        size_bytes: model.size(),
        ctx_train: TokenCount(model.n_ctx_train()),
        chat_template: model.chat_template(None).is_ok(),
        embedding_size: u32::try_from(model.n_embd_out()).unwrap_or(0),
        identity: identity_of(spec),
    }
}

/// Of the file as it is now, and of how it is loaded.
fn identity_of(spec: &ReplicaSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    spec.model.hash(&mut hasher);
    let file = std::fs::metadata(&spec.model).ok();
    file.map(|file| (file.len(), file.modified().ok())).hash(&mut hasher);
    format!("{:?}", spec.options).hash(&mut hasher);
    hasher.finish()
}

fn cannot_load(path: &Path) -> StartError {
    let reason = reason().unwrap_or_else(|| "llama.cpp gave no reason".into());
    if reason.contains("allocate") || reason.contains("out of memory") {
        return StartError::Memory(format!("no memory for the model `{}`: {reason}", path.display()));
    }
    StartError::Model(format!("the model file `{}` cannot be loaded: {reason}", path.display()))
}

fn no_context(facts: &EngineFacts, why: &str) -> StartError {
    // The sizes of the model's heads are no multiple of the type's blocks, or nothing computes attention with it.
    if why.contains("block size") || why.to_ascii_lowercase().contains("flash") {
        return StartError::Model(format!("`kv_type` cannot be used with this model: {why}"));
    }
    StartError::Memory(format!(
        "no memory for a KV cache of {} tokens: {why}\nhint: a smaller `ctx` or fewer `slots` take less",
        facts.kv_cells.unwrap_or(facts.ctx)
    ))
}

/// The first error llama.cpp logged: the later ones only repeat that something failed.
pub fn reason() -> Option<String> {
    let first = ffi::take_errors().into_iter().next()?;
    let mut reason = first.as_str();
    for lead in [
        "llama_model_load: ",
        "gguf_init_from_file_impl: ",
        "llama_adapter_lora_init_from_file_ptr: ",
        "failed to apply lora adapter: ",
        "llama_init_from_model: ",
        "error loading model: ",
        "error loading model architecture: ",
    ] {
        reason = reason.strip_prefix(lead).unwrap_or(reason);
    }
    Some(reason.to_owned())
}
