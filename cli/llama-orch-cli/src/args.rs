//! The command line as it is typed: commands, flags, limits, help. Nothing is resolved here; that is
//! [`crate::connection`] for the address and the token.

mod alone;
mod json;
mod launch;
mod live;
mod models;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use crate::exit;

pub use alone::{
    Alone, ConfigArgs, ConfigCommand, DoctorArgs, ImportArgs, ImportFrom, InitArgs, LogsArgs, ManArgs,
};
pub use json::asked_for;
pub use launch::LaunchArgs;
pub use live::{BenchArgs, TopArgs};
pub use models::{
    ExplainArgs, ListArgs, ModelsArgs, ModelsCommand, PullArgs, ReloadArgs, RemoveArgs, SearchArgs, Shortcut,
    ShowArgs, StateArgs, StayArgs,
};

/// How long a refused task waits for room when `--max-wait` does not say.
const MAX_WAIT_S: u64 = 600;
/// How long `health --wait` waits when it is given no number.
const HEALTH_WAIT_S: &str = "300";
/// How often `status --watch` looks when it is given no number.
const WATCH_EVERY_S: &str = "1";

const EXAMPLES: &str = "\
Examples:
  llama-orch run \"Why is the sky blue?\"           ask, and read the answer as it is made
  llama-orch run default                          talk with the model of the pool `default`
  cat src/main.rs | llama-orch run \"Explain this\"  ask about a file
  llama-orch chat                                 talk, with a memory
  llama-orch launch claude                        start an agent on this daemon's model
  llama-orch top                                  watch queues, tasks and devices
  llama-orch pull hf:OWNER/REPO/FILE.gguf         fetch a model
  llama-orch reload default hf:OWNER/REPO/FILE.gguf  serve it instead of the present one
  llama-orch retire default --wait                give its memory back, for a game
  llama-orch health --wait && ./use-it.sh         wait until the daemon can serve

