//! What predictions and promises are worth, over ten seeds of generated traces and, where a file is given, a
//! recorded one. All of it is simulated time: the figures do not depend on the machine.
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

use orchestrator_core::Priority;
use replay::figures::figures;
use replay::play::{Prediction, play};
use replay::retry::{Retries, herd, open_loop};
use replay::trace::{Trace, generated, recorded};

const SEEDS: u64 = 10;
const SECONDS: f64 = 600.0;

fn main() {
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(SEEDS);
    let traces: Vec<Vec<Trace>> = (0..seeds).map(|seed| generated(seed, SECONDS)).collect();
    println!(
        "{:<22} {:<11} {:>6} {:>6} {:>6} {:>6} {:>5} {:>6}  error by quarter of the wait",
        "trace", "lane", "graded", "ours", "bound", "naive", "x", "P90"
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
        let sum = (0..seeds).map(run).fold(Retries::default(), Retries::and);
        let share = |part: usize| 100.0 * part as f64 / sum.refused.max(1) as f64;
        println!(
            "{what}: {} first retries, {:.1} % admitted, {:.0} % told at most a quarter too much",
            sum.refused,
            share(sum.admitted),
            share(sum.not_too_long)
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
    let predictions: Vec<Prediction> = traces.iter().flat_map(|trace| play(trace, true)).collect();
    let mut lines = String::new();
    for priority in Priority::ALL {
        let Some(figures) = figures(&predictions, priority) else { continue };
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        lines += &format!(
            "{:<22} {:<11} {:>6} {:>6} {:>6} {:>6} {:>5.2} {:>6}  {}\n",
            traces[0].name,
            priority.as_str(),
            figures.graded,
            percent(figures.ours),
            percent(figures.bound),
            percent(figures.naive),
            figures.beside_bound / figures.bound,
            percent(figures.covered),
            figures.quarters.map(percent).join("  "),
        );
    }
    lines
}
