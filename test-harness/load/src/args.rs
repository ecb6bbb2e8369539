//! The command line.

use std::time::Duration;

use anyhow::ensure;

/// Measures a running daemon, or one of its own: TTFT, time between tokens, tokens/s, predictions, retries,
/// refusals, memory.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "load")]
pub struct Args {
    /// The daemon to measure; one of its own with the starter model when absent
    #[arg(long, env = "LLAMA_ORCH_URL")]
    pub url: Option<String>,
    /// Its API token
    #[arg(long, env = "LLAMA_ORCH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// What to measure; all but `traffic` need a daemon of its own
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Options of a daemon of its own, as its own `--set`
    #[arg(long, value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
    /// Tasks that arrive a second
    #[arg(long, default_value_t = 4.0)]
    pub rate: f64,
    /// Seconds in which tasks arrive
    #[arg(long, default_value_t = 30.0)]
    pub seconds: f64,
    /// The share of batch tasks
    #[arg(long, default_value_t = 0.3)]
    pub batch_share: f64,
    /// Tokens of a prompt, about
    #[arg(long, default_value_t = 60)]
    pub prompt_tokens: usize,
    /// Tokens of an answer in the middle; they vary by half of it either way
    #[arg(long, default_value_t = 48)]
    pub tokens: u32,
    /// Streams that are open at a time when memory is measured
    #[arg(long, default_value_t = 1000)]
    pub streams: usize,
    /// Requests a second on the path of the 429
    #[arg(long, default_value_t = 10_000.0)]
    pub refusal_rate: f64,
    /// The seed of arrivals, lengths and lanes
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Tasks that arrive at random
    Traffic,
    /// Resident memory of the daemon, idle and with open streams
    Memory,
    /// Requests that meet a full lane
    Refusals,
    /// What a token of an attached engine costs, beside nginx where it is installed; only when asked for
    Relay,
    /// How long `/health` takes while one request of maximal size is served; only when asked for
    Responsive,
}

impl Args {
    /// # Errors
    /// Where something is out of bounds or does not go together.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.rate > 0.0 && self.rate <= 1e4,
            "`--rate` is {}: use more than 0, up to 10000",
            self.rate
        );
        ensure!(
            self.seconds > 0.0 && self.seconds <= 86_400.0,
            "`--seconds` is {}: use more than 0, up to 86400",
            self.seconds
        );
        ensure!(
            (0.0..=1.0).contains(&self.batch_share),
            "`--batch-share` is {}: use 0 to 1",
            self.batch_share
        );
        ensure!(self.tokens >= 2, "`--tokens` is {}: use 2 or more", self.tokens);
        ensure!(
            self.refusal_rate >= 1.0 && self.refusal_rate <= 1e6,
            "`--refusal-rate` is {}: use 1 to 1000000",
            self.refusal_rate
        );
        ensure!((1..=100_000).contains(&self.streams), "`--streams` is {}: use 1 to 100000", self.streams);
        let foreign = self.only.iter().find(|part| **part != Part::Traffic).filter(|_| self.url.is_some());
        ensure!(
            foreign.is_none(),
            "{foreign:?} needs a daemon of its own: leave `--url` (LLAMA_ORCH_URL) out, or measure `--only traffic`"
        );
        ensure!(
            self.url.is_none() || self.set.is_empty(),
            "`--set` is for a daemon of its own: leave it out beside `--url`"
        );
        Ok(())
    }

    /// What to measure, in order.
    pub fn parts(&self) -> Vec<Part> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        match self.url {
            Some(_) => vec![Part::Traffic],
            None => vec![Part::Traffic, Part::Memory, Part::Refusals],
        }
    }

    /// How long tasks arrive.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}
