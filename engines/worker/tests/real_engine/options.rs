//! How a model is loaded and computed with, as a pool may have it.

use std::path::Path;
use std::sync::Arc;

use engine_api::load_options::{
    ExpertsOnCpu, FlashAttention, KvType, LoraAdapter, Pooling, Rope, RopeScaling, TemplateSource,
};
use engine_api::{LoadOptions, MemoryEstimate, ReplicaSpec, StartError, TextAnswer, TextQuery};
use generation::{ExtraBody, Finish, Input, ReasoningOptions, Transcript, Workload};
use orchestrator_core::TokenCount;

use crate::gguf::Lora;
use crate::harness::{Worker, job, model, prompt, spec, user};

fn with(options: LoadOptions) -> ReplicaSpec {
    ReplicaSpec { options, ..spec(&model(), 1, 512) }
}

fn load(options: LoadOptions) -> Worker {
    let mut worker = Worker::spawn();
    worker.load(with(options)).expect("it loads");
    worker
}

fn refused(spec: ReplicaSpec) -> String {
    match Worker::spawn().load(spec) {
        Err(StartError::Model(text)) => text,
        other => panic!("not refused for good: {other:?}"),
    }
}

fn memory(worker: &Worker) -> MemoryEstimate {
    worker.facts.as_ref().expect("loaded").memory.expect("told")
}

/// ORCH-DEV-12
#[test]
fn a_quantized_kv_cache_takes_less_memory_and_answers_all_the_same() {
    let (full, quantized) = (LoadOptions::default(), KvType::Q8_0);
    let small = LoadOptions { kv_type_k: quantized, kv_type_v: quantized, ..LoadOptions::default() };
    let keys =
        LoadOptions { kv_type_k: quantized, flash_attention: FlashAttention::Off, ..LoadOptions::default() };
    let [full, mut small, keys] = [full, small.clone(), keys].map(load);
    let bytes = [&full, &small, &keys].map(|worker| memory(worker).kv_bytes);
    // 34 bytes instead of 64 for each block of 32 numbers.
    let near = |a: u64, b: u64| a.abs_diff(b) <= 16 * 1024;
    assert!(near(bytes[1], bytes[0] * 34 / 64), "{bytes:?}");
    assert!(near(bytes[2], bytes[0] * (34 + 64) / 128), "{bytes:?}");
    let a_token = [&full, &small].map(|worker| worker.facts.as_ref().expect("loaded").kv_bytes_per_token);
    assert!(a_token[1].abs_diff(a_token[0] * 34 / 64) < 64, "{a_token:?}");
    let answer = small.answer(job(prompt("The capital of France is"), 8));
    assert!(answer.text.contains("Paris"), "{}", answer.text);
}

/// The starter model with 12 heads of 48 numbers in the place of 9 heads of 64.
fn with_other_heads() -> Vec<u8> {
    let mut bytes = std::fs::read(model()).expect("read");
    for (key, from, to) in [
        ("llama.attention.head_count", 9_u32, 12_u32),
        ("llama.attention.head_count_kv", 3, 4),
        ("llama.rope.dimension_count", 64, 48),
    ] {
        let entry = |value: u32| [key.as_bytes(), &4_u32.to_le_bytes(), &value.to_le_bytes()].concat();
        let (from, to) = (entry(from), entry(to));
        let at = bytes.windows(from.len()).position(|part| part == from).expect("it is there");
        bytes[at..at + to.len()].copy_from_slice(&to);
    }
    bytes
}

/// ORCH-DEV-12
#[test]
fn a_type_of_cache_that_does_not_go_with_the_model_is_refused_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heads.gguf");
    std::fs::write(&path, with_other_heads()).expect("written");
    let of = |kv_type_k| {
        let options = LoadOptions { kv_type_k, ..LoadOptions::default() };
        ReplicaSpec { options, ..spec(&path, 1, 256) }
    };
    let refusal = refused(of(KvType::Q8_0));
    assert!(refusal.starts_with("`kv_type` cannot be used with this model: K cache type q8_0"), "{refusal}");
    Worker::spawn().load(of(KvType::Bf16)).expect("it loads");
}

