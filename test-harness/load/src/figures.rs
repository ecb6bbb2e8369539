//! Figures of many values.

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
}

/// The value of sorted ones that a share of them is not above; 0 of none.
pub fn at_share(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).or(sorted.last()).copied().unwrap_or_default()
}

/// How many of all, as a share; nothing of none.
pub fn share(part: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

#[cfg(test)]
mod tests;
