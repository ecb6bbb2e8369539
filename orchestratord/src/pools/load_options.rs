//! The options of a pool in the words of its engine, and what of them is worth a word beside the arithmetic of a load.
//!
//! Rules: ORCH-DEV-12, ORCH-ENG-32, ORCH-ENG-33, ORCH-ENG-34

use config_schema::EngineOptions;
use engine_api::load_options::{
    ExpertsOnCpu, FlashAttention, KvType, LoadOptions, LoraAdapter, Pooling, Rope, RopeScaling,
    TemplateSource,
};

/// What the engine is started with.
pub(super) fn of(options: &EngineOptions) -> LoadOptions {
    let template = options.chat_template.as_ref();
    let lora = options.lora.iter();
    LoadOptions {
        chat_template: template
            .map(|template| TemplateSource { name: template.name(), text: template.source.clone() }),
        template_kwargs: template_kwargs(options),
        flash_attention: match options.flash_attention {
            config_schema::FlashAttention::Auto => FlashAttention::Auto,
            config_schema::FlashAttention::On => FlashAttention::On,
            config_schema::FlashAttention::Off => FlashAttention::Off,
        },
        kv_type_k: kv_type(options.kv_type_k),
        kv_type_v: kv_type(options.kv_type_v),
        kv_ram_bytes: options.kv_ram_mb.map(|mib| u64::from(mib) << 20),
        batch: options.batch,
        ubatch: options.ubatch,
        threads_batch: options.threads_batch,
        mmap: options.mmap,
        mlock: options.mlock,
        rope: rope(options.rope),
        pooling: options.pooling.map(|pooling| match pooling {
            config_schema::Pooling::Mean => Pooling::Mean,
            config_schema::Pooling::Cls => Pooling::Cls,
            config_schema::Pooling::Last => Pooling::Last,
            config_schema::Pooling::Rank => Pooling::Rank,
        }),
        lora: lora.map(|one| LoraAdapter { file: one.file.clone(), scale: one.scale }).collect(),
        experts_on_cpu: options.experts_on_cpu.map(|experts| match experts {
            config_schema::ExpertsOnCpu::Layers(layers) => ExpertsOnCpu::Layers(layers),
            config_schema::ExpertsOnCpu::Word(config_schema::AllLayers::All) => ExpertsOnCpu::All,
        }),
    }
}

/// The arguments of the chat template, as the text of a JSON object; nothing where there are none.
pub(crate) fn template_kwargs(options: &EngineOptions) -> Option<String> {
    let kwargs = &options.template_kwargs;
    (!kwargs.is_empty()).then(|| serde_json::to_string(kwargs).expect("JSON values are JSON"))
}

/// What of the options changes how much memory the model takes, in words; nothing where nothing does.
pub(super) fn note(options: &EngineOptions) -> Option<String> {
    let mut notes = Vec::new();
    let (k, v) = (options.kv_type_k, options.kv_type_v);
    if (k, v) != Default::default() {
        notes.push(match k == v {
            true => format!("a KV cache in {}", k.as_str()),
            false => format!("a KV cache with keys in {} and values in {}", k.as_str(), v.as_str()),
        });
    }
    match options.lora.len() {
        0 => {}
        1 => notes.push("one LoRA adapter".to_owned()),
        more => notes.push(format!("{more} LoRA adapters")),
    }
    match options.experts_on_cpu {
        None => {}
        Some(config_schema::ExpertsOnCpu::Layers(layers)) => {
            notes.push(format!("the experts of the first {layers} layers in main memory"));
        }
        Some(config_schema::ExpertsOnCpu::Word(config_schema::AllLayers::All)) => {
            notes.push("all experts in main memory".to_owned());
        }
    }
    if let Some(ubatch) = options.ubatch {
        notes.push(format!("buffers for {ubatch} tokens at a time"));
    }
    (!notes.is_empty()).then(|| format!("with {}", notes.join(", ")))
}

const fn kv_type(kind: config_schema::KvType) -> KvType {
    match kind {
        config_schema::KvType::F32 => KvType::F32,
        config_schema::KvType::F16 => KvType::F16,
        config_schema::KvType::Bf16 => KvType::Bf16,
        config_schema::KvType::Q8_0 => KvType::Q8_0,
        config_schema::KvType::Q5_1 => KvType::Q5_1,
        config_schema::KvType::Q5_0 => KvType::Q5_0,
        config_schema::KvType::Q4_1 => KvType::Q4_1,
        config_schema::KvType::Q4_0 => KvType::Q4_0,
        config_schema::KvType::Iq4Nl => KvType::Iq4Nl,
    }
}

fn rope(rope: config_schema::Rope) -> Rope {
    let config_schema::Rope { scaling, scale, freq_base, yarn_orig_ctx } = rope;
    let scaling = scaling.map(|scaling| match scaling {
        config_schema::RopeScaling::None => RopeScaling::None,
        config_schema::RopeScaling::Linear => RopeScaling::Linear,
        config_schema::RopeScaling::Yarn => RopeScaling::Yarn,
    });
    Rope { scaling, scale, freq_base, yarn_orig_ctx }
}

#[cfg(test)]
mod tests {
    use config_schema::{AllLayers, ExpertsOnCpu, KvType, LoraAdapter};

    use super::*;

    /// ORCH-DEV-12
    #[test]
    fn what_changes_the_memory_is_named_and_nothing_else() {
        assert_eq!(note(&EngineOptions::default()), None);
        let quiet = EngineOptions { mlock: true, mmap: Some(false), batch: Some(64), ..Default::default() };
        assert_eq!(note(&quiet), None);
        let loud = EngineOptions {
            kv_type_k: KvType::Q8_0,
            kv_type_v: KvType::F16,
            lora: vec![LoraAdapter { file: "/a".into(), scale: 1.0 }],
            experts_on_cpu: Some(ExpertsOnCpu::Word(AllLayers::All)),
            ..Default::default()
        };
        assert_eq!(
            note(&loud).as_deref(),
            Some(
                "with a KV cache with keys in q8_0 and values in f16, one LoRA adapter, all experts in main memory"
            )
        );
    }
}
