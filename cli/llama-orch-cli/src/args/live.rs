//! Arguments of the commands that go on for a while: `top` and `bench`.

use clap::Args;
use clap::builder::RangedU64ValueParser;

const TOP_EXAMPLES: &str = "\
Keys:
  ↑ ↓ PgUp PgDn   choose a task
  c               cancel it, after a question
  p               pause, so that nothing moves
  ?               show the keys
  q Esc Ctrl-C    leave

With --json, standard output is one JSON object, and nothing is watched:
  {\"health\":…,\"tasks\":…}     as the daemon answers /health and /v1/tasks";

const BENCH_EXAMPLES: &str = "\
Examples:
  llama-orch bench                                    two tasks a second for 20 seconds, at random
  llama-orch bench --streams 8 --tokens 256           eight answers at a time
  llama-orch bench --rate 6 --batch-share 0.5         more than it can serve, half of it batch
  llama-orch bench --json | jq .traffic.tokens_per_s

With --rate tasks come at random whatever becomes of those before, as people do: what is too much shows as waiting. With \
--streams the next one comes when one has ended. Prompts are all unlike, so that no cache answers. Ctrl-C ends it early: \
open tasks are canceled, and the figures so far are printed.

With --json, standard output is one JSON object; times are milliseconds:
  {\"plan\":{…},\"interrupted\":…,\"traffic\":{\"sent\":…,\"answered\":…,\"failed\":…,\"cut\":…,\"refused\":…,
   \"retries_admitted\":…,\"seconds\":…,\"tokens_per_s\":…,
   \"interactive\":{\"ttft\":{\"count\":…,\"p50\":…,\"p95\":…,\"p99\":…,\"max\":…},\"between_tokens\":{…}},\"batch\":{…},
   \"prediction\":{\"graded\":…,\"median_error\":…,\"on_time\":…,\"p90_of_predicted\":…}}}";

/// Arguments of `top`.
#[derive(Debug, Args)]
#[command(after_help = TOP_EXAMPLES)]
pub struct TopArgs {
    /// Look again every so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub every: u64,
    /// Print one JSON object and end.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// The pool, or the model reference of one. The daemon's first pool when absent.
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,
    /// Tasks that come a second, at random.
    #[arg(long, value_name = "R", default_value_t = 2.0, value_parser = rate, allow_negative_numbers = true)]
    pub rate: f64,
    /// Tasks that are open at a time, instead of a rate.
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = RangedU64ValueParser::<usize>::new().range(1..=512))]
    pub streams: Option<usize>,
    /// Seconds in which tasks come.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = RangedU64ValueParser::<u64>::new().range(1..=86_400))]
    pub duration: u64,
    /// Tokens of a prompt, about.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub prompt_tokens: usize,
    /// Tokens of an answer in the middle; they vary by half of it either way.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = RangedU64ValueParser::<u32>::new().range(2..=1_000_000))]
    pub tokens: u32,
    /// The share of batch tasks, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, allow_negative_numbers = true)]
    pub batch_share: f64,
    /// The seed of arrivals, lengths and lanes.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= 1e4);
    rate.ok_or_else(|| "use a number more than 0 and up to 10000".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "use a number from 0 to 1".to_owned())
}
