//! How the built-in engine loads a model and computes with it. Every value crosses to the worker as it is; the daemon
//! has checked what can be checked without the model.
//!
//! Rules: ORCH-DEV-12, ORCH-ENG-32, ORCH-ENG-33, ORCH-ENG-34

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What of a model's load and computation somebody decided. The default leaves all of it to the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadOptions {
    /// The chat template in the place of the model's own.
    pub chat_template: Option<TemplateSource>,
    /// Arguments of the chat template for requests that do not have them, as the text of a JSON object.
    pub template_kwargs: Option<String>,
    /// When attention is computed by one fused kernel.
    pub flash_attention: FlashAttention,
    /// The type of keys in the KV cache.
    pub kv_type_k: KvType,
    /// The type of values in it.
    pub kv_type_v: KvType,
    /// Bytes of main memory for conversations that are out of the slots; a share of what is free when absent.
    pub kv_ram_bytes: Option<u64>,
    /// Prompt tokens read in one call at most.
    pub batch: Option<u32>,
    /// Tokens of a call that are computed at a time at most.
    pub ubatch: Option<u32>,
    /// Threads to read prompts with; as many as there are to decode when absent.
    pub threads_batch: Option<u16>,
    /// Whether the model's file is mapped; where the back end can when absent.
    pub mmap: Option<bool>,
    /// Whether the weights in main memory are locked there.
    pub mlock: bool,
    /// How positions are scaled.
    pub rope: Rope,
    /// How the vectors of tokens become one; as the model's file says when absent.
    pub pooling: Option<Pooling>,
    /// Adapters that hold for every request.
    pub lora: Vec<LoraAdapter>,
    /// Layers whose experts stay in main memory.
    pub experts_on_cpu: Option<ExpertsOnCpu>,
}

/// A chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSource {
    /// What it is called in messages: its file.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// When attention is computed by one fused kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlashAttention {
    /// Where the device has it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The type of the numbers in the KV cache, by llama.cpp's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are the names of the formats")]
pub enum KvType {
    F32,
    #[default]
    F16,
    Bf16,
    Q8_0,
    Q5_1,
    Q5_0,
    Q4_1,
    Q4_0,
    Iq4Nl,
}

/// How the vectors of an input's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
    /// The score of a classifier.
    Rank,
}

/// How the positions of tokens are turned into angles. What is absent is the model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// How positions beyond those of the training are brought into its range.
    pub scaling: Option<RopeScaling>,
    /// How many times the context of the training is to be reached; at least 1.
    pub scale: Option<f32>,
    /// The base frequency.
    pub freq_base: Option<f32>,
    /// The context of the training, where the model's file does not say it right.
    pub yarn_orig_ctx: Option<u32>,
}

/// How positions beyond those of the training are brought into its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All of them alike.
    Linear,
    /// By their frequency.
    Yarn,
}

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraAdapter {
    /// Its file on this machine.
    pub file: PathBuf,
    /// How much of it is added to the weights.
    pub scale: f32,
}

/// Layers whose experts stay in main memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpertsOnCpu {
    /// All of them.
    All,
    /// The first so many.
    Layers(u32),
}
