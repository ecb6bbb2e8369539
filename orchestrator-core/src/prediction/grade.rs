//! How good the predictions are: every start is compared with what was said of it at the admission. The same
//! comparison corrects the margin of the late forecast, so that nine in ten tasks start before it.
//!
//! Rules: ORCH-PRED-2

use std::collections::VecDeque;

use crate::Millis;

/// Predictions that are remembered.
pub const GRADED_WINDOW: usize = 1024;

/// Waits are compared as if they were at least this long: less than what anybody notices.
const NOTICEABLE_MS: f64 = 10.0;

/// The share of tasks that start before the late forecast.
const LATE_SHARE: f64 = 0.9;

/// How far one grade moves the margin to the late forecast.
const STRETCH_STEP: f64 = 0.15;

/// The stretch before the first grade: speeds and lengths are not yet known well.
const FIRST_STRETCH: f64 = 2.0;

/// The farthest that margin is stretched or shrunk.
const MOST_STRETCHED: f64 = 8.0;

/// The margin is at least this share of the wait, so that there is something to stretch.
const LEAST_MARGIN: f64 = 0.02;

/// The predicted start of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartForecast {
    /// The wait expected.
    pub expected: Millis,
    /// The wait that nine in ten tasks stay under.
    pub late: Millis,
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
    error: f64,
    covered: bool,
}

/// The last predictions and their grades.
#[derive(Clone, Debug)]
pub(crate) struct Grader {
    window: VecDeque<Graded>,
    /// What the computed margin from the expected to the late wait is multiplied with.
    stretch: f64,
}

impl Grader {
    pub(crate) fn new() -> Self {
        Self { window: VecDeque::with_capacity(GRADED_WINDOW), stretch: FIRST_STRETCH }
    }

    /// What to say of a wait whose middle and ninth decile were computed.
    pub(crate) fn forecast(&self, middle_ms: f64, late_ms: f64) -> StartForecast {
        let margin = (late_ms - middle_ms).max(middle_ms * LEAST_MARGIN);
        StartForecast {
            expected: whole_millis(middle_ms),
            late: whole_millis(middle_ms + margin * self.stretch),
        }
    }

    /// Compares what was said with what came. A task that neither had to wait nor was told to is no
    /// achievement and not graded.
    pub(crate) fn grade(&mut self, said: &StartForecast, waited_ms: f64) {
        let real = waited_ms.max(NOTICEABLE_MS);
        let expected = millis_f64(said.expected).max(NOTICEABLE_MS);
        if real <= NOTICEABLE_MS && expected <= NOTICEABLE_MS {
            return;
        }
        if self.window.len() == GRADED_WINDOW {
            self.window.pop_front();
        }
        let covered = waited_ms <= millis_f64(said.late).max(NOTICEABLE_MS);
        self.window.push_back(Graded { error: (expected - real).abs() / real, covered });
        // Stochastic approximation of the ninth decile (H. Robbins, S. Monro, 1951): at rest where one in ten
        // is late.
        let step = if covered { -(1.0 - LATE_SHARE) } else { LATE_SHARE };
        self.stretch =
            (self.stretch * (STRETCH_STEP * step).exp()).clamp(1.0 / MOST_STRETCHED, MOST_STRETCHED);
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
