//! The one clock of the daemon: everything else gets a [`Timestamp`].

use std::time::Duration;

use orchestrator_core::Timestamp;
use tokio::time::Instant;

/// Counts from its making. Copies count from the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule points to")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::default().after(self.start.elapsed())
    }

    /// `at` as a moment that timers understand.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.start + Duration::from_micros(at.as_micros())
    }
}
