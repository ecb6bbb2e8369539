//! The one place where this crate reads the clock: an adapter measures its own jobs and bounds its waits.

use tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "an adapter measures its own jobs, as every engine does")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
