//! How somebody wants a model loaded and computed with, in llama.cpp's own words.
//!
//! Rules: ORCH-DEV-12

use std::ffi::CString;
use std::pin::Pin;

use engine_api::load_options::{
    ExpertsOnCpu, FlashAttention, KvType, LoadOptions, Pooling, Rope, RopeScaling,
};
use engine_api::{Device, ReplicaSpec, StartError};
use generation::Workload;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_sys_2 as sys;

use crate::log::{self, Level};

/// Prompt tokens read in one call to llama.cpp where nobody says otherwise.
pub const READ_BATCH: u32 = 512;

/// How a context computes, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct ContextOptions {
    /// Tokens of a call that are computed at a time at most, where a call may have more.
    pub ubatch: u32,
    /// When attention is one fused kernel.
    pub flash_attention: sys::llama_flash_attn_type,
    /// The type of keys in the cache.
    pub type_k: sys::ggml_type,
    /// The type of values in it.
    pub type_v: sys::ggml_type,
    /// How the vectors of tokens become one.
    pub pooling: sys::llama_pooling_type,
    /// How positions are scaled.
    pub rope_scaling: sys::llama_rope_scaling_type,
    /// The base frequency; 0 is the model's.
    pub rope_freq_base: f32,
    /// By what positions are multiplied; 0 is the model's.
    pub rope_freq_scale: f32,
    /// The context of the training; 0 is the model's.
    pub yarn_orig_ctx: u32,
}

impl ContextOptions {
    /// As `options` say.
    #[must_use]
    pub fn of(options: &LoadOptions) -> Self {
        let Rope { scaling, scale, freq_base, yarn_orig_ctx } = options.rope;
        Self {
            ubatch: options.ubatch.unwrap_or(READ_BATCH),
            flash_attention: match options.flash_attention {
                FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
                FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
                FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            },
            type_k: kv_type(options.kv_type_k),
            type_v: kv_type(options.kv_type_v),
            pooling: match options.pooling {
                None => sys::LLAMA_POOLING_TYPE_UNSPECIFIED,
                Some(Pooling::Mean) => sys::LLAMA_POOLING_TYPE_MEAN,
                Some(Pooling::Cls) => sys::LLAMA_POOLING_TYPE_CLS,
                Some(Pooling::Last) => sys::LLAMA_POOLING_TYPE_LAST,
                Some(Pooling::Rank) => sys::LLAMA_POOLING_TYPE_RANK,
            },
            rope_scaling: match scaling {
                None => sys::LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
                Some(RopeScaling::None) => sys::LLAMA_ROPE_SCALING_TYPE_NONE,
                Some(RopeScaling::Linear) => sys::LLAMA_ROPE_SCALING_TYPE_LINEAR,
                Some(RopeScaling::Yarn) => sys::LLAMA_ROPE_SCALING_TYPE_YARN,
            },
            rope_freq_base: freq_base.unwrap_or(0.0),
            rope_freq_scale: scale.map_or(0.0, |scale| 1.0 / scale),
            yarn_orig_ctx: yarn_orig_ctx.unwrap_or(0),
        }
    }
}

const fn kv_type(kind: KvType) -> sys::ggml_type {
    match kind {
        KvType::F32 => sys::GGML_TYPE_F32,
        KvType::F16 => sys::GGML_TYPE_F16,
        KvType::Bf16 => sys::GGML_TYPE_BF16,
        KvType::Q8_0 => sys::GGML_TYPE_Q8_0,
        KvType::Q5_1 => sys::GGML_TYPE_Q5_1,
        KvType::Q5_0 => sys::GGML_TYPE_Q5_0,
        KvType::Q4_1 => sys::GGML_TYPE_Q4_1,
        KvType::Q4_0 => sys::GGML_TYPE_Q4_0,
        KvType::Iq4Nl => sys::GGML_TYPE_IQ4_NL,
    }
}

/// Prompt tokens that a call of a model that writes text takes at most.
#[must_use]
pub fn read_batch(options: &LoadOptions) -> u32 {
    options.batch.unwrap_or_else(|| READ_BATCH.max(options.ubatch.unwrap_or(0)))
}

/// The context that the model was trained with, as many times larger as its positions are scaled.
#[must_use]
pub fn reachable_ctx(trained: u32, rope: &Rope) -> u32 {
    let scaled = |scale: f32| (f64::from(rope.yarn_orig_ctx.unwrap_or(trained)) * f64::from(scale)) as u32;
    rope.scale.map_or(trained, |scale| scaled(scale).max(trained))
}

/// Layers put on a card.
#[must_use]
pub fn gpu_layers(spec: &ReplicaSpec) -> u32 {
    match spec.device {
        Device::Cpu => 0,
        Device::Gpu { .. } => spec.gpu_layers.unwrap_or(u32::from(u16::MAX)),
    }
}

/// The names of the tensors, as patterns, that stay in main memory though their layers are on a card.
#[must_use]
pub fn host_tensors(spec: &ReplicaSpec) -> Vec<CString> {
    const EXPERTS: &str = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps";
    if spec.device == Device::Cpu {
        return Vec::new();
    }
    let patterns = match spec.options.experts_on_cpu {
        None => Vec::new(),
        Some(ExpertsOnCpu::All) => vec![EXPERTS.to_owned()],
        Some(ExpertsOnCpu::Layers(layers)) => {
            (0..layers).map(|layer| format!(r"blk\.{layer}{EXPERTS}")).collect()
        }
    };
    patterns.into_iter().map(|text| CString::new(text).expect("a pattern has no NUL")).collect()
}

