//! The options of a `llama-server` that say how its model is loaded, computed with and asked, as a pool has them.

use config_schema::raw::{
    AllLayers, ExpertsOnCpu, FlashAttention, KvCache, KvType, KvTypeOfEach, KvTypes, Lora, Pool, Pooling,
    ReasoningDefaults, Rope, SamplerProfile,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::number;

/// What became of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The pool has it.
    Carried,
    /// It changes no answer, and is not carried for this reason.
    Dropped(&'static str),
}

/// Prompt tokens that a call may have here.
const BATCH: std::ops::RangeInclusive<u32> = 64..=16_384;

/// Tokens that are computed at a time.
const UBATCH: std::ops::RangeInclusive<u32> = 32..=16_384;

/// The most adapters of a pool.
const LORA_MAX: usize = 16;

/// The most MiB of main memory for conversations out of the slots.
const KV_RAM_MB_MOST: u32 = 4_194_304;

/// How people write that all experts stay in main memory.
const EXPERTS: [&str; 5] = [
    "exps=CPU",
    ".ffn_.*_exps.=CPU",
    r"\.ffn_.*_exps\.=CPU",
    r".ffn_(up|down|gate)_exps.=CPU",
    r"\.ffn_(up|down|gate)_exps\.=CPU",
];

/// Sampling by the server's names, ours, and the values that a pool takes.
const SAMPLING: [(&str, &str, f64, f64); 17] = [
    ("--temp", "temperature", 0.0, 5.0),
    ("--temperature", "temperature", 0.0, 5.0),
    ("--top-k", "top_k", 0.0, 1_000_000.0),
    ("--top-p", "top_p", 0.001, 1.0),
    ("--min-p", "min_p", 0.0, 1.0),
    ("--repeat-penalty", "repeat_penalty", 0.1, 10.0),
    ("--repeat-last-n", "repeat_last_n", 0.0, 65_536.0),
    ("--presence-penalty", "presence_penalty", -2.0, 2.0),
    ("--frequency-penalty", "frequency_penalty", -2.0, 2.0),
    ("--typical", "typical_p", 0.001, 1.0),
    ("--typical-p", "typical_p", 0.001, 1.0),
    ("--xtc-probability", "xtc_probability", 0.0, 1.0),
    ("--xtc-threshold", "xtc_threshold", 0.0, 1.0),
    ("--dry-multiplier", "dry_multiplier", 0.0, 100.0),
    ("--dry-base", "dry_base", 1.0, 100.0),
    ("--dry-allowed-length", "dry_allowed_length", 0.0, 1024.0),
    ("--dry-penalty-last-n", "dry_penalty_last_n", -1.0, 1_048_576.0),
];

const LOG: &str = "`log` is the daemon's own";
const LIMITS: &str = "`limits` are the daemon's own";
const REUSE: &str = "what a prompt shares with a cached one is reused by itself";
const WARM: &str = "a model is tried before it serves";
const WHOLE_WINDOW: &str = "the cache of layers with a sliding window is kept in full";
const ONE_CACHE: &str = "the slots of a replica share one cache";
const UNSET: &str = "the scheduling of threads is left to the system";
const PERF: &str = "speeds are measured by the daemon";

/// Options that change no answer, whether a value follows, and why they are not carried.
const DROPPED: [(&str, bool, &str); 30] = [
    ("-to", true, LIMITS),
    ("--timeout", true, LIMITS),
    ("--threads-http", true, LIMITS),
    ("--cache-reuse", true, REUSE),
    ("-sps", true, REUSE),
    ("--slot-prompt-similarity", true, REUSE),
    ("--slot-save-path", true, "caches of conversations stay in memory"),
    ("-ctxcp", true, WHOLE_WINDOW),
    ("--ctx-checkpoints", true, WHOLE_WINDOW),
    ("--swa-checkpoints", true, WHOLE_WINDOW),
    ("--swa-full", false, WHOLE_WINDOW),
    ("-kvu", false, ONE_CACHE),
    ("--kv-unified", false, ONE_CACHE),
    ("--warmup", false, WARM),
    ("--no-warmup", false, WARM),
    ("--no-context-shift", false, "an answer ends where its context is full"),
    ("-v", false, LOG),
    ("--verbose", false, LOG),
    ("-lv", true, LOG),
    ("--verbosity", true, LOG),
    ("--log-file", true, LOG),
    ("--log-colors", true, LOG),
    ("--log-prefix", false, LOG),
    ("--log-timestamps", false, LOG),
    ("--prio", true, UNSET),
    ("--poll", true, UNSET),
    ("--perf", false, PERF),
    ("--no-perf", false, PERF),
    ("--reasoning-format", true, "reasoning is sent apart from the answer"),
    ("--no-slots", false, "what runs is shown by `llama-orch status`"),
];

/// Reads one option into `pool`; nothing where the pool has none like it, or not with this value.
pub fn take<'a>(flag: &str, value: &mut impl FnMut() -> Option<&'a str>, pool: &mut Pool) -> Option<Taken> {
    if let Some((_, has_value, why)) = DROPPED.iter().find(|(name, ..)| *name == flag) {
        if *has_value {
            value()?;
        }
        return Some(Taken::Dropped(why));
    }
    if let Some((_, name, least, most)) = SAMPLING.iter().find(|(name, ..)| *name == flag) {
        let value = number(value()).filter(|value: &f64| (*least..=*most).contains(value))?;
        return sampling(&mut pool.defaults.sampling, name, value).map(|()| Taken::Carried);
    }
    match flag {
        "-n" | "--predict" | "--n-predict" => return max_tokens(value()?, pool),
        "--reasoning-budget" => return reasoning_budget(value()?, pool),
        "-s" | "--seed" if value()? == "-1" => {
            return Some(Taken::Dropped("a seed is made for each request that has none"));
        }
        _ => {}
    }
    rope(flag, value, pool).or_else(|| loading(flag, value, pool)).map(|()| Taken::Carried)
}

