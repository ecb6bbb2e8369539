//! The one place that reads the clock.

use std::time::{Duration, Instant};

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the command line")]
pub fn now() -> Instant {
    Instant::now()
}

/// What is left of `bound` since `start`; nothing once it is over.
pub fn left(start: Instant, bound: Duration) -> Duration {
    bound.saturating_sub(now().saturating_duration_since(start))
}
