//! How the built-in engine loads the model of a pool and computes with it, as the daemon uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use crate::raw::{ExpertsOnCpu, FlashAttention, KvType, Pooling, Rope};

/// The word for the chat template that is built in.
pub const CHATML: &str = "chatml";

/// The source of the built-in chat template.
const CHATML_SOURCE: &str = "{%- for message in messages -%}\n  {{- '<|im_start|>' + message.role + '\\n' + \
                             message.content + '<|im_end|>\\n' -}}\n{%- endfor -%}\n{%- if add_generation_prompt \
                             -%}\n  {{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}\n";

/// How a model is loaded and computed with. What is absent is left to the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineOptions {
    /// The chat template in the place of the model's own.
    pub chat_template: Option<ChatTemplate>,
    /// Arguments of the chat template, for requests that do not have them.
    pub template_kwargs: BTreeMap<String, Value>,
    /// When attention is computed by one fused kernel.
    pub flash_attention: FlashAttention,
    /// The type of keys in the KV cache.
    pub kv_type_k: KvType,
    /// The type of values in it.
    pub kv_type_v: KvType,
    /// MiB of main memory for conversations that are out of the slots.
    pub kv_ram_mb: Option<u32>,
    /// Prompt tokens read in one call at most.
    pub batch: Option<u32>,
    /// Tokens of a call that are computed at a time at most.
    pub ubatch: Option<u32>,
    /// Threads to read prompts with; those of [`super::PoolConfig::threads`] when absent.
    pub threads_batch: Option<u16>,
    /// Whether the model's file is mapped.
    pub mmap: Option<bool>,
    /// Whether the weights in main memory are locked there.
    pub mlock: bool,
    /// How positions are scaled.
    pub rope: Rope,
    /// How the vectors of tokens become one.
    pub pooling: Option<Pooling>,
    /// LoRA adapters, each of another file.
    pub lora: Vec<LoraAdapter>,
    /// Layers whose experts stay in main memory.
    pub experts_on_cpu: Option<ExpertsOnCpu>,
}

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraAdapter {
    /// Its file, absolute.
    pub file: PathBuf,
    /// How much of it is added; never 0.
    pub scale: f32,
}

/// A chat template, as it was when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatTemplate {
    /// Its file, absolute; nothing for the built-in one.
    pub file: Option<PathBuf>,
    /// Its source.
    pub source: String,
}

impl ChatTemplate {
    /// The one that is built in.
    #[must_use]
    pub fn chatml() -> Self {
        Self { file: None, source: CHATML_SOURCE.to_owned() }
    }

    /// What it is called: the path of its file, or its word.
    #[must_use]
    pub fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| CHATML.to_owned(), |file| file.display().to_string())
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatTemplate({}, {} bytes)", self.name(), self.source.len())
    }
}
