//! How much of an answer has come: the heartbeat of a task whose engine says nothing else of its work.
//!
//! Rules: ORCH-ENG-22

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Events of one answer: its tokens, and reports on the reading of its prompt. Comments and events without text, with
/// which a server only keeps the connection open, are none. Clones count together; only one of them adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventsRead(Arc<AtomicU64>);

impl EventsRead {
    /// Adds one. There is one writer, so that this is a load and a store and locks nothing.
    pub(crate) fn add(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
