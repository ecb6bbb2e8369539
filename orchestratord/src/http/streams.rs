//! The streams that are open, of all planes together, and how many there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Api;
use crate::backpressure::Refusal;

/// The open streams, counted.
#[derive(Debug, Default)]
pub(super) struct Streams(Arc<AtomicU32>);

/// A place of a stream, given back when it is dropped.
#[derive(Debug)]
pub(super) struct StreamPermit(Arc<AtomicU32>);

impl Streams {
    /// A place, if fewer than `limit` are taken.
    pub(super) fn try_open(&self, limit: u32) -> Option<StreamPermit> {
        let one_more = |open: u32| (open < limit).then_some(open + 1);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        before.ok().map(|_| StreamPermit(Arc::clone(&self.0)))
    }
}

impl Api {
    /// A place among the streams that may be open.
    ///
    /// # Errors
    /// [`Refusal::Crowded`] where there is none.
    pub(super) fn open_stream(&self) -> Result<StreamPermit, Refusal> {
        let limit = self.settings().streams;
        let permit = self.streams.try_open(limit);
        permit.ok_or(Refusal::Crowded { what: "streams", limit, option: "limits.streams" })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
