//! The streams that are open, of all planes together, how many there may be, and when one of them will be closed.
//!
//! Rules: ORCH-ERR-8

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orchestrator_core::{Millis, Timestamp};

use super::Api;
use crate::backpressure::Refusal;
use crate::clock::Clock;

/// Share of the mean duration that the newest stream makes.
const NEWEST_SHARE: f64 = 0.1;

/// The open streams, counted.
#[derive(Debug)]
pub(super) struct Streams {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

/// A place of a stream, given back when it is dropped.
#[derive(Debug)]
pub(super) struct StreamPermit {
    state: Arc<Mutex<State>>,
    opened: Timestamp,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    open: u32,
    /// How long streams stay open, on average; nothing before the first is closed.
    mean_ms: Option<f64>,
    first_opened: Option<Timestamp>,
}

impl Streams {
    pub(super) fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock }
    }

    /// A place, if fewer than `limit` are taken.
    ///
    /// # Errors
    /// The time until one of the open streams is expected to be closed.
    pub(super) fn try_open(&self, limit: u32) -> Result<StreamPermit, Millis> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if state.open >= limit {
            return Err(state.next_close(now));
        }
        state.open += 1;
        state.first_opened.get_or_insert(now);
        Ok(StreamPermit { state: Arc::clone(&self.state), opened: now, clock: self.clock })
    }
}

impl State {
    /// One of the open streams is closed every so often: a mean duration over their number. Before the first is
    /// closed they last for as long as the first has.
    fn next_close(&self, now: Timestamp) -> Millis {
        let lasted = self.first_opened.map_or(Duration::ZERO, |opened| now.since(opened));
        let mean_ms = self.mean_ms.unwrap_or(lasted.as_secs_f64() * 1000.0);
        let seconds = mean_ms / f64::from(self.open.max(1)) / 1000.0;
        Millis::from_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

impl Api {
    /// A place among the streams that may be open.
    ///
    /// # Errors
    /// [`Refusal::TooManyStreams`] where there is none.
    pub(super) fn open_stream(&self) -> Result<StreamPermit, Refusal> {
        let limit = self.settings().streams;
        self.streams.try_open(limit).map_err(|retry_after| Refusal::TooManyStreams { limit, retry_after })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let ms = self.clock.now().since(self.opened).as_secs_f64() * 1000.0;
        let mut state = lock(&self.state);
        state.open -= 1;
        state.mean_ms = Some(state.mean_ms.map_or(ms, |mean| mean + (ms - mean) * NEWEST_SHARE));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
