//! Arguments of the commands about models: which there are, which are served, and where.

use clap::{Args, Subcommand};

/// How long `--wait` waits when it is given no number.
const STATE_WAIT_S: &str = "300";

const MODELS_EXAMPLES: &str = "\
Examples:
  llama-orch models                                  what is served, and which files there are
  llama-orch models pull starter                     fetch a model before it is needed
  llama-orch models show hf:OWNER/REPO/FILE.gguf     its file, its size, the pools that serve it
  llama-orch models remove hf:OWNER/REPO/FILE.gguf   give its disk space back
  llama-orch models --json | jq -r '.files[].model_ref'

A model is named as in the configuration: `starter`, `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT`, \
`hf:OWNER/REPO` (the best quantisation that fits), `https://HOST/FILE.gguf`, `file:PATH` or a path that ends in .gguf. Files are those of the models folder of this machine: `models_dir` of \
the daemon's `llama-orch.yaml`, or LLAMA_ORCH_MODELS.";

const PULL_EXAMPLES: &str = "\
Examples:
  llama-orch models pull hf:bartowski/SmolLM2-360M-Instruct-GGUF/SmolLM2-360M-Instruct-Q4_K_M.gguf
  llama-orch models pull bartowski/SmolLM2-360M-Instruct-GGUF:Q4_K_M
  llama-orch models pull hf:bartowski/SmolLM2-360M-Instruct-GGUF    the best quantisation that fits
  llama-orch models pull https://example.org/model.gguf --sha256 b179c952…
  HF_TOKEN=… llama-orch models pull hf:OWNER/PRIVATE/FILE.gguf
  llama-orch reload default \"file:$(llama-orch models pull hf:OWNER/REPO/FILE.gguf)\"

The path of the file is printed to standard output once it is whole. What was fetched stays when the command is \
ended: the next `pull`, or the daemon, goes on from there. A model in several files is named by its first one, and all \
are fetched. With HF_HUB_OFFLINE=1 the hub is not asked.";

const SEARCH_EXAMPLES: &str = "\
Examples:
  llama-orch models search qwen3 coder
  llama-orch models search gemma --limit 5 --json | jq -r '.repositories[].model_ref'

Repositories of Hugging Face with GGUF models are listed, those that are fetched most first. HF_ENDPOINT names a mirror, and \
HF_TOKEN who asks.";

const REMOVE_EXAMPLES: &str = "\
Examples:
  llama-orch models remove hf:OWNER/REPO/FILE.gguf
  llama-orch models remove ~/.cache/llama-orch/models/web/example.org/model.gguf

Only files in the models folder are removed. One that a pool of the running daemon serves is kept, as long as \
`--force` does not say otherwise: the daemon would have to fetch it again.";

const SHOW_EXAMPLES: &str = "\
Examples:
  llama-orch models show default                     the model of a pool
  llama-orch models show starter --json | jq -r .path";

const STAY_EXAMPLES: &str = "\
Examples:
  llama-orch models pin default                      keep it loaded
  llama-orch models unpin default
  llama-orch models unload default                   give its memory back once it is idle

A pinned model is loaded at once, is not unloaded for being idle, and makes no room for another model. The pin ends with \
`unpin`, `unload`, `retire`, or a restart of the daemon. A request can say the same for a while by `keep_alive`.";

const RELOAD_EXAMPLES: &str = "\
Examples:
  llama-orch reload default hf:OWNER/REPO/FILE.gguf
  llama-orch reload default ~/models/new.gguf || echo \"the old one still serves\"

The daemon fetches the model where it has to, loads it beside the old one where memory allows, and tests it \
before a task reaches it. Tasks that run finish on the old model, tasks that wait are served by the new one; \
none is lost. When anything goes wrong the old model keeps its place, or gets it back: exit code 8. The change \
is not written to the configuration.

