//! Tasks that arrive at random at a given rate, and what each of them saw.

use std::time::{Duration, Instant};

use anyhow::ensure;
use fastrand::Rng;
use harness::tasks;
use openapi_client::types::{Priority, TaskAccepted, TaskRequest};
use openapi_client::{Client, Event, Failure};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::args::Args;
use crate::figures::{Spread, at_share, share};
use crate::target::Target;

/// Tasks of ours that are open at a time at most: more is a rate that this machine cannot serve.
const OPEN_MAX: usize = 8192;

/// Waits are compared as if they were at least this long, as the daemon's own grade does: less is nothing that
/// anybody notices.
const NOTICEABLE_MS: f64 = 10.0;

/// What the tasks of a run saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Traffic {
    /// Tasks sent.
    pub sent: usize,
    /// Tasks that ended with all of their answer.
    pub answered: usize,
    /// Tasks that ended with an error, or whose stream could not be read.
    pub failed: usize,
    /// Tasks that were refused at first.
    pub refused: usize,
    /// Of those that came back at `Retry-After`, the share that was admitted.
    pub retries_admitted: Option<f64>,
    /// Tokens of all answers a second, from the first arrival to the last end.
    pub tokens_per_s: f64,
    /// Of interactive tasks.
    pub interactive: Lane,
    /// Of batch tasks.
    pub batch: Lane,
    /// How good the predicted starts were.
    pub prediction: Prediction,
}

/// What the tasks of one lane saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lane {
    /// From the request to the first token, ms.
    pub ttft: Spread,
    /// Between one token and the next, ms.
    pub between_tokens: Spread,
}

/// How good the predicted starts were, of tasks that waited or were told to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Prediction {
    /// Tasks graded.
    pub graded: usize,
    /// The middle error, as a share of the real wait.
    pub median_error: f64,
    /// The share that started when it was predicted, or before.
    pub on_time: Option<f64>,
    /// Nine in ten tasks waited at most so many times what was predicted.
    pub p90_of_predicted: f64,
}

/// What one task saw.
struct Seen {
    priority: Priority,
    ttft: Option<Duration>,
    gaps: Vec<Duration>,
    tokens: u64,
    predicted_ms: f64,
    waited_ms: f64,
    is_answered: bool,
    retry: Option<bool>,
}

/// Lets tasks arrive, and waits until all have ended.
///
/// # Errors
/// When more are open than this machine can serve, or the daemon refuses what is asked.
pub async fn measure(args: &Args) -> anyhow::Result<Traffic> {
    let target = Target::open(args).await?;
    let mut rng = Rng::with_seed(args.seed);
    let mut running = JoinSet::new();
    let mut seen = Vec::new();
    let begin = tokio::time::Instant::now();
    let mut next = Duration::ZERO;
    while next < args.duration() {
        tokio::time::sleep_until(begin + next).await;
        while let Some(one) = running.try_join_next() {
            seen.push(one??);
        }
        ensure!(running.len() < OPEN_MAX, "{OPEN_MAX} tasks are open: the rate is too high, lower `--rate`");
        let task = task(args, &target, &mut rng);
        running.spawn(follow(target.client.clone(), task));
        // The times between arrivals that come independently of each other are exponential.
        next += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / args.rate);
    }
    while let Some(one) = running.join_next().await {
        seen.push(one??);
    }
    Ok(Traffic::of(&seen, begin.elapsed()))
}

/// A task whose prompt no other has, so that no cache answers for the engine.
fn task(args: &Args, target: &Target, rng: &mut Rng) -> TaskRequest {
    let half = args.tokens / 2;
    let max_tokens = rng.u32(args.tokens - half..=args.tokens + half);
    let mut task = tasks::prompt("", max_tokens);
    if target.is_starter {
        task = tasks::endless(max_tokens);
    }
    task.prompt = Some(format!("Story number {}. {}", rng.u32(..), tasks::text_of(args.prompt_tokens)));
    let priority = if rng.f64() < args.batch_share { Priority::Batch } else { Priority::Interactive };
    TaskRequest { priority: Some(priority), ..task }
}