/// ORCH-DEV-12, ORCH-DEV-10
#[test]
fn the_estimate_counts_the_type_of_the_cache_the_buffers_and_the_adapters() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = adapter(folder.path(), "llama", "blk.29.ffn_down.weight", 0.0);
    let file_bytes = std::fs::metadata(&file).expect("a file").len();
    let options = LoadOptions {
        kv_type_k: KvType::Q8_0,
        kv_type_v: KvType::Q8_0,
        ubatch: Some(128),
        lora: vec![LoraAdapter { file, scale: 1.0 }],
        ..LoadOptions::default()
    };
    let estimated = |options| Worker::spawn().estimate(with(options)).expect("a sound model");
    let (plain, estimate) = (estimated(LoadOptions::default()), estimated(options.clone()));
    let loaded = memory(&load(options));
    assert_eq!(estimate.kv_bytes, plain.kv_bytes * 34 / 64);
    assert!(estimate.bytes_per_token < plain.bytes_per_token * 3 / 4, "{estimate:?} {plain:?}");
    assert!(estimate.compute_bytes < plain.compute_bytes / 2, "{estimate:?} {plain:?}");
    assert_eq!(estimate.weights_bytes, plain.weights_bytes + file_bytes);
    let near = |a: u64, b: u64| a.abs_diff(b) <= b / 50 + 16 * 1024;
    assert!(near(estimate.weights_bytes, loaded.weights_bytes), "{estimate:?} {loaded:?}");
    assert!(
        (loaded.compute_bytes..=loaded.compute_bytes * 3).contains(&estimate.compute_bytes),
        "{estimate:?} {loaded:?}"
    );
}

