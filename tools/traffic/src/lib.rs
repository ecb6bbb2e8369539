//! Tasks for a daemon, and what their callers see: time to first token, time between tokens, tokens/s, how good the
//! predicted starts were. `llama-orch bench` and the load generator of the tests measure with it.
//!
//! ```text
//! Plan ─► measure ─► one follow a task ─► Seen ─► Traffic
//!            └─► Gauge: how far it is       ▲
//! stop ─► every open task is canceled ──────┘
//! ```
//! Arrivals at random are an open loop: a slow daemon does not slow those who come. A number of streams is a closed
//! one, in which the next task comes when one has ended.
//!
//! Rules: ORCH-CLI-15
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

mod figures;
mod follow;
mod report;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use openapi_client::types::TaskRequest;
use openapi_client::{Client, Failure};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use figures::{Spread, at_share, share};
pub use report::{Lane, Prediction, Traffic};

use follow::{Means, Seen, follow};

/// Tasks of ours that are open at a time at most: more is a rate that this machine cannot serve.
const OPEN_MAX: usize = 8192;

/// When tasks come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// At random, so many a second, whatever became of those before.
    Rate(f64),
    /// So many are open at a time.
    Streams(usize),
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// When tasks come.
    pub arrivals: Arrivals,
    /// How long they come.
    pub duration: Duration,
    /// The seed of arrivals, and of what a task is made with.
    pub seed: u64,
}

/// How far a run is, for whoever looks.
#[derive(Debug, Default)]
pub struct Gauge {
    sent: AtomicUsize,
    ended: AtomicUsize,
    tokens: AtomicU64,
}

impl Gauge {
    /// Tasks sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Of those, the ones that have ended.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Tokens of all answers so far.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The daemon refuses what is asked for good, or cannot be asked.
    #[error("{0}")]
    Refused(#[from] Failure),
    /// More tasks are open than one machine can follow.
    #[error("{OPEN_MAX} tasks are open: the rate is more than the daemon serves; lower it")]
    TooManyOpen,
}

/// Sends the tasks that `task` makes as `plan` says, and waits until all have ended. `stop` ends it early: every task
/// that is open is canceled, and what was seen so far is the result.
///
/// # Errors
/// [`Fault`]; the tasks that were open are canceled.
pub async fn measure(
    client: &Client,
    plan: &Plan,
    mut task: impl FnMut(&mut Rng) -> TaskRequest,
    gauge: &std::sync::Arc<Gauge>,
    stop: &CancellationToken,
) -> Result<Traffic, Fault> {
    let mut run = Run {
        running: JoinSet::new(),
        seen: Vec::new(),
        means: Means {
            client: client.clone(),
            gauge: std::sync::Arc::clone(gauge),
            stop: stop.child_token(),
        },
    };
    let begin = tokio::time::Instant::now();
    let sent = run.send(plan, begin, &mut task).await;
    if sent.is_err() {
        run.means.stop.cancel();
    }
    let ended = run.end().await;
    sent.and(ended)?;
    Ok(Traffic::of(&run.seen, begin.elapsed()))
}

struct Run {
    running: JoinSet<Result<Seen, Failure>>,
    seen: Vec<Seen>,
    means: Means,
}

impl Run {
    async fn send(
        &mut self,
        plan: &Plan,
        begin: tokio::time::Instant,
        task: &mut impl FnMut(&mut Rng) -> TaskRequest,
    ) -> Result<(), Fault> {
        let mut rng = Rng::with_seed(plan.seed);
        let end = begin + plan.duration;
        let mut next = begin;
        while next < end && !self.means.stop.is_cancelled() {
            match plan.arrivals {
                Arrivals::Rate(_) => self.until(next).await?,
                Arrivals::Streams(streams) if self.running.len() >= streams => {
                    self.one_ends(end).await?;
                    next = tokio::time::Instant::now();
                    continue;
                }
                Arrivals::Streams(_) => {}
            }
            if self.means.stop.is_cancelled() {
                break;
            }
            if self.running.len() >= OPEN_MAX {
                return Err(Fault::TooManyOpen);
            }
            self.means.gauge.sent.fetch_add(1, Ordering::Relaxed);
            self.running.spawn(follow(self.means.clone(), task(&mut rng)));
            if let Arrivals::Rate(rate) = plan.arrivals {
                // The times between arrivals that come independently of each other are exponential.
                next += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / rate);
            }
        }
        Ok(())
    }

    /// Waits for a moment, and hears of those that end meanwhile.
    async fn until(&mut self, moment: tokio::time::Instant) -> Result<(), Fault> {
        loop {
            tokio::select! {
                biased;
                () = self.means.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(moment) => return Ok(()),
                Some(one) = self.running.join_next() => self.ended(one)?,
            }
        }
    }

    async fn one_ends(&mut self, end: tokio::time::Instant) -> Result<(), Fault> {
        tokio::select! {
            biased;
            () = self.means.stop.cancelled() => Ok(()),
            () = tokio::time::sleep_until(end) => Ok(()),
            Some(one) = self.running.join_next() => self.ended(one),
        }
    }

    async fn end(&mut self) -> Result<(), Fault> {
        let mut outcome = Ok(());
        while let Some(one) = self.running.join_next().await {
            if let Err(fault) = self.ended(one) {
                self.means.stop.cancel();
                outcome = outcome.and(Err(fault));
            }
        }
        outcome
    }

    fn ended(&mut self, one: Result<Result<Seen, Failure>, tokio::task::JoinError>) -> Result<(), Fault> {
        self.means.gauge.ended.fetch_add(1, Ordering::Relaxed);
        let seen = match one {
            Ok(seen) => seen?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.seen.push(seen);
        Ok(())
    }
}

/// A text of about so many tokens.
#[must_use]
pub fn text_of(tokens: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(tokens / 10)
}

#[cfg(test)]
mod tests;