With --json, standard output is the daemon's answer on one line:
  {\"status\":\"reloaded\",\"model_ref\":…}
  {\"status\":\"rollback\",\"code\":…,\"message\":…}   tried, and taken back: exit code 8
  {\"status\":\"refused\",\"code\":…,\"message\":…}    not tried: exit code 5";

const STATE_EXAMPLES: &str = "\
Examples:
  llama-orch retire default --wait && ./game && llama-orch activate default
  llama-orch activate default --wait

A retired model takes no new tasks and ends those that wait; those that run finish, and then it is unloaded. \
An active one is loaded again and takes tasks at once. The state is not kept over a restart of the daemon.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  llama-orch explain default
  llama-orch explain ~/models/new.gguf             whether it would fit, and with how much context
  llama-orch explain default --json | jq '.pool.placement[] | select(.fits | not) | .why'";

/// Arguments of `models`.
#[derive(Debug, Args)]
#[command(after_help = MODELS_EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
    #[command(flatten)]
    pub list: ListArgs,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List what is served and which files there are, as `models` alone does.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Fetch a model to this machine and print its path.
    Pull(PullArgs),
    /// Search Hugging Face for models that can be served.
    Search(SearchArgs),
    /// Show one model: its file, its size, the pools that serve it.
    Show(ShowArgs),
    /// Remove a model's file from the models folder.
    #[command(visible_alias = "rm")]
    Remove(RemoveArgs),
    /// Load models and keep them loaded, whatever else needs the memory.
    Pin(StayArgs),
    /// Let pinned models be unloaded again.
    Unpin(StayArgs),
    /// Unload models once they are idle; the next request loads them again.
    Unload(StayArgs),
}

/// Commands about models under the names that they have in Ollama.
#[derive(Debug, Subcommand)]
pub enum Shortcut {
    /// Fetch a model: `models pull`.
    Pull(PullArgs),
    /// List what is served and which files there are: `models list`.
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one model: `models show`.
    Show(ShowArgs),
    /// Remove a model's file: `models remove`.
    Rm(RemoveArgs),
    /// Unload models once they are idle: `models unload`.
    Stop(StayArgs),
}

impl From<Shortcut> for ModelsCommand {
    fn from(shortcut: Shortcut) -> Self {
        match shortcut {
            Shortcut::Pull(args) => Self::Pull(args),
            Shortcut::List(args) => Self::List(args),
            Shortcut::Show(args) => Self::Show(args),
            Shortcut::Rm(args) => Self::Remove(args),
            Shortcut::Stop(args) => Self::Unload(args),
        }
    }
}

/// Arguments of `models list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models pull`.
#[derive(Debug, Args)]
#[command(after_help = PULL_EXAMPLES)]
pub struct PullArgs {
    /// The model, or the pool of the configuration that names it.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The SHA-256 that the file must have, in hexadecimal.
    ///
    /// When absent: that of the configuration's pool with this model.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub sha256: Option<String>,
    /// Print one JSON object instead of the path.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models search`.
#[derive(Debug, Args)]
#[command(after_help = SEARCH_EXAMPLES)]
pub struct SearchArgs {
    /// Words of the repository's name.
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<String>,
    /// How many repositories to list at most.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// The model, or a pool that serves it.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models remove`.
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub struct RemoveArgs {
    /// The model, or its file.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Remove it although a pool of the running daemon serves it, or nobody can say whether one does.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `models pin`, `models unpin` and `models unload`.
#[derive(Debug, Args)]
#[command(after_help = STAY_EXAMPLES)]
pub struct StayArgs {
    /// The models, by the names of their pools or by what those serve.
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Print the daemon's answers as JSON, one a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
#[command(after_help = RELOAD_EXAMPLES)]
pub struct ReloadArgs {
    /// The pool.
    pub pool: String,
    /// The model it is to serve; the present one reads its file anew.
    ///
    /// As in the configuration: `starter`, `file:PATH` or a path that ends in .gguf, `hf:OWNER/REPO/FILE.gguf`,
    /// `hf:OWNER/REPO:QUANT`, `https://…`; for a pool of another engine, the name by which that engine serves it.
    pub model: String,
    /// The SHA-256 that its file must have, in hexadecimal.
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub sha256: Option<String>,
    /// Print the daemon's answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `retire` and `activate`.
#[derive(Debug, Args)]
#[command(after_help = STATE_EXAMPLES)]
pub struct StateArgs {
    /// The models, by the names of their pools or by what those serve.
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Wait until it is done, memory given back or model loaded, at most this many seconds (300 when no
    /// number is given).
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = STATE_WAIT_S)]
    pub wait: Option<u64>,
    /// Print the daemon's answers as JSON, one a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// The model, by the name of its pool or by what that serves; or one that is on the daemon's machine and that no pool
    /// serves, as `reload` takes it.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Print one JSON object: the pool, what its replicas hold, and the devices.
    #[arg(long)]
    pub json: bool,
}

fn sha256(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("use 64 hexadecimal digits".to_owned())
    }
}
