//! How the built-in engine loads the model of a pool: what cannot be together, and the files that are named.
//!
//! Rules: ORCH-CONF-7, ORCH-DEV-12, ORCH-ENG-32, ORCH-ENG-33, ORCH-ENG-34

use std::fs::File;
use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};

use super::Places;
use crate::check::Check;
use crate::config::{CHATML, ChatTemplate, Engine, EngineOptions, LoraAdapter};
use crate::raw::{self, FlashAttention, KvType, KvTypeOfEach, KvTypes, Rope, RopeScaling};
use crate::tree::{Node, Path};

/// The largest chat template.
const TEMPLATE_MAX_BYTES: u64 = 1024 * 1024;

/// Arguments of a template that say how the model reasons, which `defaults.reasoning` says too.
const REASONING_KWARGS: [&str; 2] = ["enable_thinking", "reasoning_effort"];

/// The options of a pool; what is wrong with them is reported.
pub(super) fn options(
    pool: &raw::Pool,
    path: &Path,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> EngineOptions {
    let chat_template = pool.chat_template.as_ref().and_then(|given| {
        let path = path.key("chat_template");
        if given == CHATML {
            return Some(ChatTemplate::chatml());
        }
        let file = places.absolute(FilePath::new(given), &path, root, check)?;
        chat_template(file, &path, check)
    });
    template_kwargs(pool, path, check);
    let kv_type = kv_type(pool, path, check);
    batches(pool, path, check);
    EngineOptions {
        chat_template,
        template_kwargs: pool.template_kwargs.clone(),
        flash_attention: pool.flash_attention.unwrap_or_default(),
        kv_type_k: kv_type.k,
        kv_type_v: kv_type.v,
        kv_ram_mb: pool.kv_cache.and_then(|kept| kept.ram_mb),
        batch: pool.batch,
        ubatch: pool.ubatch,
        threads_batch: pool.threads_batch,
        mmap: pool.mmap,
        mlock: pool.mlock,
        rope: rope(pool, path, check),
        pooling: pool.pooling,
        lora: lora(pool, path, root, places, check),
        experts_on_cpu: pool.experts_on_cpu,
    }
}

/// The options that are of the built-in engine alone, with whether they are given.
pub(super) fn of_the_built_in_engine(pool: &raw::Pool) -> [(&'static str, bool); 14] {
    [
        ("experts_on_cpu", pool.experts_on_cpu.is_some()),
        ("kv_type", pool.kv_type.is_some()),
        ("kv_cache", pool.kv_cache.is_some()),
        ("flash_attention", pool.flash_attention.is_some()),
        ("batch", pool.batch.is_some()),
        ("ubatch", pool.ubatch.is_some()),
        ("threads_batch", pool.threads_batch.is_some()),
        ("mmap", pool.mmap.is_some()),
        ("mlock", pool.mlock),
        ("rope", pool.rope.is_some()),
        ("pooling", pool.pooling.is_some()),
        ("lora", !pool.lora.is_empty()),
        ("chat_template", pool.chat_template.is_some()),
        // An API that has no field for them.
        ("template_kwargs", !pool.template_kwargs.is_empty() && !takes_kwargs(pool.engine)),
    ]
}

const fn takes_kwargs(engine: Engine) -> bool {
    matches!(engine, Engine::Llamacpp | Engine::Vllm)
}

/// Reads a template's file.
fn chat_template(file: PathBuf, path: &Path, check: &mut Check<'_>) -> Option<ChatTemplate> {
    match read(&file) {
        Ok(source) => Some(ChatTemplate { file: Some(file), source }),
        Err(why) => {
            let message = format!("`{path}` is `{}`, which {why}", file.display());
            let hint = "name a file with a Jinja template; a relative path begins at the configuration file, and \
                        `chatml` is built in";
            check.report(path, message, Some(hint.to_owned()));
            None
        }
    }
}

fn read(file: &FilePath) -> Result<String, String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    // A pipe would keep the start waiting for ever.
    if !std::fs::metadata(file).map_err(failed)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(TEMPLATE_MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > TEMPLATE_MAX_BYTES {
        return Err(format!("has more than {TEMPLATE_MAX_BYTES} bytes"));
    }
    let source = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    match source.trim().is_empty() {
        true => Err("is empty".to_owned()),
        false if source.contains('\0') => Err("has a NUL character in it".to_owned()),
        false => Ok(source),
    }
}

/// Reports arguments that say what `defaults.reasoning` says too: nobody could tell which of them holds.
fn template_kwargs(pool: &raw::Pool, path: &Path, check: &mut Check<'_>) {
    let both = REASONING_KWARGS.iter().find(|name| pool.template_kwargs.contains_key(**name));
    if let Some(name) = both.filter(|_| pool.defaults.reasoning != raw::ReasoningDefaults::default()) {
        let path_of_it = path.key("template_kwargs").key(name);
        let message =
            format!("`{path_of_it}` and `{path}.defaults.reasoning` both say how the model reasons");
        check.report(&path_of_it, message, Some("keep one of them".to_owned()));
    }
}

fn kv_type(pool: &raw::Pool, path: &Path, check: &mut Check<'_>) -> KvTypeOfEach {
    let types = match pool.kv_type {
        None => KvTypeOfEach::default(),
        Some(KvTypes::Both(one)) => KvTypeOfEach { k: one, v: one },
        Some(KvTypes::Each(types)) => types,
    };
    let KvTypeOfEach { v, .. } = types;
    if v.is_quantized() && pool.flash_attention == Some(FlashAttention::Off) {
        let path_of_it = path.key("kv_type");
        let message = format!(
            "`{path_of_it}` has values of `{}`, which need flash attention, and `{path}.flash_attention` is `off`",
            v.as_str()
        );
        let hint = format!(
            "leave `flash_attention` out, or keep the values as they are: `kv_type: {{k: {}, v: {}}}`",
            types.k.as_str(),
            KvType::F16.as_str()
        );
        check.report(&path_of_it, message, Some(hint));
    }
    types
}

fn batches(pool: &raw::Pool, path: &Path, check: &mut Check<'_>) {
    if let (Some(batch), Some(ubatch)) = (pool.batch, pool.ubatch)
        && ubatch > batch
    {
        let path_of_it = path.key("ubatch");
        let message = format!(
            "`{path_of_it}` is {ubatch}, more than `{path}.batch` ({batch}): a call of {batch} tokens has no more to \
             compute"
        );
        check.report(&path_of_it, message, Some("lower `ubatch`, or raise `batch`".to_owned()));
    }
}

fn rope(pool: &raw::Pool, path: &Path, check: &mut Check<'_>) -> Rope {
    let rope = pool.rope.unwrap_or_default();
    let path = path.key("rope");
    if rope.scaling == Some(RopeScaling::None) && rope.scale.is_some() {
        let path = path.key("scale");
        let message = format!("`{path}` has no effect with `scaling: none`");
        check.report(&path, message, Some("leave it out, or set `scaling` to `linear` or `yarn`".to_owned()));
    }
    if rope.yarn_orig_ctx.is_some() && rope.scaling != Some(RopeScaling::Yarn) {
        let path = path.key("yarn_orig_ctx");
        let message = format!("`{path}` has no effect without `scaling: yarn`");
        check.report(&path, message, Some("leave it out, or set `scaling`".to_owned()));
    }
    rope
}

fn lora(
    pool: &raw::Pool,
    path: &Path,
    root: &Node,
    places: &Places<'_>,
    check: &mut Check<'_>,
) -> Vec<LoraAdapter> {
    let mut adapters: Vec<LoraAdapter> = Vec::with_capacity(pool.lora.len());
    for (place, written) in pool.lora.iter().enumerate() {
        let path = path.key("lora").index(place);
        if written.file.is_empty() {
            let message = format!("`{path}` has no `file`");
            check.report(&path, message, Some("name the GGUF file of the adapter".to_owned()));
            continue;
        }
        if written.scale == 0.0 {
            let path = path.key("scale");
            let message = format!("`{path}` is 0, with which the adapter has no effect");
            check.report(&path, message, Some("leave the adapter out, or give it a scale".to_owned()));
        }
        let path = path.key("file");
        let Some(file) = places.absolute(FilePath::new(&written.file), &path, root, check) else { continue };
        if adapters.iter().any(|adapter| adapter.file == file) {
            let message = format!("`{path}` is `{}`, an adapter that stands before it", file.display());
            check.report(
                &path,
                message,
                Some("name each adapter once; `scale` says how much of it".to_owned()),
            );
        }
        adapters.push(LoraAdapter { file, scale: written.scale });
    }
    adapters
}