/// How the file is read, and what of it stays in main memory. `host_tensors` must live as long as the parameters.
pub fn apply(options: &LoadOptions, host_tensors: &[CString], params: &mut LlamaModelParams) {
    if options.mmap.is_some() || options.mlock {
        let mmap = options.mmap.unwrap_or_else(|| params.use_mmap());
        *params = std::mem::take(params).with_use_mmap(mmap).with_use_mlock(options.mlock);
    }
    for pattern in host_tensors {
        Pin::new(&mut *params).add_cpu_buft_override(pattern);
    }
}

/// What the model is for: one that names a way to pool its output makes vectors or scores, one that does not makes text,
/// unless somebody says how to pool.
///
/// # Errors
/// A score is wanted of a model that has no classifier.
pub fn workload(model: &LlamaModel, spec: &ReplicaSpec) -> Result<Workload, StartError> {
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let own = match model.meta_val_str(&format!("{architecture}.pooling_type")).as_deref() {
        Ok("1" | "2" | "3") => Workload::Embedding,
        Ok("4") => Workload::Rerank,
        _ => Workload::Completion,
    };
    match spec.options.pooling {
        None => Ok(own),
        // Older files of encoders do not say what they are.
        Some(Pooling::Rank) if own == Workload::Completion && !architecture.contains("bert") => {
            Err(StartError::Model(format!(
                "`pooling: rank` needs a model with a classifier, which `{}` does not have: leave `pooling` out, or set \
                 `mean`, `cls` or `last` for embeddings",
                spec.model.display()
            )))
        }
        Some(Pooling::Rank) => Ok(Workload::Rerank),
        Some(Pooling::Mean | Pooling::Cls | Pooling::Last) => Ok(Workload::Embedding),
    }
}

/// Names in the log what is set and has no effect on this model, on this device.
pub fn name_without_effect(spec: &ReplicaSpec, model: &LlamaModel, workload: Workload) {
    let options = &spec.options;
    let pools = workload != Workload::Completion;
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let has_experts = model
        .meta_val_str(&format!("{architecture}.expert_count"))
        .is_ok_and(|count| count.parse().is_ok_and(|count: u32| count > 0));
    let no_card = "the model is on the processor, experts and all";
    let whole_input = "a model that makes vectors reads an input in one call";
    for (option, is_set, why) in [
        ("experts_on_cpu", options.experts_on_cpu.is_some() && spec.device == Device::Cpu, no_card),
        (
            "experts_on_cpu",
            options.experts_on_cpu.is_some() && spec.device != Device::Cpu && !has_experts,
            "the model has no experts",
        ),
        ("batch", options.batch.is_some() && pools, whole_input),
        ("ubatch", options.ubatch.is_some() && pools, whole_input),
        ("chat_template", options.chat_template.is_some() && pools, "the model makes vectors, no chat"),
    ] {
        if is_set {
            log::line(Level::Warn, "an option has no effect", &[("option", option), ("why", why)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orchestrator_core::{PoolId, ReplicaId};

    use super::*;

    fn spec(device: Device, experts_on_cpu: Option<ExpertsOnCpu>) -> ReplicaSpec {
        ReplicaSpec {
            replica: ReplicaId { pool: PoolId::new("a").expect("a name"), index: 0 },
            model: Path::new("a.gguf").to_owned(),
            ctx: None,
            kv_cells: None,
            slots: 1,
            threads: None,
            device,
            gpu_layers: None,
            options: LoadOptions { experts_on_cpu, ..LoadOptions::default() },
        }
    }

    /// ORCH-DEV-12
    #[test]
    fn experts_stay_in_main_memory_where_there_is_a_card() {
        let card = Device::Gpu { uuid: String::new(), index: 0 };
        let patterns = |device: &Device, experts| host_tensors(&spec(device.clone(), experts));
        assert!(patterns(&Device::Cpu, Some(ExpertsOnCpu::All)).is_empty());
        assert!(patterns(&card, None).is_empty());
        let all = patterns(&card, Some(ExpertsOnCpu::All));
        assert_eq!(all, [c"\\.ffn_(up|down|gate|gate_up)_(ch|)exps".to_owned()]);
        let two = patterns(&card, Some(ExpertsOnCpu::Layers(2)));
        assert_eq!(two.len(), 2);
        assert_eq!(two[1], c"blk\\.1\\.ffn_(up|down|gate|gate_up)_(ch|)exps".to_owned());
    }

    /// ORCH-DEV-12
    #[test]
    fn scaled_positions_reach_further_and_never_less_than_the_training() {
        let rope = |scale, yarn_orig_ctx| Rope { scale, yarn_orig_ctx, ..Rope::default() };
        assert_eq!(reachable_ctx(4096, &rope(None, None)), 4096);
        assert_eq!(reachable_ctx(4096, &rope(Some(4.0), None)), 16_384);
        assert_eq!(reachable_ctx(32_768, &rope(Some(2.0), Some(8192))), 32_768);
        assert_eq!(reachable_ctx(u32::MAX, &rope(Some(1024.0), None)), u32::MAX);
    }

    /// ORCH-DEV-12
    #[test]
    fn a_call_takes_what_is_asked_and_as_much_as_is_computed_at_a_time() {
        let batch = |batch, ubatch| read_batch(&LoadOptions { batch, ubatch, ..LoadOptions::default() });
        assert_eq!(batch(None, None), 512);
        assert_eq!(batch(Some(128), None), 128);
        assert_eq!(batch(None, Some(2048)), 2048);
        assert_eq!(batch(None, Some(64)), 512);
        assert_eq!(batch(Some(4096), Some(1024)), 4096);
    }
}
