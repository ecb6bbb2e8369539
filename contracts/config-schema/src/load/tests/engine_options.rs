//! How the built-in engine loads a model: what is read, and what is refused before anything is loaded.

use serde_json::json;

use super::*;
use crate::{
    AllLayers, EngineOptions, ExpertsOnCpu, FlashAttention, KvType, LoraAdapter, PoolConfig, Pooling, Rope,
    RopeScaling,
};

fn pool(options: &str) -> PoolConfig {
    Machine::with_file(&format!("pools: [{{{options}}}]")).load().config.pools.remove(0)
}

fn refusal(options: &str) -> String {
    Machine::with_file(&format!("pools: [{{{options}}}]")).refusal()
}

/// ORCH-DEV-12
#[test]
fn every_option_is_read_and_none_is_set_by_itself() {
    assert_eq!(pool("id: a").options, EngineOptions::default());
    let options = pool(
        "flash_attention: off, kv_type: {k: q8_0}, kv_cache: {ram_mb: 512}, batch: 2048, ubatch: 256, threads_batch: 8, mmap: false, mlock: true, \
         pooling: last, rope: {scaling: yarn, scale: 4, freq_base: 10000, yarn_orig_ctx: 8192}, experts_on_cpu: all, \
         lora: [{file: /a.gguf}, {file: /b.gguf, scale: 0.5}]",
    )
    .options;
    assert_eq!(options.flash_attention, FlashAttention::Off);
    assert_eq!((options.kv_type_k, options.kv_type_v), (KvType::Q8_0, KvType::F16));
    assert_eq!(options.kv_ram_mb, Some(512));
    assert_eq!((options.batch, options.ubatch, options.threads_batch), (Some(2048), Some(256), Some(8)));
    assert_eq!((options.mmap, options.mlock, options.pooling), (Some(false), true, Some(Pooling::Last)));
    let rope = Rope {
        scaling: Some(RopeScaling::Yarn),
        scale: Some(4.0),
        freq_base: Some(10_000.0),
        yarn_orig_ctx: Some(8192),
    };
    assert_eq!(options.rope, rope);
    assert_eq!(options.experts_on_cpu, Some(ExpertsOnCpu::Word(AllLayers::All)));
    let adapter = |file: &str, scale| LoraAdapter { file: file.into(), scale };
    assert_eq!(options.lora, [adapter("/a.gguf", 1.0), adapter("/b.gguf", 0.5)]);
    let both = pool("kv_type: q4_0").options;
    assert_eq!((both.kv_type_k, both.kv_type_v), (KvType::Q4_0, KvType::Q4_0));
    assert_eq!(pool("experts_on_cpu: 3").options.experts_on_cpu, Some(ExpertsOnCpu::Layers(3)));
}

/// ORCH-CONF-7, ORCH-DEV-12
#[test]
fn what_cannot_be_together_is_refused_by_name() {
    for (options, expected) in [
        (
            "kv_type: q8_0, flash_attention: off",
            "`pools[0].kv_type` has values of `q8_0`, which need flash attention, and `pools[0].flash_attention` is `off`\n  \
             hint: leave `flash_attention` out, or keep the values as they are: `kv_type: {k: q8_0, v: f16}`",
        ),
        (
            "batch: 128, ubatch: 256",
            "`pools[0].ubatch` is 256, more than `pools[0].batch` (128): a call of 128 tokens has no more to compute\n  \
             hint: lower `ubatch`, or raise `batch`",
        ),
        (
            "rope: {scaling: none, scale: 2}",
            "`pools[0].rope.scale` has no effect with `scaling: none`\n  hint: leave it out, or set `scaling` to `linear` \
             or `yarn`",
        ),
        (
            "rope: {scaling: linear, yarn_orig_ctx: 4096}",
            "`pools[0].rope.yarn_orig_ctx` has no effect without `scaling: yarn`\n  hint: leave it out, or set `scaling`",
        ),
        (
            "lora: [{file: a.gguf, scale: 0}]",
            "`pools[0].lora[0].scale` is 0, with which the adapter has no effect\n  hint: leave the adapter out, or give \
             it a scale",
        ),
        ("lora: [{scale: 2}]", "`pools[0].lora[0]` has no `file`\n  hint: name the GGUF file of the adapter"),
        (
            "lora: [{file: a.gguf}, {file: ./a.gguf}]",
            "`pools[0].lora[1].file` is `work/a.gguf`, an adapter that stands before it\n  hint: name each adapter once; \
             `scale` says how much of it",
        ),
        (
            "template_kwargs: {enable_thinking: false}, defaults: {reasoning: {effort: high}}",
            "`pools[0].template_kwargs.enable_thinking` and `pools[0].defaults.reasoning` both say how the model \
             reasons\n  hint: keep one of them",
        ),
    ] {
        let refusal = refusal(options);
        assert!(refusal.ends_with(expected), "{refusal}");
        assert_eq!(refusal.matches("hint:").count(), 1, "one problem: {refusal}");
    }
    pool("kv_type: {k: q8_0}, flash_attention: off");
    pool("template_kwargs: {mood: calm}, defaults: {reasoning: {effort: high}}");
}

