//! What the tasks of a run saw, for people and for programs.

use std::fmt;
use std::time::Duration;

use openapi_client::types::Priority;
use serde::Serialize;

use crate::figures::{Spread, at_share, share};
use crate::follow::{Ending, Seen};

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
    /// Tasks that were canceled because the run was ended early.
    pub cut: usize,
    /// Tasks that were refused at first.
    pub refused: usize,
    /// Of those that came back at `Retry-After`, the share that was admitted.
    pub retries_admitted: Option<f64>,
    /// From the first arrival to the last end, seconds.
    pub seconds: f64,
    /// Tokens of all answers a second, in that time.
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

impl Traffic {
    pub(crate) fn of(seen: &[Seen], took: Duration) -> Self {
        let retries: Vec<bool> = seen.iter().filter_map(|seen| seen.retry).collect();
        let count = |ending| seen.iter().filter(|seen| seen.ending == ending).count();
        let lane = |priority| {
            let of_lane = || seen.iter().filter(move |seen| seen.priority == priority);
            Lane {
                ttft: Spread::of(of_lane().filter_map(|seen| seen.ttft)),
                between_tokens: Spread::of(of_lane().flat_map(|seen| seen.gaps.iter().copied())),
            }
        };
        let seconds = took.as_secs_f64();
        Self {
            sent: seen.len(),
            answered: count(Ending::Answered),
            failed: count(Ending::Failed),
            cut: count(Ending::Cut),
            refused: retries.len(),
            retries_admitted: share(retries.iter().filter(|admitted| **admitted).count(), retries.len()),
            seconds,
            tokens_per_s: seen.iter().map(|seen| seen.tokens as f64).sum::<f64>() / seconds,
            interactive: lane(Priority::Interactive),
            batch: lane(Priority::Batch),
            prediction: Prediction::of(seen.iter().filter(|seen| seen.ending == Ending::Answered)),
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

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, answered, failed, refused, cut, .. } = self;
        write!(f, "traffic: {sent} tasks, {answered} answered, {failed} failed, {refused} refused at first")?;
        if *cut > 0 {
            write!(f, ", {cut} canceled")?;
        }
        writeln!(f)?;
        writeln!(f, "  tokens of all answers   {:8.1} a second", self.tokens_per_s)?;
        show_lane(f, "interactive", &self.interactive)?;
        show_lane(f, "batch", &self.batch)?;
        let prediction = &self.prediction;
        writeln!(f, "  predicted starts, {} graded", prediction.graded)?;
        if prediction.graded > 0 {
            writeln!(f, "    middle error          {:8.1} %", prediction.median_error * 100.0)?;
            show_share(f, "started as predicted", prediction.on_time)?;
            writeln!(
                f,
                "    nine in ten within    {:8.2} times the prediction",
                prediction.p90_of_predicted
            )?;
        }
        show_share(f, "retries admitted", self.retries_admitted)
    }
}

fn show_lane(f: &mut fmt::Formatter<'_>, name: &str, lane: &Lane) -> fmt::Result {
    if lane.ttft.count == 0 && lane.between_tokens.count == 0 {
        return Ok(());
    }
    writeln!(f, "  {name}")?;
    lane.ttft.show(f, "  first token")?;
    lane.between_tokens.show(f, "  between tokens")
}

fn show_share(f: &mut fmt::Formatter<'_>, name: &str, share: Option<f64>) -> fmt::Result {
    match share {
        Some(share) => writeln!(f, "    {name:<21} {:8.1} %", share * 100.0),
        None => Ok(()),
    }
}
