//! How good the predictions are: every start is compared with what was said of it. The same comparison
//! corrects what is said next: the middle of the last ratios of real to computed waits is what a computed
//! wait is multiplied with, and their ninth decile gives the wait that nine in ten tasks stay under.

use std::collections::VecDeque;

use crate::Millis;

/// Predictions that are remembered.
pub const GRADED_WINDOW: usize = 1024;

/// The newest of them, which the ratios are taken from.
const RATIO_WINDOW: usize = 256;

/// Predictions seen before the ratios say anything.
const LEAST_GRADED: usize = 16;

/// Waits are compared as if they were at least this long: less than what anybody notices.
const NOTICEABLE_MS: f64 = 10.0;

/// The farthest a computed wait is corrected, either way.
const MOST_CORRECTED: f64 = 8.0;

/// What a task is told of its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartForecast {
    /// The wait expected.
    pub expected: Millis,
    /// The wait that nine in ten tasks stay under.
    pub late: Millis,
}

/// A forecast with what it was computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) forecast: StartForecast,
    /// The wait as computed, before any correction.
    pub(crate) computed_ms: f64,
}

/// How good the last predictions were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Predictions the figures speak of, at most [`GRADED_WINDOW`].
    pub graded: usize,
    /// The middle error, as a share of the real wait.
    pub median_error: f64,
    /// The mean error, as a share of the real wait.
    pub mean_error: f64,
    /// The share of tasks that started within [`StartForecast::late`].
    pub late_coverage: f64,
}

#[derive(Clone, Copy, Debug)]
struct Graded {
    ratio: f64,
    error: f64,
    covered: bool,
}

/// The last predictions and their grades.
#[derive(Clone, Debug)]
pub(crate) struct Grader {
    window: VecDeque<Graded>,
    middle: f64,
    late: f64,
}

impl Grader {
    pub(crate) fn new() -> Self {
        Self { window: VecDeque::with_capacity(GRADED_WINDOW), middle: 1.0, late: 1.0 }
    }

    /// What to say of a wait computed to be so long.
    pub(crate) fn say(&self, computed_ms: f64) -> Said {
        let forecast = StartForecast {
            expected: whole_millis(computed_ms * self.middle),
            late: whole_millis(computed_ms * self.late),
        };
        Said { forecast, computed_ms }
    }

    /// The wait that nine in ten tasks stay under, where so long a wait was computed.
    pub(crate) fn late(&self, computed_ms: f64) -> Millis {
        self.say(computed_ms).forecast.late
    }

    /// Compares what was said with what came. A task that neither had to wait nor was told to is no
    /// achievement and not graded.
    pub(crate) fn grade(&mut self, said: &Said, waited_ms: f64) {
        let computed = said.computed_ms.max(NOTICEABLE_MS);
        let real = waited_ms.max(NOTICEABLE_MS);
        let expected = millis_f64(said.forecast.expected).max(NOTICEABLE_MS);
        if real <= NOTICEABLE_MS && expected <= NOTICEABLE_MS {
            return;
        }
        if self.window.len() == GRADED_WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(Graded {
            ratio: real / computed,
            error: (expected - real).abs() / real,
            covered: waited_ms <= millis_f64(said.forecast.late).max(NOTICEABLE_MS),
        });
        if self.window.len() >= LEAST_GRADED {
            let mut ratios: Vec<f64> =
                self.window.iter().rev().take(RATIO_WINDOW).map(|graded| graded.ratio).collect();
            self.middle = at_share(&mut ratios, 0.5).clamp(1.0 / MOST_CORRECTED, MOST_CORRECTED);
            self.late = at_share(&mut ratios, 0.9).clamp(self.middle, MOST_CORRECTED * 2.0);
        }
    }

    /// How good the last predictions were; nothing before the first.
    pub(crate) fn accuracy(&self) -> Option<Accuracy> {
        if self.window.is_empty() {
            return None;
        }
        let mut errors: Vec<f64> = self.window.iter().map(|graded| graded.error).collect();
        let covered = self.window.iter().filter(|graded| graded.covered).count();
        #[expect(clippy::cast_precision_loss, reason = "the window is small")]
        let (graded, covered) = (errors.len() as f64, covered as f64);
        Some(Accuracy {
            graded: errors.len(),
            median_error: at_share(&mut errors, 0.5),
            mean_error: errors.iter().sum::<f64>() / graded,
            late_coverage: covered / graded,
        })
    }
}

/// The value that a share of the values is not above.
fn at_share(values: &mut [f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a small slice"
    )]
    let place = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(place, f64::total_cmp).1
}

#[expect(clippy::cast_precision_loss, reason = "waits stay far below 2^53 ms")]
fn millis_f64(millis: Millis) -> f64 {
    millis.0 as f64
}

/// Rounded up, so that a wait is never said to be over before it is.
pub(crate) fn whole_millis(ms: f64) -> Millis {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the cast saturates"
    )]
    Millis(ms.max(0.0).ceil() as u64)
}