With --json, what goes wrong is one JSON object on standard output as well, the last line:
  {\"event\":\"error\",\"message\":…,\"code\":…,\"hint\":…,\"exit\":…}

The daemon is found by itself when it runs on this machine. Otherwise:
  export LLAMA_ORCH_URL=http://workstation:6173 LLAMA_ORCH_TOKEN=…";

const RUN_EXAMPLES: &str = "\
Examples:
  llama-orch run \"Name three colours\"
  llama-orch run qwen3-coder \"Name three colours\"       the model of another pool
  llama-orch run qwen3-coder                           talk with it, as `chat --model` does
  llama-orch run --system \"Answer in one word\" --temperature 0 \"The capital of France?\"
  git diff | llama-orch run \"Write a commit message\"  the prompt, then standard input below it
  llama-orch run -f a.rs -f b.rs \"What differs?\"       the prompt, then the files below it
  llama-orch run - < prompt.txt                        standard input alone
  llama-orch run --batch --max-wait 86400 < long.txt   when the machine has time
  llama-orch run --json \"Hello\" | jq -r 'select(.event == \"token\").t'

With --json, standard output is one JSON object a line, in this order:
  {\"event\":\"accepted\",\"task_id\":…,\"queue_position\":…,\"predicted_start_ms\":…,\"backoff_ms\":…}
  {\"event\":\"started\",\"queue_position\":…,\"predicted_start_ms\":…}
  {\"event\":\"token\",\"t\":…,\"i\":…}                   any number
  {\"event\":\"end\",\"tokens_out\":…,\"decode_ms\":…,\"tokens_in\":…,\"queue_ms\":…,
   \"finish_reason\":…,\"first_token_ms\":…,\"tokens_per_s\":…}
What goes wrong is the last line, and with --json of every other command, too:
  {\"event\":\"error\",\"message\":…,\"code\":…,\"hint\":…,\"exit\":…}";

const STATUS_EXAMPLES: &str = "\
Examples:
  llama-orch status
  llama-orch status --watch=5
  llama-orch status --json | jq '.pools[].queue'";

const CANCEL_EXAMPLES: &str = "\
Examples:
  llama-orch cancel 6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f

With --json, standard output is one JSON object a task, in the order they were named:
  {\"task_id\":…,\"canceled\":true,\"was\":\"waiting\"|\"running\",\"tokens_out\":…,\"finish_reason\":\"canceled\"}
  {\"task_id\":…,\"canceled\":false,\"was\":\"ended\",\"tokens_out\":…,\"finish_reason\":…}
  {\"task_id\":…,\"canceled\":false,\"message\":…,\"code\":…,\"hint\":…,\"exit\":…}";

const CHAT_EXAMPLES: &str = "\
While talking:
  /system TEXT   give the model instructions; without TEXT, show them
  /reset         forget the conversation
  /exit          leave, as do Ctrl-D and Ctrl-C at the prompt
  Ctrl-C         while an answer comes: cancel it and go back to the prompt
  \\              at the end of a line: go on with the next line
  \"\"\"            around as many lines as there are; what is pasted is one input as it is
  ↑ ↓ Ctrl-R     what was typed before, also in other conversations

What is typed on a terminal is kept in `llama-orch/chat-history` in XDG_STATE_HOME or ~/.local/state, for its owner \
alone.";

const HEALTH_EXAMPLES: &str = "\
Examples:
  llama-orch health && echo ready
  orchestratord & llama-orch health --wait 120";

/// The command line of llama-orch: ask the token server on this machine, and see how it is.
#[derive(Debug, Parser)]
#[command(name = "llama-orch", version, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::TABLE))]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Where the daemon is.
    ///
    /// When absent: LLAMA_ORCH_URL, else the address the daemon listens on by LLAMA_ORCH_LISTEN or its
    /// `llama-orch.yaml`, else http://127.0.0.1:6173.
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub url: Option<String>,
    /// The API token. It is seen by everyone who lists processes: LLAMA_ORCH_TOKEN is better.
    ///
    /// When absent: LLAMA_ORCH_TOKEN, else `token` of the daemon's `llama-orch.yaml`, else the file
    /// `llama-orch/token` in the user's config folder, which the daemon makes at its first start. What is in
    /// the files is sent to a daemon on this machine only.
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Global options")]
    pub token: Option<String>,
    /// Say more on standard error, also when it is not a terminal.
    #[arg(long, short, global = true, conflicts_with = "quiet", help_heading = "Global options")]
    pub verbose: bool,
    /// Say nothing on standard error but errors.
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    Asking(Asking),
    /// Look at everything the daemon needs on this machine, and say what to do about what is wrong.
    Doctor(DoctorArgs),
    /// Show what the daemon has logged.
    Logs(LogsArgs),
    #[command(flatten)]
    Alone(Alone),
}

/// What asks the daemon.
#[derive(Debug, Subcommand)]
pub enum Asking {
    /// Ask once and stream the answer to standard output.
    Run(RunArgs),
    /// Talk with the model, turn by turn.
    Chat(ChatArgs),
    /// Show pools, queues, replicas, devices and what holds their memory.
    #[command(visible_alias = "ps")]
    Status(StatusArgs),
    /// Watch queues, tasks, replicas and devices, and cancel tasks.
    Top(TopArgs),
    /// Measure the daemon: first tokens, tokens/s, predicted starts.
    Bench(BenchArgs),
    /// Start a coding agent with this daemon as its model.
    Launch(LaunchArgs),
    /// List, fetch, show, pin and remove models.
    Models(ModelsArgs),
    /// Have a pool serve another model, or the present one again when that one does not work.
    Reload(ReloadArgs),
    /// Take models out of service, so that their memory is free for something else.
    Retire(StateArgs),
    /// Put retired models back into service.
    Activate(StateArgs),
    /// Say why a model is where it is, why it does not fit, or whether a file would.
    Explain(ExplainArgs),
    /// Cancel tasks, wherever they stand.
    Cancel(CancelArgs),
    /// Say whether the daemon can serve: exit code 0 when it can.
    Health(HealthArgs),
    #[command(flatten)]
    Shortcut(Shortcut),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, override_usage = "llama-orch run [OPTIONS] [MODEL] [PROMPT]...")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is there or not")]
pub struct RunArgs {
    /// What to ask, behind the model where there are several words. Absent or `-`: standard input.
    ///
    /// The first of several words is the model, unless `--model` names it: put a prompt that has several words in
    /// quotes. One word alone is the model where it is the name of a pool, an alias or a model that is served, and the
    /// prompt otherwise. A model without a prompt is asked what standard input brings; on a terminal the two of you talk.
    ///
    /// With a prompt, standard input is put below it, after an empty line, when it is a pipe or a file.
    /// `< /dev/null` keeps it from being read; a word alone is the prompt then.
    #[arg(value_name = "PROMPT")]
    pub words: Vec<String>,
    /// Put a file below the prompt, with its name; may be given several times.
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Instructions for the model, before the prompt.
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Let the model go on from the prompt as it stands, without its chat template.
    #[arg(long)]
    pub raw: bool,
    /// Use the batch lane: everything interactive goes first.
    #[arg(long)]
    pub batch: bool,
    /// The conversation that the task belongs to, so that its KV cache is found.
    #[arg(long, value_name = "UUID")]
    pub session: Option<Uuid>,
    /// Print one JSON object a line instead of the text.
    #[arg(long)]
    pub json: bool,
    /// Say queue position, time to first token and tokens/s on standard error, also when it is not a
    /// terminal.
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub generation: Generation,
    #[command(flatten)]
    pub patience: PatienceArgs,
}

/// Arguments of `chat`.
#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is there or not")]
pub struct ChatArgs {
    /// Instructions for the model, before the conversation.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Neither read nor keep what was typed in other conversations.
    #[arg(long)]
    pub no_history: bool,
    /// Print one JSON object a line instead of the text, as `run --json` does, for each turn.
    #[arg(long)]
    pub json: bool,
    /// Say queue position, time to first token and tokens/s after each answer, also when standard error is
    /// not a terminal.
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub generation: Generation,
    #[command(flatten)]
    pub patience: PatienceArgs,
}

/// How the answer is made.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How the answer is made")]
pub struct Generation {
    /// The pool, or the model reference of one. The daemon's first pool when absent.
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,
    /// The most tokens of the answer. When absent, the pool's `defaults.max_tokens` (2048), or what the context holds.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=1_048_576))]
    pub max_tokens: Option<u32>,
    /// 0 always takes the most probable token, more is more varied, up to 5.
    #[arg(long, value_name = "T", value_parser = temperature, allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep the most probable tokens that sum to this, more than 0 and up to 1.
    #[arg(long, value_name = "P", value_parser = top_p, allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// The start of the random numbers. Another one for each task when absent.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Same prompt, parameters and seed: the same tokens, whatever else is running.
    #[arg(long)]
    pub strict: bool,
}

/// How long to wait for room.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "When the daemon has no room")]
pub struct PatienceArgs {
    /// Give up at once instead of waiting and trying again.
    #[arg(long, conflicts_with = "max_wait")]
    no_wait: bool,
    /// Give up after this many seconds of waiting for a place in the queue.
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_WAIT_S)]
    max_wait: u64,
}

impl PatienceArgs {
    /// No waiting at all.
    #[cfg(test)]
    pub const fn at_once() -> Self {
        Self { no_wait: true, max_wait: MAX_WAIT_S }
    }

    /// The longest wait for room, all tries together.
    pub const fn bound(self) -> Duration {
        if self.no_wait { Duration::ZERO } else { Duration::from_secs(self.max_wait) }
    }
}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct StatusArgs {
    /// Print the daemon's answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Show it again every so many seconds, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = WATCH_EVERY_S, value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub watch: Option<u64>,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
#[command(after_help = CANCEL_EXAMPLES)]
pub struct CancelArgs {
    /// The tasks, as `run --json` and `run --verbose` name them.
    #[arg(required = true, value_name = "TASK_ID")]
    pub tasks: Vec<Uuid>,
    /// Print one JSON object a task.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `health`.
#[derive(Debug, Args)]
#[command(after_help = HEALTH_EXAMPLES)]
pub struct HealthArgs {
    /// Wait until the daemon can serve, also while it cannot be reached, at most this many seconds (300
    /// when no number is given).
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = HEALTH_WAIT_S)]
    pub wait: Option<u64>,
    /// Print the daemon's answer as JSON.
    #[arg(long)]
    pub json: bool,
}

fn temperature(text: &str) -> Result<f32, String> {
    number(text)
        .filter(|value| (0.0..=5.0).contains(value))
        .ok_or_else(|| "use a number from 0 to 5".to_owned())
}

fn top_p(text: &str) -> Result<f32, String> {
    number(text)
        .filter(|value| *value > 0.0 && *value <= 1.0)
        .ok_or_else(|| "use a number more than 0 and up to 1".to_owned())
}

fn number(text: &str) -> Option<f32> {
    text.parse::<f32>().ok().filter(|value| value.is_finite())
}
