//! What predictions and promises are worth, over ten seeds of generated traces and, where a file is given, a
//! recorded one. All of it is simulated time: the figures do not depend on the machine.
//!
//! `x` is our median error over the bound's. `over 1.25x` and `over naive` are by how many points our error is above 1.25
//! times the bound's and above that of position times mean: the mean over the seeds, and its standard error. `P90` is
//! the share of tasks that start before the late forecast, `wide` the late forecast over the expected one.
//!
//! `cargo bench -p orchestrator-core --bench replay -- [TRACE.csv | NAME]`
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "a bench prints, and times of a simulation are small numbers"
)]

#[path = "../tests/simulation/random.rs"]
mod random;
#[path = "../tests/simulation/replay.rs"]
mod replay;

use std::fmt;

use orchestrator_core::Priority;
use replay::figures::{Figures, figures};
use replay::play::{Prediction, play};
use replay::retry::{Retries, herd, open_loop};
use replay::trace::{Trace, generated, recorded};

const SEEDS: u64 = 10;
const SECONDS: f64 = 600.0;

/// Smaller errors are none.
const LEAST_ERROR: f64 = 0.005;

/// Our error is to be no more than so many times the bound's.
const BOUND_GOAL: f64 = 1.25;

fn main() {
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(SEEDS);
    let traces: Vec<Vec<Trace>> = (0..seeds).map(|seed| generated(seed, SECONDS)).collect();
    println!(
        "{:<22} {:<11} {:>6} {:>6} {:>6} {:>6} {:>5} {:>11} {:>11} {:>6} {:>5}  error by quarter of the wait",
        "trace", "lane", "graded", "ours", "bound", "naive", "x", "over 1.25x", "over naive", "P90", "wide"
    );
    let file = only.as_ref().filter(|word| word.ends_with(".csv"));
    if let Some(file) = file {
        let csv = std::fs::read_to_string(file).expect("the recorded trace can be read");
        let traces: Vec<Trace> = (0..seeds).map(|seed| recorded(&csv, 1.0, seed)).collect();
        print!("{}", lines(traces.iter().collect()));
        return;
    }
    let kinds: Vec<usize> = (0..traces[0].len())
        .filter(|kind| only.as_ref().is_none_or(|only| traces[0][*kind].name.contains(only.as_str())))
        .collect();
    let retries = |what: &str, run: fn(u64) -> Retries| {
        let each: Vec<Retries> = (0..seeds).map(run).collect();
        let sum = each.iter().copied().fold(Retries::default(), Retries::and);
        let share = |part: fn(&Retries) -> usize| {
            let of = |retries: &Retries| part(retries) as f64 / retries.refused.max(1) as f64;
            let error = Over::seeds(each.iter().map(of).collect()).error;
            format!("{:.1} ±{:.1} %", 100.0 * of(&sum), 100.0 * error)
        };
        println!(
            "{what}: {} first retries, {} admitted, {} told at most a quarter too much",
            sum.refused,
            share(|retries| retries.admitted),
            share(|retries| retries.not_too_long)
        );
    };
    if only.is_none() || only.as_deref() == Some("retry") {
        retries("herd of 200", herd);
        retries("open loop at 1.3", open_loop);
    }
    std::thread::scope(|scope| {
        let lines: Vec<_> = kinds
            .iter()
            .map(|kind| scope.spawn(|| lines(traces.iter().map(|traces| &traces[*kind]).collect())))
            .collect();
        for line in lines {
            print!("{}", line.join().expect("a trace plays through"));
        }
    });
}

fn lines(traces: Vec<&Trace>) -> String {
    let seeds: Vec<Vec<Prediction>> = traces.iter().map(|trace| play(trace, true)).collect();
    let predictions: Vec<Prediction> = seeds.iter().flatten().copied().collect();
    let mut lines = String::new();
    for priority in Priority::ALL {
        let Some(all) = figures(&predictions, priority) else { continue };
        let each: Vec<Figures> = seeds.iter().filter_map(|seed| figures(seed, priority)).collect();
        let over = |of: fn(&Figures) -> f64| Over::seeds(each.iter().map(of).collect());
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        lines += &format!(
            "{:<22} {:<11} {:>6} {:>6} {:>6} {:>6} {:>5.2} {:>11} {:>11} {:>6} {:>5.2}  {}\n",
            traces[0].name,
            priority.as_str(),
            all.graded,
            percent(all.ours),
            percent(all.bound),
            percent(all.naive),
            all.beside_bound.max(LEAST_ERROR) / all.bound.max(LEAST_ERROR),
            over(|seed| seed.beside_bound - BOUND_GOAL * seed.bound),
            over(|seed| seed.ours - seed.naive),
            percent(all.covered),
            all.late_beside_expected,
            all.quarters.map(percent).join("  "),
        );
    }
    lines
}

/// How much more an error is than its goal, in points of a percent: the mean over the seeds, and its standard error.
struct Over {
    mean: f64,
    error: f64,
}

impl Over {
    fn seeds(values: Vec<f64>) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, error: (squares / (count - 1.0) / count).sqrt() }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:+.1} ±{:.1}", self.mean * 100.0, self.error * 100.0);
        f.pad(&text)
    }
}