/// Has what cannot stand together in a pool go; returns it, as what only the server has.
pub fn settle(pool: &mut Pool) -> Vec<String> {
    let mut own = Vec::new();
    if let Some(KvTypes::Each(KvTypeOfEach { k, v })) = pool.kv_type {
        if v.is_quantized() && pool.flash_attention == Some(FlashAttention::Off) {
            own.push("--cache-type-v without flash attention".to_owned());
        }
        if k == v {
            pool.kv_type = (k != KvType::F16).then_some(KvTypes::Both(k));
        }
    }
    // The server lowers it in silence.
    if let (Some(batch), Some(ubatch)) = (pool.batch, pool.ubatch) {
        pool.ubatch = Some(ubatch.min(batch));
    }
    let says = |name: &str| pool.template_kwargs.contains_key(name);
    let reasons = pool.defaults.reasoning != ReasoningDefaults::default();
    if reasons && (says("enable_thinking") || says("reasoning_effort")) {
        own.push("--reasoning-budget beside --chat-template-kwargs that say how to reason".to_owned());
    }
    if pool.lora.len() > LORA_MAX {
        own.push(format!("more than {LORA_MAX} adapters"));
    }
    own
}

/// How the model is loaded and computed with.
fn loading<'a>(flag: &str, value: &mut impl FnMut() -> Option<&'a str>, pool: &mut Pool) -> Option<()> {
    match flag {
        "-ctk" | "--cache-type-k" => kv_types(pool).k = word(value()?)?,
        "-ctv" | "--cache-type-v" => kv_types(pool).v = word(value()?)?,
        "-b" | "--batch-size" => pool.batch = Some(number(value()).filter(|n| BATCH.contains(n))?),
        "-ub" | "--ubatch-size" => pool.ubatch = Some(number(value()).filter(|n| UBATCH.contains(n))?),
        "-tb" | "--threads-batch" => {
            pool.threads_batch = Some(number(value()).filter(|n| (1..=1024).contains(n))?);
        }
        "-cram" | "--cache-ram" => {
            let ram_mb = number(value()).filter(|n| *n <= KV_RAM_MB_MOST)?;
            pool.kv_cache = Some(KvCache { ram_mb: Some(ram_mb) });
        }
        "--no-mmap" => pool.mmap = Some(false),
        "--mlock" => pool.mlock = true,
        "-cmoe" | "--cpu-moe" => pool.experts_on_cpu = Some(ExpertsOnCpu::Word(AllLayers::All)),
        "-ncmoe" | "--n-cpu-moe" => {
            let layers = number(value()).filter(|n| (1..=10_000).contains(n))?;
            pool.experts_on_cpu = Some(ExpertsOnCpu::Layers(layers));
        }
        "-ot" | "--override-tensor" if EXPERTS.contains(&value()?) => {
            pool.experts_on_cpu = Some(ExpertsOnCpu::Word(AllLayers::All));
        }
        "--pooling" => pool.pooling = Some(word(value()?)?),
        "--rerank" | "--reranking" => pool.pooling = Some(Pooling::Rank),
        "--lora" => {
            let files = value()?.split(',').filter(|file| !file.is_empty());
            pool.lora.extend(files.map(|file| Lora { file: file.to_owned(), ..Lora::default() }));
        }
        "--lora-scaled" => pool.lora.extend(scaled(value()?)?),
        "--chat-template-file" => pool.chat_template = Some(value()?.to_owned()),
        "--chat-template" if value()? == "chatml" => pool.chat_template = Some("chatml".to_owned()),
        "--chat-template-kwargs" => {
            let kwargs: std::collections::BTreeMap<String, Value> = serde_json::from_str(value()?).ok()?;
            // A file of ours has no value that is nothing.
            if kwargs.values().any(Value::is_null) {
                return None;
            }
            pool.template_kwargs = kwargs;
        }
        _ => return None,
    }
    Some(())
}