/// ORCH-DEV-12
#[test]
fn options_reach_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let log_of = |name: &str, options: LoadOptions, asked: u32| {
        let path = folder.path().join(name);
        let log = std::fs::File::create(&path).expect("a file");
        let mut worker = Worker::load_with_log(with(options), log);
        let answer = worker.answer(job(user("Say hello."), asked));
        assert!(!matches!(answer.finish(), Finish::Failed(_)), "{answer:?}");
        drop(worker);
        std::fs::read_to_string(path).expect("a log")
    };
    let rope = Rope {
        scale: Some(2.0),
        freq_base: Some(50_000.0),
        scaling: Some(RopeScaling::Linear),
        ..Rope::default()
    };
    let set = LoadOptions {
        flash_attention: FlashAttention::Off,
        batch: Some(256),
        ubatch: Some(64),
        threads_batch: Some(2),
        mmap: Some(false),
        mlock: true,
        rope,
        experts_on_cpu: Some(ExpertsOnCpu::All),
        ..LoadOptions::default()
    };
    let log = log_of("set", set, 4);
    for said in [
        "(load_mode = mlock)",
        "n_batch               = 256",
        "n_ubatch              = 64",
        "flash_attn            = disabled",
        "freq_base             = 50000.0",
        "freq_scale            = 0.5",
        r#""message":"an option has no effect","fields":{"option":"experts_on_cpu""#,
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    let log = log_of("unset", LoadOptions::default(), 1);
    for said in [
        "(load_mode = mmap)",
        "n_ubatch              = 512",
        "flash_attn            = auto",
        "freq_scale            = 1",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
    assert!(!log.contains("no effect"), "{log}");
}

/// ORCH-DEV-12, ORCH-DEV-4
#[test]
fn scaled_positions_give_more_context_than_the_training() {
    let ctx = |rope| {
        let spec = ReplicaSpec {
            ctx: Some(TokenCount(20_000)),
            ..with(LoadOptions { rope, ..LoadOptions::default() })
        };
        Worker::spawn().estimate(spec).expect("a sound model").ctx.0
    };
    let yarn = |scale| Rope { scaling: Some(RopeScaling::Yarn), scale: Some(scale), ..Rope::default() };
    assert_eq!(ctx(Rope::default()), 8192);
    assert_eq!(ctx(yarn(2.0)), 16_384);
    assert_eq!(ctx(yarn(4.0)), 20_000);
}

fn vectors(worker: &mut Worker, texts: &[&str]) -> Vec<Vec<f32>> {
    let mut embed = job(Input::Inputs(texts.iter().map(|text| (*text).to_owned()).collect()), 0);
    embed.workload = Workload::Embedding;
    let answer = worker.answer(embed);
    assert_eq!(answer.finish(), &Finish::Stop);
    Transcript::of(answer.pieces).vectors
}

/// ORCH-DEV-12
#[test]
fn how_vectors_are_pooled_is_decided_by_the_pool() {
    let texts = ["Hello world", "Hello everybody there"];
    let [cls, mean, last] = [Pooling::Cls, Pooling::Mean, Pooling::Last].map(|pooling| {
        let mut worker = load(LoadOptions { pooling: Some(pooling), ..LoadOptions::default() });
        assert_eq!(worker.facts.as_ref().expect("loaded").workloads, [Workload::Embedding]);
        vectors(&mut worker, &texts)
    });
    let alike = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() > 0.999;
    // A token sees those before it, and the first one nothing else.
    assert!(alike(&cls[0], &cls[1]));
    assert!(!alike(&mean[0], &mean[1]) && !alike(&last[0], &last[1]));
    assert!(!alike(&cls[0], &mean[0]) && !alike(&mean[0], &last[0]));
    let rank = refused(with(LoadOptions { pooling: Some(Pooling::Rank), ..LoadOptions::default() }));
    assert!(rank.starts_with("`pooling: rank` needs a model with a classifier"), "{rank}");
}

/// Writes an adapter that adds `strength` times the same to every input of a matrix.
fn adapter(folder: &Path, architecture: &str, tensor: &str, strength: f32) -> std::path::PathBuf {
    let path = folder.join(format!("{architecture}-{tensor}-{strength}.gguf"));
    let b = (0..576).map(|at| if at % 2 == 0 { strength } else { -strength }).collect();
    let lora = Lora { architecture, tensor, a: vec![0.1; 1536], b };
    std::fs::write(&path, lora.file()).expect("written");
    path
}

/// ORCH-ENG-34
#[test]
fn an_adapter_changes_answers_as_much_as_its_scale_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let [strong, none] =
        [8.0, 0.0].map(|strength| adapter(folder.path(), "llama", "blk.29.ffn_down.weight", strength));
    let answer = |lora: Vec<(&Path, f32)>| {
        let lora =
            lora.into_iter().map(|(file, scale)| LoraAdapter { file: file.to_owned(), scale }).collect();
        let mut worker = load(LoadOptions { lora, ..LoadOptions::default() });
        let answer = worker.answer(job(prompt("The capital of France is"), 8));
        let mut strict = job(prompt("The capital of France is"), 8);
        strict.determinism = generation::Determinism::Strict;
        let strict = worker.answer(strict).text;
        (answer.text, strict)
    };
    let plain = answer(vec![]);
    let changed = answer(vec![(&strong, 1.0)]);
    assert!(plain.0.contains("Paris"), "{plain:?}");
    assert!(changed.0 != plain.0 && changed.1 != plain.1, "{changed:?}");
    assert_eq!(answer(vec![(&none, 1.0)]), plain, "what adds nothing changes nothing");
    assert_eq!(answer(vec![(&strong, 1.0e-9)]), plain, "as its scale says");
    assert_eq!(answer(vec![(&none, 1.0), (&strong, 1.0)]), changed, "all of them hold");
}

/// ORCH-ENG-34
#[test]
fn what_is_no_adapter_of_the_model_is_refused_for_good_with_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let with_adapter = |file: &Path| {
        with(LoadOptions {
            lora: vec![LoraAdapter { file: file.to_owned(), scale: 1.0 }],
            ..LoadOptions::default()
        })
    };
    let text = folder.path().join("text.gguf");
    std::fs::write(&text, "an adapter").expect("written");
    for (file, why) in [
        (folder.path().join("none.gguf"), "does not exist"),
        (text, "is not a GGUF file"),
        (model(), "expect general.type to be 'adapter'"),
        (adapter(folder.path(), "qwen2", "blk.29.ffn_down.weight", 1.0), "model arch and LoRA arch mismatch"),
        (adapter(folder.path(), "llama", "blk.99.ffn_down.weight", 1.0), "does not exist in base model"),
        (adapter(folder.path(), "llama", "blk.29.attn_q.weight", 1.0), "has incorrect shape"),
    ] {
        let refused = refused(with_adapter(&file));
        let name = file.display().to_string();
        assert!(refused.contains(why) && refused.contains(&name) && refused.contains("LoRA"), "{refused}");
    }
}

