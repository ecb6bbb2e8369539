//! llama-swap: its `config.yaml`. A `llama-server` that says nothing but what the built-in engine does as well
//! becomes a pool of that, and where it is asked for, one whose options a pool has, too; every other command is started
//! with its replica, as llama-swap does.
//!
//! Rules: ORCH-CLI-14

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config_schema::raw::{Ctx, CtxWord, Engine, Lora, OneOrMany, Pool, Server};
use serde::Deserialize;
use serde_json::Value;

use super::carried::Carried;
use super::llama_server::{self, Understood};
use super::words;
use crate::exit::Exit;
use crate::failure::Failure;

/// Where it looks when nobody says, from the working folder and from `~/.config/llama-swap`.
const FILE_NAME: &str = "config.yaml";
/// What stands in a command for the port.
const PORT: &str = "${PORT}";
/// How often macros are looked for in what macros brought.
const MACRO_ROUNDS: usize = 8;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    models: BTreeMap<String, Model>,
    #[serde(default)]
    macros: BTreeMap<String, Value>,
    health_check_timeout: Option<f64>,
    #[serde(default)]
    hooks: Hooks,
    /// Decided by the daemon itself: a free port for each.
    #[serde(rename = "startPort")]
    _start_port: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hooks {
    on_startup: OnStartup,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OnStartup {
    preload: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    #[serde(default)]
    cmd: String,
    cmd_stop: Option<String>,
    proxy: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    ttl: f64,
    use_model_name: Option<String>,
    concurrency_limit: Option<u16>,
    #[serde(default)]
    macros: BTreeMap<String, Value>,
    /// For people.
    #[serde(rename = "name")]
    _name: Option<Value>,
    #[serde(rename = "description")]
    _description: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Which commands of a `llama-server` become a pool of the built-in engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltIn {
    /// Those that say nothing but the model and its size.
    Plain,
    /// Those whose options a pool has.
    WherePossible,
}

/// Reads the file at `path`, or where it usually is.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read(path: Option<&Path>, built_in: BuiltIn) -> Result<(PathBuf, Carried), Failure> {
    let path = find(path)?;
    let failed =
        |why: String| Failure::new(Exit::Failed, format!("`{}` cannot be read: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let file: File = serde_json::from_value(value).map_err(|error| failed(error.to_string()))?;
    let dir = std::path::absolute(&path).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let carried = carry(file, &dir.unwrap_or_default(), built_in);
    Ok((path, carried))
}

fn find(path: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = path {
        return Ok(if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() });
    }
    let home = std::env::home_dir().map(|home| home.join(".config/llama-swap"));
    let places = [Some(PathBuf::new()), home, Some("/etc/llama-swap".into())];
    let places = places.into_iter().flatten().map(|dir| dir.join(FILE_NAME));
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            format!("llama-swap's `{FILE_NAME}` is neither here nor in ~/.config/llama-swap"),
        )
        .hint("name it: `llama-orch import llama-swap PATH`")
    })
}

fn carry(file: File, dir: &Path, built_in: BuiltIn) -> Carried {
    let mut carried = Carried::default();
    let File { models, macros, health_check_timeout, hooks, rest, .. } = file;
    let common = Common {
        macros: &macros,
        timeout_s: health_check_timeout,
        preload: &hooks.on_startup.preload,
        dir,
        built_in,
    };
    for (name, model) in models {
        carry_model(&mut carried, &name, model, &common);
    }
    for name in rest.keys() {
        let why = match name.as_str() {
            "groups" | "matrix" => "which models are loaded together follows from the memory there is",
            "logLevel" | "logToStdout" | "logTimeFormat" => "`log.level` is ours",
            "apiKeys" => "the daemon has one token of its own",
            _ => "there is nothing like it",
        };
        carried.leave_out("llama-swap", format!("`{name}`: {why}"));
    }
    carried
}

/// What holds for all models of the file.
struct Common<'a> {
    macros: &'a BTreeMap<String, Value>,
    timeout_s: Option<f64>,
    preload: &'a [String],
    /// Where relative paths begin.
    dir: &'a Path,
    built_in: BuiltIn,
}

