//! What the predictions of a replay are worth.

use orchestrator_core::Priority;

use super::play::{Made, Prediction};

/// Shorter waits are not graded: nobody notices them.
const NOTICED_MS: f64 = 250.0;

/// The figures of one lane.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub graded: usize,
    /// Median errors as shares of the real wait.
    pub ours: f64,
    pub naive: f64,
    pub bound: f64,
    /// Ours, of the predictions that the bound was computed for.
    pub beside_bound: f64,
    /// Share that started within the late forecast.
    pub covered: f64,
    /// The late forecast over the expected one, in the middle.
    pub late_beside_expected: f64,
    /// Median error of polled forecasts as a share of the whole wait, by quarter of the wait.
    pub quarters: [f64; 4],
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The figures of a lane over all of these predictions; nothing where too few tasks waited.
pub fn figures(predictions: &[Prediction], priority: Priority) -> Option<Figures> {
    let all = || predictions.iter().filter(move |p| p.priority == priority && p.real_ms > NOTICED_MS);
    let told = || all().filter(|p| p.made == Made::AtAdmission);
    let error = |value: f64, p: &Prediction| (value - p.real_ms).abs() / p.real_ms;
    let graded = told().count();
    if graded < 20 {
        return None;
    }
    let covered = told().filter(|p| p.real_ms <= p.late_ms + 1.0).count();
    let quarter = |number: usize| {
        let polled = all().filter(|p| p.made == Made::WhileWaiting).filter(|p| {
            let gone = 1.0 - p.real_ms / p.whole_ms;
            (gone * 4.0) as usize == number
        });
        median(polled.map(|p| (p.expected_ms - p.real_ms).abs() / p.whole_ms).collect())
    };
    Some(Figures {
        graded,
        ours: median(told().map(|p| error(p.expected_ms, p)).collect()),
        naive: median(told().map(|p| error(p.naive_ms, p)).collect()),
        bound: median(told().filter_map(|p| Some(error(p.bound_ms?, p))).collect()),
        beside_bound: median(
            told().filter(|p| p.bound_ms.is_some()).map(|p| error(p.expected_ms, p)).collect(),
        ),
        covered: covered as f64 / graded as f64,
        late_beside_expected: median(told().map(|p| p.late_ms.max(1.0) / p.expected_ms.max(1.0)).collect()),
        quarters: [quarter(0), quarter(1), quarter(2), quarter(3)],
    })
}
