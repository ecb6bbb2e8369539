//! llama-swap: its `config.yaml`. A `llama-server` that says nothing but what the built-in engine does as well
//! becomes a pool of that, and where it is asked for, one whose options a pool has, too; every other command is started
//! with its replica, as llama-swap does.
//!
//! Rules: ORCH-CLI-14

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config_schema::raw::{Engine, OneOrMany, Pool, Server};
use serde::Deserialize;
use serde_json::Value;

use self::built_in::{built_in, why_not_built_in};
use self::command::{
    PORT, Program, environment, fill_environment, fill_macros, key_of, visible, with_our_port,
};
use super::carried::Carried;
use super::llama_server;
use super::words;
use crate::exit::Exit;
use crate::failure::Failure;

mod built_in;
mod command;

pub use self::built_in::BuiltIn;

/// The variable of the cards that a program sees.
const CARDS: &str = "CUDA_VISIBLE_DEVICES";

/// Where it looks when nobody says, from the working folder and from `~/.config/llama-swap`.
const FILE_NAME: &str = "config.yaml";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    models: BTreeMap<String, Model>,
    #[serde(default)]
    macros: BTreeMap<String, Value>,
    health_check_timeout: Option<f64>,
    /// Seconds, of every model that has no `ttl` of its own.
    #[serde(default, rename = "globalTTL")]
    global_ttl: f64,
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
    /// Seconds; -1 is `globalTTL`, and 0 is never.
    ttl: Option<f64>,
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

/// Reads the file at `path`, or where it usually is.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read(path: Option<&Path>, built_in: BuiltIn) -> Result<(PathBuf, Carried), Failure> {
    let path = find(path)?;
    let failed =
        |why: String| Failure::new(Exit::Failed, format!("`{}` cannot be read: {why}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let file = parse(&text).map_err(failed)?;
    let dir = std::path::absolute(&path).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let carried = carry(file, &dir.unwrap_or_default(), built_in);
    Ok((path, carried))
}

/// Reads YAML as people write it: sections whose every line is commented out are empty ones.
fn parse(text: &str) -> Result<File, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // Long blocks of comments, and an anchor that every model refers to.
            max_buffered_comment_events: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
    };
    let value: Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    serde_json::from_value(without_nulls(value)).map_err(|error| error.to_string())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => {
            let items = items.into_iter().filter(|value| !value.is_null());
            Value::Array(items.map(without_nulls).collect())
        }
        value => value,
    }
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
    let File { models, macros, health_check_timeout, global_ttl, hooks, rest, .. } = file;
    let common = Common {
        macros: &macros,
        timeout_s: health_check_timeout,
        ttl_s: global_ttl,
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
    ttl_s: f64,
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
    let command = match command_of(&model, common, name) {
        Ok(command) => command,
        Err(why) => return carried.leave_out(name, why),
    };
    let ttl_s = model.ttl.filter(|ttl| *ttl >= 0.0).unwrap_or(common.ttl_s);
    let mut pool = Pool {
        preload: common.preload.iter().any(|one| one == name),
        idle_unload_s: (ttl_s >= 1.0).then_some(ttl_s),
        aliases: model.aliases.clone(),
        ..Pool::default()
    };
    let mut env = environment(&model.env);
    let cards = env.get(CARDS).and_then(|devices| visible(devices));
    let program = Program::of(&command);
    let understood = program.llama_server().map(llama_server::understand).unwrap_or_default();
    let file = understood.model.as_ref().map(|path| file_reference(path, common.dir));
    let reference = file.or_else(|| understood.remote.clone());
    let why = why_not_built_in(&program, &understood, &env, common.built_in);
    match reference {
        Some(reference) if why.is_none() => {
            pool.model = reference;
            pool.devices = cards.clone().map(OneOrMany::Many);
            // It was one server, on however many cards.
            pool.replicas = cards.filter(|cards| cards.len() > 1).map(|_| 1);
            built_in(&mut pool, &understood, common.dir);
            for (option, why) in &understood.dropped {
                carried.leave_out(name, format!("`{option}`: {why}"));
            }
            if model.cmd_stop.is_some() {
                carried.leave_out(name, "`cmdStop`: the built-in engine needs none");
            }
            if understood.api_key.is_some() {
                carried.leave_out(name, "`--api-key`: the daemon has one token of its own");
            }
        }
        reference => {
            if let Some([card]) = cards.as_deref() {
                pool.devices = Some(OneOrMany::Many(vec![card.clone()]));
                env.remove(CARDS);
            }
            let Some((command, port)) = with_our_port(command.clone(), model.proxy.as_deref()) else {
                return carried.leave_out(
                    name,
                    "it has neither `${PORT}` in its command nor a port of this machine in `proxy`: nobody knows \
                     where it listens",
                );
            };
            if let Some(why) = why.filter(|_| reference.is_some()) {
                carried
                    .leave_out(name, format!("the built-in engine: {why}; llama-server is started for it"));
            }
            pool.slots =
                understood.slots.or(model.concurrency_limit).filter(|slots| (1..=64).contains(slots));
            let stop_command = stop_command(&model, common, name);
            if model.cmd_stop.is_some() && stop_command.is_none() {
                carried.leave_out(name, "`cmdStop`: it has something in it that stands for nothing known");
            }
            let api_key = understood.api_key.clone().or_else(|| key_of(&command));
            let file = reference.map(|model| (model, matches!(program, Program::LlamaServer(_))));
            let with = Managed { command, port, stop_command, env, api_key, file, model: &model, common };
            managed(&mut pool, name, with);
        }
    }
    carried.add(name, pool);
}