fn carry_model(carried: &mut Carried, name: &str, model: Model, common: &Common<'_>) {
    for option in model.rest.keys() {
        let why = match option.as_str() {
            "checkEndpoint" => "the daemon knows where each engine says that it is ready",
            "unlisted" => "every pool is listed",
            "filters" => "what is not served is refused by name",
            _ => "there is nothing like it",
        };
        carried.leave_out(name, format!("`{option}`: {why}"));
    }
    let command = fill_macros(&model.cmd, &[&model.macros, common.macros], name);
    let command = match words::split(&command) {
        Some(words) if !words.is_empty() => words,
        Some(_) => return carried.leave_out(name, "it has no command"),
        None => return carried.leave_out(name, "its command has a quote without an end"),
    };
    if let Some(missing) = command.iter().find(|word| word.contains("${") && !word.contains(PORT)) {
        return carried
            .leave_out(name, format!("its command has `{missing}` in it, which stands for nothing known"));
    }
    let mut pool = Pool {
        preload: common.preload.iter().any(|one| one == name),
        idle_unload_s: (model.ttl >= 1.0).then_some(model.ttl),
        aliases: model.aliases.clone(),
        ..Pool::default()
    };
    let mut env = environment(&model.env);
    pool.devices = env.remove("CUDA_VISIBLE_DEVICES").and_then(|devices| visible(&devices));
    let understood = if llama_server::is_it(&command[0]) {
        llama_server::understand(&command[1..])
    } else {
        Understood::default()
    };
    let file = understood.model.as_ref().map(|path| format!("file:{}", common.dir.join(path).display()));
    match file {
        Some(file) if why_not_built_in(&understood, &env, common.built_in).is_none() => {
            pool.model = file;
            built_in(&mut pool, &understood, common.dir);
            for (option, why) in &understood.dropped {
                carried.leave_out(name, format!("`{option}`: {why}"));
            }
            if model.cmd_stop.is_some() {
                carried.leave_out(name, "`cmdStop`: the built-in engine needs none");
            }
        }
        file => {
            let Some(command) = with_our_port(command, model.proxy.as_deref()) else {
                return carried
                    .leave_out(name, "its command does not say `${PORT}`, so that it cannot be given one");
            };
            let why = why_not_built_in(&understood, &env, common.built_in);
            if let Some(why) = why.filter(|_| file.is_some()) {
                carried
                    .leave_out(name, format!("the built-in engine: {why}; llama-server is started for it"));
            }
            pool.slots =
                understood.slots.or(model.concurrency_limit).filter(|slots| (1..=64).contains(slots));
            let stop_command = stop_command(&model, common, name);
            if model.cmd_stop.is_some() && stop_command.is_none() {
                carried.leave_out(name, "`cmdStop`: it has something in it that stands for nothing known");
            }
            managed(
                &mut pool,
                name,
                Managed { command, stop_command, env, file, model: &model, timeout_s: common.timeout_s },
            );
        }
    }
    carried.add(name, pool);
}

/// Why a `llama-server` stays one; nothing where the built-in engine does the same.
fn why_not_built_in(
    understood: &Understood,
    env: &BTreeMap<String, String>,
    wanted: BuiltIn,
) -> Option<String> {
    if !understood.own.is_empty() {
        return Some(format!("it has nothing like `{}`", understood.own.join(" ")));
    }
    if let Some(name) = env.keys().next() {
        return Some(format!("`{name}` of its environment is for that program"));
    }
    if wanted == BuiltIn::WherePossible || understood.is_plain() {
        return None;
    }
    let dropped = understood.dropped.iter().map(|(option, _)| option);
    let options: Vec<&str> = understood.carried.iter().chain(dropped).map(String::as_str).collect();
    Some(format!("`--built-in` carries `{}` over to it", options.join(" ")))
}

/// What ends the server; nothing where there is nothing, or where it needs what is not known before its start.
fn stop_command(model: &Model, common: &Common<'_>, name: &str) -> Option<Vec<String>> {
    let command = fill_macros(model.cmd_stop.as_deref()?, &[&model.macros, common.macros], name);
    let words = words::split(&command).filter(|words| !words.is_empty())?;
    let words: Vec<String> = words.iter().map(|word| word.replace(PORT, "{port}")).collect();
    words.iter().all(|word| !word.contains("${")).then_some(words)
}

