//! Keeps the place in the queue fresh while a task waits. Sending a task again that is there already is
//! answered with its present place, so that is how it is asked for.

use std::time::{Duration, Instant};

use api_types::{TaskAccepted, TaskRequest};
use futures_util::{Stream, stream};

use crate::api::Api;
use crate::clock;
use crate::text;

/// How often what is shown changes.
const TICK: Duration = Duration::from_secs(1);
/// Ticks from one asking to the next.
const TICKS_BETWEEN_ASKS: u32 = 2;
/// The most bytes of a task that is sent again only to ask for its place.
const MAX_BYTES: usize = 64 * 1024;

/// Where a task stands, as last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How many tasks go before it.
    pub position: u32,
    /// When it is expected to start, as of `heard`.
    pub predicted: Duration,
    pub heard: Instant,
}

impl Place {
    /// A place heard just now.
    pub fn heard_now(position: u32, predicted_start_ms: u64) -> Self {
        Self { position, predicted: Duration::from_millis(predicted_start_ms), heard: clock::now() }
    }

    /// Whether there is nothing left to wait for in the queue.
    pub const fn is_running(&self) -> bool {
        self.position == 0 && self.predicted.is_zero()
    }

    /// What a person reads at `now`.
    pub fn describe(&self, now: Instant) -> String {
        if self.is_running() {
            return "the model reads the prompt (Ctrl-C cancels)".to_owned();
        }
        let position = match self.position {
            0 => "next in the queue".to_owned(),
            before => format!("in the queue: {} before it", text::count(before.into(), "task")),
        };
        let left = self.predicted.saturating_sub(now.saturating_duration_since(self.heard));
        if left.is_zero() {
            format!("{position}, starts any moment (Ctrl-C cancels)")
        } else {
            format!("{position}, starts in about {} (Ctrl-C cancels)", text::countdown(left))
        }
    }
}

/// Ticks while a task waits: with its place where the daemon was asked and answered, with nothing otherwise.
pub fn ticks<'a>(
    api: &'a Api,
    request: &'a TaskRequest,
) -> impl Stream<Item = Option<TaskAccepted>> + use<'a> {
    let small = serde_json::to_vec(request).is_ok_and(|body| body.len() <= MAX_BYTES);
    stream::unfold(0_u32, move |tick| async move {
        tokio::time::sleep(TICK).await;
        let ask = small && tick % TICKS_BETWEEN_ASKS == TICKS_BETWEEN_ASKS - 1;
        let heard = if ask { api.submit(request).await.ok() } else { None };
        Some((heard, tick.wrapping_add(1)))
    })
}

#[cfg(test)]
mod tests;