/// One task, from its request to its end. One that is refused comes back once, when it was told to.
async fn follow(client: Client, task: TaskRequest) -> anyhow::Result<Seen> {
    let priority = task.priority.unwrap_or(Priority::Interactive);
    let mut seen = Seen {
        priority,
        ttft: None,
        gaps: Vec::new(),
        tokens: 0,
        predicted_ms: 0.0,
        waited_ms: 0.0,
        is_answered: false,
        retry: None,
    };
    let sent = Instant::now();
    let accepted = match submit(&client, &task).await? {
        Ok(accepted) => accepted,
        Err(wait) => {
            tokio::time::sleep(wait).await;
            let again = submit(&client, &task).await?;
            seen.retry = Some(again.is_ok());
            let Ok(accepted) = again else { return Ok(seen) };
            accepted
        }
    };
    seen.predicted_ms = accepted.predicted_start_ms as f64;
    let Ok(mut events) = client.events(accepted.task_id, None).await else { return Ok(seen) };
    let mut last = None;
    while let Some(Ok(event)) = events.next().await {
        let now = Instant::now();
        match event {
            Event::Started(_) => {}
            Event::Token(_) => {
                seen.tokens += 1;
                match last.replace(now) {
                    Some(last) => seen.gaps.push(now - last),
                    // The time of one that came back holds its wait outside, too.
                    None => seen.ttft = seen.retry.is_none().then(|| now - sent),
                }
            }
            Event::End(end) => {
                seen.waited_ms = end.queue_ms as f64;
                seen.is_answered = end.error.is_none();
            }
        }
    }
    Ok(seen)
}

/// The place of the task, or when to come back.
async fn submit(client: &Client, task: &TaskRequest) -> anyhow::Result<Result<TaskAccepted, Duration>> {
    match client.create_task(task).await.map_err(Failure::from) {
        Ok(accepted) => Ok(Ok(accepted.into_inner())),
        Err(Failure::Refused(refusal)) if refusal.retry_after.is_some() => {
            Ok(Err(refusal.retry_after.unwrap_or_default()))
        }
        Err(failure) => Err(failure.into()),
    }
}

impl Traffic {
    fn of(seen: &[Seen], took: Duration) -> Self {
        let admitted = |seen: &&Seen| seen.retry != Some(false);
        let retries: Vec<bool> = seen.iter().filter_map(|seen| seen.retry).collect();
        let answered = seen.iter().filter(|seen| seen.is_answered).count();
        let lane = |priority| {
            let of_lane = || seen.iter().filter(move |seen| seen.priority == priority);
            Lane {
                ttft: Spread::of(of_lane().filter_map(|seen| seen.ttft)),
                between_tokens: Spread::of(of_lane().flat_map(|seen| seen.gaps.iter().copied())),
            }
        };
        Self {
            sent: seen.len(),
            answered,
            failed: seen.iter().filter(admitted).count() - answered,
            refused: retries.len(),
            retries_admitted: share(retries.iter().filter(|admitted| **admitted).count(), retries.len()),
            tokens_per_s: seen.iter().map(|seen| seen.tokens as f64).sum::<f64>() / took.as_secs_f64(),
            interactive: lane(Priority::Interactive),
            batch: lane(Priority::Batch),
            prediction: Prediction::of(seen.iter().filter(|seen| seen.is_answered)),
        }
    }
}

impl Prediction {
    fn of<'a>(seen: impl Iterator<Item = &'a Seen>) -> Self {
        let graded = seen.filter(|seen| seen.predicted_ms > NOTICEABLE_MS || seen.waited_ms > NOTICEABLE_MS);
        let pairs: Vec<(f64, f64)> = graded
            .map(|seen| (seen.predicted_ms.max(NOTICEABLE_MS), seen.waited_ms.max(NOTICEABLE_MS)))
            .collect();
        let mut errors: Vec<f64> =
            pairs.iter().map(|(predicted, waited)| (predicted - waited).abs() / waited).collect();
        let mut ratios: Vec<f64> = pairs.iter().map(|(predicted, waited)| waited / predicted).collect();
        errors.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        Self {
            graded: pairs.len(),
            median_error: at_share(&errors, 0.5),
            on_time: share(ratios.iter().filter(|ratio| **ratio <= 1.0).count(), ratios.len()),
            p90_of_predicted: at_share(&ratios, 0.9),
        }
    }
}