/// ORCH-CONF-7
#[test]
fn options_of_the_built_in_engine_are_refused_for_a_server_by_name() {
    let template = std::env::current_exe().expect("a path");
    let template = format!("chat_template: {}", template.with_extension("none").display());
    for option in [
        "experts_on_cpu: all",
        "kv_type: f16",
        "kv_cache: {ram_mb: 0}",
        "flash_attention: auto",
        "batch: 512",
        "ubatch: 512",
        "threads_batch: 2",
        "mmap: true",
        "mlock: true",
        "rope: {}",
        "pooling: cls",
        "lora: [{file: a.gguf}]",
        "chat_template: chatml",
    ] {
        for server in ["{url: 'http://a'}", "{command: [a, '{port}']}"] {
            let name = option.split(':').next().expect("a name");
            let refusal = refusal(&format!("{option}, server: {server}"));
            let expected = format!(
                "`pools[0].{name}` has no effect with `server`: that program decides it\n  hint: leave"
            );
            assert!(refusal.contains(&expected), "{refusal}");
        }
    }
    assert!(refusal(&template).contains("does not exist"));
    for (engine, is_taken) in [("llamacpp", true), ("vllm", true), ("tgi", false), ("triton", false)] {
        let options = format!("engine: {engine}, template_kwargs: {{a: 1}}, server: {{url: 'http://a'}}");
        let loaded = load(&Machine::with_file(&format!("pools: [{{{options}}}]")).request);
        assert_eq!(loaded.is_ok(), is_taken, "{engine}");
        if !is_taken {
            assert!(refusal(&options).contains("the API of this engine has no field for it"));
        }
    }
}

/// ORCH-ENG-32
#[test]
fn a_chat_template_is_read_from_beside_the_file() {
    let machine = Machine::with_file("pools: [{chat_template: chat/mine.jinja}]")
        .file("work/chat/mine.jinja", "{{ messages[0].content }}");
    let template = machine.load().config.pools.remove(0).options.chat_template.expect("a template");
    assert_eq!(template.source, "{{ messages[0].content }}");
    assert!(template.file.as_ref().expect("a file").ends_with("work/chat/mine.jinja"));
    let built_in = pool("chat_template: chatml").options.chat_template.expect("a template");
    assert_eq!((built_in.file.as_ref(), built_in.name().as_str()), (None, "chatml"));
    assert!(built_in.source.contains("<|im_start|>"));
}

/// ORCH-ENG-32
#[test]
fn a_template_that_is_none_is_refused_with_pool_and_file() {
    let refused = |content: Option<&[u8]>, why: &str| {
        let machine = Machine::with_file("pools: [{chat_template: mine.jinja}]");
        if let Some(content) = content {
            std::fs::write(machine.root.path().join("work/mine.jinja"), content).expect("written");
        }
        let refusal = machine.refusal();
        let expected = format!(
            "FILE:1:25: `pools[0].chat_template` is `work/mine.jinja`, which {why}\n  hint: name a file with a Jinja \
             template; a relative path begins at the configuration file, and `chatml` is built in"
        );
        assert_eq!(refusal, expected);
    };
    refused(None, "does not exist");
    refused(Some(b" \n"), "is empty");
    refused(Some(b"\xff\xfe"), "is not UTF-8");
    refused(Some(b"a\0b"), "has a NUL character in it");
    refused(Some(&vec![b'a'; 1024 * 1024 + 1]), "has more than 1048576 bytes");
    let folder = Machine::with_file("pools: [{chat_template: .}]").refusal();
    assert!(folder.contains("which is not a file"), "{folder}");
}

/// ORCH-CONF-9, ORCH-ENG-32
#[test]
fn a_template_file_that_has_changed_is_another_configuration() {
    let machine = Machine::with_file("pools: [{chat_template: mine.jinja}]").file("work/mine.jinja", "one");
    let before = machine.load().config;
    assert_eq!(machine.load().config, before);
    let machine = machine.file("work/mine.jinja", "two");
    let after = machine.load().config;
    assert_ne!(after.pools, before.pools);
    let paths: Vec<String> = before.differences(&after).into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["pools[default].chat_template"]);
}

/// ORCH-ENG-33, ORCH-CONF-2
#[test]
fn arguments_of_the_template_are_any_json_and_come_from_the_environment_too() {
    let kwargs = pool("template_kwargs: {a: 1, b: [x, {c: true}], d: text, e: 0.5}").options.template_kwargs;
    assert_eq!(json!(kwargs), json!({ "a": 1, "b": ["x", { "c": true }], "d": "text", "e": 0.5 }));
    let machine = Machine::with_file("pools: [{template_kwargs: {enable_thinking: true, mood: calm}}]")
        .env("LLAMA_ORCH_POOLS_0_TEMPLATE_KWARGS_ENABLE_THINKING", "false")
        .env("LLAMA_ORCH_POOLS_0_TEMPLATE_KWARGS_MOOD", "grim")
        .env("LLAMA_ORCH_POOLS_0_KV_TYPE", "q8_0")
        .env("LLAMA_ORCH_POOLS_0_EXPERTS_ON_CPU", "4");
    let options = machine.load().config.pools.remove(0).options;
    assert_eq!(json!(options.template_kwargs), json!({ "enable_thinking": false, "mood": "grim" }));
    assert_eq!((options.kv_type_k, options.experts_on_cpu), (KvType::Q8_0, Some(ExpertsOnCpu::Layers(4))));
}

/// ORCH-CONF-6
#[test]
fn what_is_printed_reads_back_as_the_same() {
    let machine = Machine::with_file(
        "pools: [{chat_template: mine.jinja, template_kwargs: {a: [1, x]}, kv_type: {v: q8_0}, kv_cache: {ram_mb: 0}, flash_attention: on, batch: \
         640, ubatch: 320, threads_batch: 3, mmap: true, mlock: true, rope: {scale: 2}, pooling: mean, experts_on_cpu: 2, \
         lora: [{file: a.gguf, scale: 0.8}]}]",
    )
    .file("work/mine.jinja", "one");
    let config = machine.load().config;
    let again = Machine::with_file(&config.to_yaml()).load().config;
    assert_eq!(again.pools, config.pools);
}