/// The built-in engine says the context of one request, llama-server that of all slots together.
fn built_in(pool: &mut Pool, understood: &Understood, dir: &Path) {
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

/// What a server is started with.
struct Managed<'a> {
    command: Vec<String>,
    /// What it is ended with, where signals do not end it.
    stop_command: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    /// Its model's file, where it is llama.cpp's and says it.
    file: Option<String>,
    model: &'a Model,
    timeout_s: Option<f64>,
}

fn managed(pool: &mut Pool, name: &str, with: Managed<'_>) {
    let Managed { mut command, stop_command, env, file, model, timeout_s } = with;
    match (file, llama_server::model_word(&command)) {
        (Some(file), Some(word)) => {
            command[word] = "{model}".to_owned();
            pool.model = file;
        }
        _ => {
            pool.engine = engine_of(&command);
            pool.model =
                model.use_model_name.clone().or_else(|| served_name(&command)).unwrap_or(name.to_owned());
        }
    }
    let start_timeout_s = timeout_s.filter(|s| (1.0..=86_400.0).contains(s));
    let default = Server::default();
    pool.server = Some(Server {
        command: Some(command),
        stop_command,
        env,
        start_timeout_s: start_timeout_s.unwrap_or(default.start_timeout_s),
        ..default
    });
}

fn engine_of(command: &[String]) -> Engine {
    let says = |what: &str| command.iter().any(|word| word.contains(what));
    if says("text-generation") {
        Engine::Tgi
    } else if says("tritonserver") {
        Engine::Triton
    } else {
        Engine::Vllm
    }
}

/// The name by which vLLM serves its model.
fn served_name(command: &[String]) -> Option<String> {
    let behind = |flag: &str| {
        let place = command.iter().position(|word| word == flag)?;
        command.get(place + 1).filter(|word| !word.starts_with('-')).cloned()
    };
    let serve = || command.iter().any(|word| word.contains("vllm")).then(|| behind("serve")).flatten();
    behind("--served-model-name").or_else(serve)
}

/// The command with `{port}` where it says its port: `${PORT}`, or the number of its `proxy`.
fn with_our_port(command: Vec<String>, proxy: Option<&str>) -> Option<Vec<String>> {
    if command.iter().any(|word| word.contains(PORT)) {
        return Some(command.iter().map(|word| word.replace(PORT, "{port}")).collect());
    }
    let port = proxy?.trim_end_matches('/').rsplit_once(':')?.1.parse::<u16>().ok()?.to_string();
    let place = command.iter().position(|word| *word == port)?;
    let mut command = command;
    command[place] = "{port}".to_owned();
    Some(command)
}

fn environment(env: &[String]) -> BTreeMap<String, String> {
    env.iter()
        .filter_map(|one| one.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The cards of `CUDA_VISIBLE_DEVICES`; nothing where it says none that we have a name for.
fn visible(devices: &str) -> Option<OneOrMany> {
    let card = |name: &str| match name.trim() {
        name if name.starts_with("GPU-") => Some(name.to_owned()),
        number => {
            number.parse::<u16>().ok().filter(|number| *number < 1000).map(|number| format!("gpu{number}"))
        }
    };
    let cards: Option<Vec<String>> = devices.split(',').map(card).collect();
    cards.filter(|cards| !cards.is_empty()).map(OneOrMany::Many)
}

fn fill_macros(command: &str, macros: &[&BTreeMap<String, Value>], model: &str) -> String {
    let mut filled = command.replace("${MODEL_ID}", model);
    for _ in 0..MACRO_ROUNDS {
        let before = filled.clone();
        for (name, value) in macros.iter().flat_map(|macros| macros.iter()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            filled = filled.replace(&format!("${{{name}}}"), value.trim_end());
        }
        if filled == before {
            break;
        }
    }
    filled
}

#[cfg(test)]
mod tests;