fn rope<'a>(flag: &str, value: &mut impl FnMut() -> Option<&'a str>, pool: &mut Pool) -> Option<()> {
    let mut rope = pool.rope.unwrap_or_default();
    let scale = |scale: f32| Some(scale).filter(|scale| (1.0..=1024.0).contains(scale));
    match flag {
        "--rope-scaling" => rope.scaling = Some(word(value()?)?),
        "--rope-scale" => rope.scale = Some(scale(number(value())?)?),
        "--rope-freq-scale" => rope.scale = Some(scale(1.0 / number::<f32>(value())?)?),
        "--rope-freq-base" => {
            rope.freq_base = Some(number(value()).filter(|base| (1.0..=1.0e12).contains(base))?);
        }
        "--yarn-orig-ctx" => {
            rope.yarn_orig_ctx = Some(number(value()).filter(|ctx| (16..=16_777_216).contains(ctx))?);
        }
        _ => return None,
    }
    pool.rope = (rope != Rope::default()).then_some(rope);
    Some(())
}

fn max_tokens(value: &str, pool: &mut Pool) -> Option<Taken> {
    match value.parse().ok()? {
        -2 | -1 => Some(Taken::Dropped("an answer is bounded by `defaults.max_tokens`")),
        tokens @ 1..=1_048_576 => {
            pool.defaults.max_tokens = u32::try_from(tokens).ok()?;
            Some(Taken::Carried)
        }
        _ => None,
    }
}

fn reasoning_budget(value: &str, pool: &mut Pool) -> Option<Taken> {
    match value.parse().ok()? {
        -1 => Some(Taken::Dropped("reasoning has no bound where nobody sets one")),
        tokens @ 0..=1_048_576 => {
            pool.defaults.reasoning.max_tokens = u32::try_from(tokens).ok();
            Some(Taken::Carried)
        }
        _ => None,
    }
}

fn sampling(profile: &mut SamplerProfile, name: &str, value: f64) -> Option<()> {
    let mut fields = serde_json::to_value(&*profile).ok()?;
    fields[name] = if value.fract() == 0.0 { (value as i64).into() } else { value.into() };
    *profile = serde_json::from_value(fields).ok()?;
    Some(())
}

/// `FILE:SCALE`, several of them with commas between them.
fn scaled(text: &str) -> Option<Vec<Lora>> {
    let one = |item: &str| {
        let (file, scale) = item.rsplit_once(':')?;
        let scale: f32 =
            scale.parse().ok().filter(|scale| (-100.0..=100.0).contains(scale) && *scale != 0.0)?;
        Some(Lora { file: file.to_owned(), scale })
    };
    text.split(',').map(one).collect()
}

fn kv_types(pool: &mut Pool) -> &mut KvTypeOfEach {
    if !matches!(pool.kv_type, Some(KvTypes::Each(_))) {
        pool.kv_type = Some(KvTypes::Each(KvTypeOfEach::default()));
    }
    match &mut pool.kv_type {
        Some(KvTypes::Each(types)) => types,
        _ => unreachable!("made above"),
    }
}

/// A word that is one of an option's values.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::from(text)).ok()
}
