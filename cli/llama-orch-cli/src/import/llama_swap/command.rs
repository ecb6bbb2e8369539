//! A command of llama-swap's file: what it runs, where it listens, with which variables.
//!
//! Rules: ORCH-CLI-14

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{llama_server, words};

/// What stands in a command for the port.
pub const PORT: &str = "${PORT}";
/// What begins a variable of the environment.
const VARIABLE: &str = "${env.";
/// How often macros are looked for in what macros brought.
const MACRO_ROUNDS: usize = 8;

/// What a command runs.
pub enum Program<'a> {
    /// A `llama-server`, with the words behind it.
    LlamaServer(&'a [String]),
    /// A shell or another program before it, with the words behind the `llama-server` in it.
    Wrapped(Vec<String>),
    Other,
}

impl<'a> Program<'a> {
    pub fn of(command: &'a [String]) -> Self {
        if llama_server::is_it(&command[0]) {
            return Self::LlamaServer(&command[1..]);
        }
        let script = match (script(command), command) {
            (Some(script), _) => words::split(script).unwrap_or_default(),
            // `env`, `nice`, `taskset` and the like; a container has files of its own.
            (None, [program, ..]) if !matches!(name(program), "docker" | "podman") => command.to_vec(),
            _ => return Self::Other,
        };
        match script.iter().position(|word| llama_server::is_it(word)) {
            Some(at) => Self::Wrapped(script[at + 1..].to_vec()),
            None => Self::Other,
        }
    }

    pub fn llama_server(&self) -> Option<&[String]> {
        match self {
            Self::LlamaServer(words) => Some(words),
            Self::Wrapped(words) => Some(words),
            Self::Other => None,
        }
    }
}

/// What a shell is to run, where the command is `sh -c '…'`.
pub fn script(command: &[String]) -> Option<&str> {
    let [shell, flag, script, ..] = command else { return None };
    let is_shell = matches!(name(shell), "sh" | "bash" | "zsh" | "dash");
    (is_shell && flag.starts_with('-') && flag.ends_with('c')).then_some(script)
}

/// The name of a program without its folder.
fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// A text with each `${env.NAME}` replaced by what the variable has.
pub fn fill_environment(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(VARIABLE) {
        let (name, after) = after.split_once('}').ok_or("env.")?;
        filled.push_str(before);
        filled.push_str(&variable(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The key that a server asks its clients for.
pub fn key_of(command: &[String]) -> Option<String> {
    let joined = |word: &String| word.strip_prefix("--api-key=").map(str::to_owned);
    let place = command.iter().position(|word| word == "--api-key");
    place.and_then(|place| command.get(place + 1).cloned()).or_else(|| command.iter().find_map(joined))
}

/// The command with `{port}` where it says its port: `${PORT}`, or the number of its `proxy`; and that number, where it
/// stands in no word of its own. Nothing where nobody knows the port.
pub fn with_our_port(mut command: Vec<String>, proxy: Option<&str>) -> Option<(Vec<String>, Option<u16>)> {
    if command.iter().any(|word| word.contains(PORT)) {
        let fixed = proxy.filter(|proxy| !proxy.contains(PORT)).and_then(port_of);
        if fixed.is_none() {
            return Some((command.iter().map(|word| word.replace(PORT, "{port}")).collect(), None));
        }
    }
    let port = match proxy {
        Some(proxy) => port_of(proxy)?,
        None => said_port(&command)?,
    };
    let number = port.to_string();
    let joined = format!("--port={number}");
    match command.iter().position(|word| *word == number || *word == joined) {
        Some(place) => {
            command[place] = command[place].replace(&number, "{port}");
            Some((command, None))
        }
        None => Some((command.iter().map(|word| word.replace(PORT, "{port}")).collect(), Some(port))),
    }
}

/// The port of a URL of this machine.
fn port_of(proxy: &str) -> Option<u16> {
    let authority = proxy.split("://").last()?.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    let is_here = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"].contains(&host);
    port.parse().ok().filter(|_| is_here)
}

/// The port that a command says itself.
fn said_port(command: &[String]) -> Option<u16> {
    let place = command.iter().position(|word| word == "--port");
    let word = place.and_then(|place| command.get(place + 1)).map(String::as_str);
    word.or_else(|| command.iter().find_map(|word| word.strip_prefix("--port=")))?.parse().ok()
}

/// The variables; those of llama-swap's own environment are filled in by the daemon, from its own.
pub fn environment(env: &[String]) -> BTreeMap<String, String> {
    let filled = |value: &str| value.replace("${", "$${").replace("$${env.", "${");
    env.iter()
        .filter_map(|one| one.split_once('='))
        .map(|(name, value)| (name.to_owned(), filled(value).replace("$${PORT}", "{port}")))
        .collect()
}

/// The cards of `CUDA_VISIBLE_DEVICES`; nothing where it says none that we have a name for.
pub fn visible(devices: &str) -> Option<Vec<String>> {
    let card = |name: &str| match name.trim() {
        name if name.starts_with("GPU-") => Some(name.to_owned()),
        number => {
            number.parse::<u16>().ok().filter(|number| *number < 1000).map(|number| format!("gpu{number}"))
        }
    };
    let cards: Option<Vec<String>> = devices.split(',').map(card).collect();
    cards.filter(|cards| !cards.is_empty())
}

pub fn fill_macros(command: &str, macros: &[&BTreeMap<String, Value>], model: &str) -> String {
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
