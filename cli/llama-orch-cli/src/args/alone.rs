//! Arguments of the commands that work without a daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

/// How many lines `logs` shows when nobody says.
const LOG_LINES: u32 = 50;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  llama-orch completions bash > ~/.local/share/bash-completion/completions/llama-orch
  llama-orch completions zsh > ~/.zfunc/_llama-orch
  llama-orch completions fish > ~/.config/fish/completions/llama-orch.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  llama-orch man | man -l -
  llama-orch man --dir ~/.local/share/man/man1     one page for each command: `man llama-orch-run`";

const INIT_EXAMPLES: &str = "\
Examples:
  llama-orch config init                write it, then open it in an editor
  llama-orch config init --print        look at it first
  $EDITOR \"$(llama-orch config init)\"

It is written to the file that LLAMA_ORCH_CONFIG names, else to `llama-orch/llama-orch.yaml` in the user's config \
folder, where the daemon finds it. The path is printed to standard output.

With --json, standard output is one JSON object: {\"path\":…,\"kept\":…}, `kept` being where the file is now that \
was there before; with --print, {\"text\":…}.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  llama-orch doctor
  llama-orch doctor --json | jq '.findings[] | select(.status != \"ok\")'

Looks at the configuration, devices and their drivers, memory, the token and who may read it, models and their \
checksums, disk space, the programs and servers of other engines, the port and the daemon. It changes nothing. Exit \
code 1 when something keeps the daemon from serving.

With --json, standard output is one JSON object:
  {\"ok\":…,\"findings\":[{\"check\":…,\"status\":\"ok\"|\"warn\"|\"fail\",\"message\":…,\"hint\":…}]}";

const IMPORT_EXAMPLES: &str = "\
Examples:
  llama-orch import ollama --print       look at it first
  llama-orch import ollama               ~/.ollama/models, OLLAMA_MODELS or /usr/share/ollama/.ollama/models
  llama-orch import llama-swap /srv/llama-swap/config.yaml
  llama-orch import llama-swap --built-in

Model files are used where they are, never copied. A model of Ollama's is loaded by the first task that asks for it. A \
llama-server of llama-swap's becomes a pool of the built-in engine where it names a model and its size; with \
--built-in also where it says how the model is loaded and asked, as a pool can. Otherwise it is started with its \
replica, as any other command. What cannot be carried over is named, on standard error and in the \
file.

With --json, standard output is one JSON object:
  {\"path\":…,\"kept\":…,\"pools\":[…],\"left_out\":[{\"of\":…,\"what\":…}]}, with --print {\"text\":…,…}";

const LOGS_EXAMPLES: &str = "\
Examples:
  llama-orch logs -f
  llama-orch logs -n 500 | grep WARN

Shows the file that `log.file` of the daemon's `llama-orch.yaml` names, else the journal of the unit \
`llama-orch.service` where that runs, the user's before the system's, else the last 2,000 lines that the running daemon \
keeps, as of `orchestratord &`, of a container, or of another machine that LLAMA_ORCH_URL names.

With --json, standard output is one JSON object a line: the journal's own, the daemon's own where it logs JSON, \
otherwise {\"line\":…}.";

/// What needs no daemon.
#[derive(Debug, Subcommand)]
pub enum Alone {
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write a configuration to begin with.
    Config(ConfigArgs),
    /// Write a configuration that serves what Ollama or llama-swap serves on this machine.
    Import(ImportArgs),
    /// Print the manual page, or write those of all commands into a folder.
    Man(ManArgs),
    /// Say how the daemon is started, which is a program of its own.
    Serve,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Write the pages of all commands into this folder, which is made when it is not there.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented configuration where the daemon looks for one.
    Init(InitArgs),
}

/// Arguments of `config init`.
#[derive(Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is there or not")]
pub struct InitArgs {
    /// Print it and write nothing.
    #[arg(long, conflicts_with = "force")]
    pub print: bool,
    /// Write it although there is a configuration, which is kept beside it.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object instead of the path.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = LOGS_EXAMPLES)]
pub struct LogsArgs {
    /// Go on with what is logged from now on, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// The last so many lines.
    #[arg(long, short = 'n', value_name = "N", default_value_t = LOG_LINES, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub lines: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct DoctorArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is there or not")]
pub struct ImportArgs {
    /// The other server.
    #[arg(value_enum)]
    pub from: ImportFrom,
    /// Its store or its configuration. Where it usually is when absent.
    pub path: Option<PathBuf>,
    /// Make each llama-server of llama-swap's whose options a pool has a pool of the built-in engine.
    #[arg(long)]
    pub built_in: bool,
    /// Print the configuration and write nothing.
    #[arg(long, conflicts_with = "force")]
    pub print: bool,
    /// Write it although there is a configuration, which is kept beside it.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A server whose setup can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ImportFrom {
    /// Ollama: its store of models.
    Ollama,
    /// llama-swap: its `config.yaml`.
    LlamaSwap,
}

impl std::fmt::Display for ImportFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ollama => "ollama",
            Self::LlamaSwap => "llama-swap",
        })
    }
}
