//! The two lanes of the queue.
//!
//! Rules: HOME-SCHED-1

use serde::{Deserialize, Serialize};

/// Which lane a task waits in. There are two, and no third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody is waiting for the answer: goes first.
    #[default]
    Interactive,
    /// Work that may be late but never starves: goes when no interactive task waits, or when it has
    /// waited its bound.
    Batch,
}

impl Priority {
    /// Both lanes, interactive first.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Batch];

    /// The name on the wire, in metrics and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Batch => "batch",
        }
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