fn template(text: &str) -> Option<TemplateSource> {
    Some(TemplateSource { name: "/etc/mine.jinja".to_owned(), text: text.to_owned() })
}

fn rendered(worker: &mut Worker, kwargs: Option<&str>, reasoning: ReasoningOptions) -> String {
    let mut asked = job(user("Hi"), 1);
    asked.reasoning = reasoning;
    asked.extra_body = kwargs.map(|kwargs| ExtraBody {
        fields: format!(r#"{{"chat_template_kwargs":{kwargs}}}"#),
        template: Some(kwargs.to_owned()),
        refusal: "not taken".to_owned(),
    });
    let counted = worker.measure(asked.clone()).expect("it is counted").tokens;
    let end = worker.answer(asked.clone()).report().clone();
    assert_eq!(end.tokens_in, counted);
    match worker.text(TextQuery::ApplyTemplate(Arc::new(asked))) {
        Ok(TextAnswer::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

/// ORCH-ENG-32, ORCH-ENG-33
#[test]
fn a_template_in_the_place_of_the_models_own_makes_the_prompt() {
    let source = "{% for m in messages %}[{{ m.role }}:{{ mood | default('calm') }}] {{ m.content }}{% endfor %}\
                  {% if enable_thinking is defined and not enable_thinking %} (quick){% endif %}\
                  {% if add_generation_prompt %} =>{% endif %}";
    let kwargs = Some(r#"{"mood":"grim","enable_thinking":false}"#.to_owned());
    let mut own = load(LoadOptions::default());
    assert!(rendered(&mut own, None, ReasoningOptions::default()).contains("<|im_start|>user\nHi"));
    let mut plain = load(LoadOptions { chat_template: template(source), ..LoadOptions::default() });
    let silent = ReasoningOptions::default;
    assert!(plain.facts.as_ref().expect("loaded").model.chat_template);
    assert!(rendered(&mut plain, None, silent()).starts_with("[user:calm] Hi"));
    let options =
        LoadOptions { chat_template: template(source), template_kwargs: kwargs, ..LoadOptions::default() };
    let mut set = load(options);
    assert_eq!(rendered(&mut set, None, silent()), "[user:grim] Hi (quick) =>");
    assert_eq!(rendered(&mut set, Some(r#"{"mood":"gay"}"#), silent()), "[user:gay] Hi (quick) =>");
    let thinks = ReasoningOptions { enabled: Some(true), ..silent() };
    assert_eq!(
        rendered(&mut set, None, thinks),
        "[user:grim] Hi =>",
        "what a request says of itself goes first"
    );
}

/// ORCH-ENG-32, ORCH-ENG-33
#[test]
fn a_broken_template_and_an_unknown_argument_of_it_are_refused_for_good() {
    let broken = LoadOptions { chat_template: template("{% for x xx y %}"), ..LoadOptions::default() };
    let refusal = refused(with(broken));
    assert!(refusal.starts_with("the chat template `/etc/mine.jinja` is broken: "), "{refusal}");
    for (kwargs, said) in [
        (r#"{"modd":1}"#, "`template_kwargs.modd` is not known to the model's chat template"),
        (r#"{"enable_thinking":"no"}"#, "`template_kwargs.enable_thinking` is \"no\": `true` or `false`"),
    ] {
        let options = LoadOptions { template_kwargs: Some(kwargs.to_owned()), ..LoadOptions::default() };
        let refusal = refused(with(options));
        assert!(refusal.starts_with(said), "{refusal}");
    }
}
