//! The worker's only clock. Everything else is handed moments.

use std::time::Instant;

/// Now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of the worker that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}
