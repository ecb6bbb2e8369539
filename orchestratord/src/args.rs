//! The command line of `orchestratord`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use config_schema::Override;

use crate::exit;

/// One workstation as one dependable LLM token server.
///
/// Without a configuration it serves a small starter model on the best device found, on 127.0.0.1:6173,
/// behind a token that it makes at the first start and keeps in the configuration folder, where
/// `llama-orch` finds it.
#[derive(Debug, Parser)]
#[command(name = "orchestratord", version, after_help = help())]
pub struct Cli {
    /// What to do; serve when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of serving.
    #[command(flatten)]
    pub options: Options,
}

/// Command lines and what they are for.
pub const EXAMPLES: [(&str, &str); 5] = [
    ("orchestratord", "the starter model on the best device"),
    ("orchestratord --model file:qwen.gguf", "another model"),
    ("orchestratord --set pools[0].slots=8", "any option of the configuration"),
    ("orchestratord check-config --config home.yaml", "look before you start"),
    ("llama-orch run \"hello\"", "ask it something"),
];

/// Where the configuration comes from.
pub const CONFIGURATION: &str = "\
The configuration is `llama-orch.yaml`, searched for in: --config, LLAMA_ORCH_CONFIG, the working folder, \
~/.config/llama-orch. Every option has an environment variable too: LLAMA_ORCH_LISTEN, LLAMA_ORCH_POOLS_0_MODEL, … \
What the command line says wins over the environment, the environment over the file.";

/// What each signal does.
pub const SIGNALS: &str = "\
Ctrl-C or SIGTERM stops in order: nothing new is taken, what runs may finish within `shutdown.grace_s`, every stream \
gets its end. A second one, or SIGQUIT, stops at once. SIGHUP and SIGUSR1 reopen `log.file`; SIGHUP reads \
the configuration again, too: pools come, go and change with it, and the log names what takes a restart. SIGUSR2, SIGALRM and \
SIGPIPE are ignored.";

fn help() -> String {
    let examples: String = EXAMPLES.iter().map(|(line, what)| format!("  {line:<47}  {what}\n")).collect();
    format!("Examples:\n{examples}\n{CONFIGURATION}\n\n{SIGNALS}\n\n{}", exit::help())
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration and say what is wrong with it, without starting anything
    CheckConfig,
    /// Print the manual page: `orchestratord man | man -l -`
    Man,
    /// The process of one replica of the built-in engine: started by the daemon, never by hand
    #[command(hide = true)]
    Worker,
}

/// The options of serving.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:6173]
    #[arg(long, value_name = "ADDRESS:PORT", global = true)]
    listen: Option<String>,
    /// Let other machines reach `--listen`: a loopback address needs no such word
    #[arg(long, global = true)]
    allow_non_loopback: bool,
    /// The first pool's model: starter, file:PATH, hf:OWNER/REPO/FILE.gguf, hf:OWNER/REPO:QUANT or https://…
    #[arg(long, value_name = "REF", global = true)]
    model: Option<String>,
    /// Where fetched models are kept
    #[arg(long, value_name = "FOLDER", global = true)]
    models_dir: Option<String>,
    /// The least severe messages that are logged: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// Any other option of the configuration, by its path: `pools[0].slots=8`
    #[arg(long, value_name = "OPTION=VALUE", value_parser = option_value, global = true)]
    set: Vec<(String, String)>,
    /// Print the configuration with everything that was left out, and stop
    #[arg(long, global = true)]
    pub print_config: bool,
}

impl Options {
    /// What the command line says over the environment and the file.
    #[must_use]
    pub fn overrides(&self) -> Vec<Override> {
        let flag = |name: &str, path: &str, value: &Option<String>| {
            value.as_ref().map(|value| Override {
                flag: name.into(),
                path: path.into(),
                value: value.clone(),
            })
        };
        let allow = self.allow_non_loopback.then(|| "true".to_owned());
        let named = [
            flag("--listen", "listen", &self.listen),
            flag("--allow-non-loopback", "allow_non_loopback", &allow),
            flag("--model", "pools[0].model", &self.model),
            flag("--models-dir", "models_dir", &self.models_dir),
            flag("--log-level", "log.level", &self.log_level),
        ];
        let set = self.set.iter().map(|(path, value)| Override {
            flag: format!("--set {path}"),
            path: path.clone(),
            value: value.clone(),
        });
        named.into_iter().flatten().chain(set).collect()
    }
}

fn option_value(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` has no `=`: write the option's path, `=` and its value, as in `pools[0].slots=8`")
    })?;
    Ok((path.trim().to_owned(), value.trim().to_owned()))
}
