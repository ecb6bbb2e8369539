//! How much of an answer has been read: the heartbeat of a task whose engine says nothing else of its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read of one answer, comments and framing included. Clones count together; only one of them adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    /// Adds some. There is one writer, so that this is a load and a store and locks nothing.
    pub(crate) fn add(&self, bytes: usize) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(bytes as u64), Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
