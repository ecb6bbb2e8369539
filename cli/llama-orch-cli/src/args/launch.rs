//! Arguments of `launch`.

use clap::Args;

use crate::launch::Agent;

const EXAMPLES: &str = "\
Examples:
  llama-orch launch claude                      Claude Code on the first pool
  llama-orch launch codex --model qwen3-coder   Codex on another pool
  llama-orch launch opencode -- run \"fix it\"   what is behind -- goes to the agent
  llama-orch launch aider --print               show what it would be told, and start nothing
  eval \"$(llama-orch launch env)\"             the variables that other clients read

What the agent has to know (address, token, model, context) goes into its environment and arguments. Its own settings and \
files are left as they are. Its small requests, as titles, take the batch lane.";

/// Arguments of `launch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LaunchArgs {
    /// The agent.
    #[arg(value_enum)]
    pub agent: Agent,
    /// The pool, or another name of its model. The daemon's first pool when absent.
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,
    /// Show what would be started, as lines for a shell, with the token, and start nothing.
    #[arg(long)]
    pub print: bool,
    /// Start it also where the context is too small for its instructions.
    #[arg(long)]
    pub anyway: bool,
    /// Arguments for the agent.
    #[arg(last = true, value_name = "ARGS")]
    pub rest: Vec<String>,
}
