//! Which servers become pools of the built-in engine, and what those pools say.
//!
//! Rules: ORCH-CLI-14

use std::collections::BTreeMap;
use std::path::Path;

use config_schema::raw::{Ctx, CtxWord, Lora, Pool};

use super::super::llama_server::Understood;
use super::CARDS;
use super::command::{Program, visible};

/// Which commands of a `llama-server` become a pool of the built-in engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// Those that say nothing but the model and its size.
    Plain,
    /// Those whose options a pool has.
    WherePossible,
}

/// Why a `llama-server` stays one; nothing where the built-in engine does the same.
pub fn why_not_built_in(
    program: &Program<'_>,
    understood: &Understood,
    env: &BTreeMap<String, String>,
    wanted: BuiltIn,
) -> Option<String> {
    if !matches!(program, Program::LlamaServer(_)) {
        return Some("its command is a script or another program around `llama-server`".to_owned());
    }
    if !understood.own.is_empty() {
        return Some(format!("it has nothing like `{}`", understood.own.join(" ")));
    }
    // The cards are those of `devices`, where they have names for it.
    let is_ours = |name: &str| name == CARDS && env.get(name).is_some_and(|cards| visible(cards).is_some());
    if let Some(name) = env.keys().find(|name| !is_ours(name)) {
        return Some(format!("`{name}` of its environment is for that program"));
    }
    if wanted == BuiltIn::WherePossible || understood.is_plain() {
        return None;
    }
    let dropped = understood.dropped.iter().map(|(option, _)| option);
    let options: Vec<&str> = understood.carried.iter().chain(dropped).map(String::as_str).collect();
    Some(format!("`--built-in` carries `{}` over to it", options.join(" ")))
}

/// The built-in engine says the context of one request, llama-server that of all slots together.
pub fn built_in(pool: &mut Pool, understood: &Understood, dir: &Path) {
    carry_options(pool, &understood.options, dir);
    let slots = understood.slots.filter(|slots| (1..=64).contains(slots));
    match understood.ctx {
        Some(ctx) if ctx >= 16 => {
            let slots = slots.unwrap_or(1);
            pool.ctx = Some(Ctx::Tokens((ctx / u32::from(slots)).max(16)));
            pool.slots = Some(slots);
        }
        // The model's own, which llama-server lowers where memory is short.
        Some(0) => {
            pool.ctx = Some(Ctx::Word(CtxWord::Max));
            pool.fit_ctx = true;
            pool.slots = slots;
        }
        _ => pool.slots = slots,
    }
    pool.gpu_layers = understood.gpu_layers;
    pool.threads = understood.threads.filter(|threads| (1..=1024).contains(threads));
}

/// How the model is loaded, computed with and asked. Relative paths begin in `dir`.
fn carry_options(pool: &mut Pool, options: &Pool, dir: &Path) {
    let carried = std::mem::take(pool);
    let absolute = |path: &str| dir.join(path).display().to_string();
    *pool = Pool {
        id: carried.id,
        model: carried.model,
        aliases: carried.aliases,
        devices: carried.devices,
        replicas: carried.replicas,
        preload: carried.preload,
        idle_unload_s: carried.idle_unload_s,
        chat_template: options.chat_template.as_deref().map(|template| match template {
            "chatml" => template.to_owned(),
            path => absolute(path),
        }),
        lora: options.lora.iter().map(|one| Lora { file: absolute(&one.file), ..one.clone() }).collect(),
        ..options.clone()
    };
}
