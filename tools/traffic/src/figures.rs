//! Figures of many values.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The middle and the tail of a set of times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Half are not above it.
    pub p50: f64,
    /// 95 in 100 are not above it.
    pub p95: f64,
    /// 99 in 100 are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these times.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut ms: Vec<f64> = times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        Self {
            count: ms.len(),
            p50: at_share(&ms, 0.5),
            p95: at_share(&ms, 0.95),
            p99: at_share(&ms, 0.99),
            max: at_share(&ms, 1.0),
        }
    }

    /// Writes one line of it.
    ///
    /// # Errors
    /// As writing does.
    pub fn show(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Self { count, p50, p95, p99, max } = self;
        writeln!(f, "  {name:<21} p50 {p50:9.2}  p95 {p95:9.2}  p99 {p99:9.2}  max {max:9.2} ms  ({count})")
    }
}

/// The value of sorted ones that a share of them is not above; 0 of none.
#[must_use]
pub fn at_share(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).or(sorted.last()).copied().unwrap_or_default()
}

/// How many of all, as a share; nothing of none.
#[must_use]
pub fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

#[cfg(test)]
mod tests;
