//! Arguments of the commands that work without a daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  llama-orch completions bash > ~/.local/share/bash-completion/completions/llama-orch
  llama-orch completions zsh > ~/.zfunc/_llama-orch
  llama-orch completions fish > ~/.config/fish/completions/llama-orch.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  llama-orch man | man -l -
  llama-orch man --dir ~/.local/share/man/man1     one page for each command: `man llama-orch-run`";

/// What needs no daemon.
#[derive(Debug, Subcommand)]
pub enum Alone {
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a folder.
    Man(ManArgs),
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Write the pages of all commands into this folder, which is made when it is not there.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}