/// The words of a model's command, with macros and variables filled in.
fn command_of(model: &Model, common: &Common<'_>, name: &str) -> Result<Vec<String>, String> {
    let command = fill_macros(&model.cmd, &[&model.macros, common.macros], name);
    let command = fill_environment(&command, |variable| std::env::var(variable).ok())
        .map_err(|missing| format!("its command needs the variable `{missing}`, which is not set here"))?;
    let words = words::split(&command).ok_or("its command has a quote without an end")?;
    if words.is_empty() {
        return Err("it has no command".to_owned());
    }
    match words.iter().find(|word| word.replace(PORT, "").contains("${")) {
        // A script has variables of its own.
        Some(missing) if command::script(&words).is_none() => {
            Err(format!("its command has `{missing}` in it, which stands for nothing known"))
        }
        _ => Ok(words),
    }
}

/// A file as our configuration names it. llama-swap's relative paths begin in the folder of its file.
fn file_reference(path: &str, dir: &Path) -> String {
    if path.starts_with("~/") {
        return format!("file:{path}");
    }
    format!("file:{}", dir.join(path).display())
}

/// What ends the server; nothing where there is nothing, or where it needs what is not known before its start.
fn stop_command(model: &Model, common: &Common<'_>, name: &str) -> Option<Vec<String>> {
    let command = fill_macros(model.cmd_stop.as_deref()?, &[&model.macros, common.macros], name);
    let words = words::split(&command).filter(|words| !words.is_empty())?;
    let words: Vec<String> = words.iter().map(|word| word.replace(PORT, "{port}")).collect();
    words.iter().all(|word| !word.contains("${")).then_some(words)
}

/// What a server is started with.
struct Managed<'a> {
    command: Vec<String>,
    /// The port at which it listens, where the command cannot be given one.
    port: Option<u16>,
    /// What it is ended with, where signals do not end it.
    stop_command: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    api_key: Option<String>,
    /// Its model's file or repository, where it is llama.cpp's and says it, and whether its own command says it.
    file: Option<(String, bool)>,
    model: &'a Model,
    common: &'a Common<'a>,
}

fn managed(pool: &mut Pool, name: &str, with: Managed<'_>) {
    let Managed { mut command, port, stop_command, env, api_key, file, model, common } = with;
    match file {
        Some((file, is_in_command)) => {
            if is_in_command {
                command = llama_server::with_model(&command);
                command = llama_server::with_paths_from(&command, common.dir);
            }
            pool.model = file;
        }
        None => {
            pool.engine = engine_of(&command);
            pool.model =
                model.use_model_name.clone().or_else(|| served_name(&command)).unwrap_or(name.to_owned());
        }
    }
    let start_timeout_s = common.timeout_s.filter(|s| (1.0..=86_400.0).contains(s));
    let default = Server::default();
    pool.server = Some(Server {
        command: Some(command),
        port,
        stop_command,
        env,
        api_key,
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

#[cfg(test)]
mod tests;
