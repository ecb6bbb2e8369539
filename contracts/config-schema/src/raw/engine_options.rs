//! How the built-in engine loads the model of a pool and computes with it: the values of the options that people know
//! from `llama-server`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When attention is computed by one fused kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlashAttention {
    /// Where the device has it for the model.
    #[default]
    Auto,
    /// Always. A device that does not have it computes those parts on the processor.
    On,
    /// Never.
    Off,
}

/// The type of the numbers in the KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// 32 bits.
    F32,
    /// 16 bits.
    #[default]
    F16,
    /// 16 bits with the range of 32.
    Bf16,
    /// 8.5 bits.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 6 bits.
    #[serde(rename = "q5_1")]
    Q5_1,
    /// 5.5 bits.
    #[serde(rename = "q5_0")]
    Q5_0,
    /// 5 bits.
    #[serde(rename = "q4_1")]
    Q4_1,
    /// 4.5 bits.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// 4.5 bits, on a curve.
    #[serde(rename = "iq4_nl")]
    Iq4Nl,
}

impl KvType {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q5_1 => "q5_1",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4_0 => "q4_0",
            Self::Iq4Nl => "iq4_nl",
        }
    }

    /// Whether blocks of numbers share a scale.
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }
}

/// One type for keys and values, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KvTypes {
    /// For both.
    Both(KvType),
    /// For each.
    Each(KvTypeOfEach),
}

/// The types of keys and of values. What is absent is `f16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KvTypeOfEach {
    /// Of the keys.
    pub k: KvType,
    /// Of the values. A quantized one needs flash attention.
    pub v: KvType,
}

/// How the vectors of an input's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token.
    Cls,
    /// That of the last token.
    Last,
    /// The score of the model's classifier: a reranker.
    Rank,
}

/// How the positions of tokens are turned into angles (RoPE), by the names of `llama-server`. What is absent is the
/// model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rope {
    /// How positions beyond those of the training are brought into its range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<RopeScaling>,
    /// How many times the context of the training is to be reached. `ctx` may be as many times larger.
    #[schemars(range(min = 1.0, max = 1024.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// The base frequency.
    #[schemars(range(min = 1.0, max = 1.0e12))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freq_base: Option<f32>,
    /// With `yarn`, the context of the training, where the model's file does not say it right.
    #[schemars(range(min = 16, max = 16_777_216))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yarn_orig_ctx: Option<u32>,
}

/// How positions beyond those of the training are brought into its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All of them alike.
    Linear,
    /// By their frequency.
    Yarn,
}

/// A LoRA adapter, which holds for every request of the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Its GGUF file; `~/` is the home folder.
    #[schemars(length(min = 1, max = 4096))]
    pub file: String,
    /// How much of it is added to the weights; 1 is as it was trained.
    #[schemars(range(min = -100.0, max = 100.0))]
    pub scale: f32,
}

impl Default for Lora {
    fn default() -> Self {
        Self { file: String::new(), scale: 1.0 }
    }
}

/// A number of layers, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExpertsOnCpu {
    /// The first so many.
    Layers(#[schemars(range(min = 1, max = 10_000))] u32),
    /// By a word.
    Word(AllLayers),
}

/// A word in the place of a number of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllLayers {
    /// All of them.
    All,
}

/// Conversations that are out of the slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KvCache {
    /// Main memory that each replica may take for them, in MiB. 0 keeps none. When absent, an eighth of what is free when
    /// the model is loaded, and at most 8192. No more is taken than the machine can spare at the time.
    #[schemars(range(min = 0, max = 4_194_304))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_mb: Option<u32>,
}
