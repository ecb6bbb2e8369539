use config_schema::raw::{ExpertsOnCpu, KvCache, KvType, KvTypeOfEach, KvTypes, Lora, RopeScaling};

use super::*;

fn of(command: &str) -> Understood {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    understand(&words)
}

/// ORCH-CLI-14
#[test]
fn what_people_set_every_day_becomes_options_of_a_pool() {
    let understood = of(
        "-m a.gguf -fa on -ctk q8_0 -ctv q8_0 -b 4096 -ub 1024 -tb 8 -cram 2048 --no-mmap --mlock --n-cpu-moe 12 --temp 0.6 --top-k 20 \
         --top-p 0.95 --min-p 0 -n 4096 --reasoning-budget 0 --rope-scaling yarn --rope-freq-scale 0.25 --yarn-orig-ctx 32768 \
         --lora a.gguf --lora-scaled b.gguf:0.5 --chat-template-file chat.jinja --chat-template-kwargs {\"mood\":\"calm\"}",
    );
    assert_eq!((&understood.own, &understood.dropped), (&vec![], &vec![]));
    let pool = understood.options;
    assert_eq!(pool.flash_attention, Some(FlashAttention::On));
    assert_eq!(pool.kv_type, Some(KvTypes::Both(KvType::Q8_0)));
    assert_eq!((pool.batch, pool.ubatch, pool.threads_batch), (Some(4096), Some(1024), Some(8)));
    assert_eq!(pool.kv_cache, Some(KvCache { ram_mb: Some(2048) }));
    assert_eq!((pool.mmap, pool.mlock), (Some(false), true));
    assert_eq!(pool.experts_on_cpu, Some(ExpertsOnCpu::Layers(12)));
    let sampling = pool.defaults.sampling;
    assert_eq!((sampling.temperature, sampling.top_k, sampling.min_p), (Some(0.6), Some(20), Some(0.0)));
    assert_eq!((pool.defaults.max_tokens, pool.defaults.reasoning.max_tokens), (4096, Some(0)));
    let rope = pool.rope.expect("set");
    assert_eq!((rope.scaling, rope.scale), (Some(RopeScaling::Yarn), Some(4.0)));
    let lora = |file: &str, scale| Lora { file: file.to_owned(), scale };
    assert_eq!(pool.lora, [lora("a.gguf", 1.0), lora("b.gguf", 0.5)]);
    assert_eq!(pool.chat_template.as_deref(), Some("chat.jinja"));
    assert_eq!(pool.template_kwargs["mood"], "calm");
    assert_eq!(understood.carried[0], "-ctk q8_0");
}

/// ORCH-CLI-14
#[test]
fn values_that_a_pool_does_not_have_are_the_servers_own() {
    for own in [
        "-ctk q3_0",
        "-b 8",
        "--temp 9",
        "--seed 7",
        "--chat-template vicuna",
        "--chat-template-kwargs {\"a\":null}",
        "--pooling none",
        "-ot blk.1.=CUDA1",
        "--rope-scale 0.5",
        "--lora-scaled b.gguf:0",
        "-n 0",
        "-md draft.gguf",
    ] {
        let understood = of(&format!("-m a.gguf {own}"));
        assert_eq!(understood.own.join(" "), own);
        assert_eq!(understood.carried, Vec::<String>::new(), "{own}");
    }
    assert_eq!(of("-fa off -ctv q8_0").own, ["--cache-type-v without flash attention"]);
    assert_eq!(
        of("-ctv q8_0").options.kv_type,
        Some(KvTypes::Each(KvTypeOfEach { k: KvType::F16, v: KvType::Q8_0 }))
    );
    assert_eq!(of("-b 256 -ub 1024").options.ubatch, Some(256));
}

/// ORCH-CLI-14
#[test]
fn what_changes_no_answer_is_named_with_its_reason() {
    let understood = of("--cache-reuse 256 --no-warmup -lv 2 -n -1 --reasoning-budget -1 --swa-full");
    assert_eq!(understood.own, Vec::<String>::new());
    let dropped: Vec<&str> = understood.dropped.iter().map(|(what, _)| what.as_str()).collect();
    let expected =
        ["--cache-reuse 256", "--no-warmup", "-lv 2", "-n -1", "--reasoning-budget -1", "--swa-full"];
    assert_eq!(dropped, expected);
    assert_eq!(understood.options, Pool::default());
}
