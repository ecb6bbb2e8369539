//! The log of refused requests: what was refused, why, at which field, and whose request it was. A flood of one kind
//! fills neither the log nor hides another kind: of each status the first requests of a minute have a line, and the rest
//! are counted in one.
//!
//! Never logged is what somebody asked: of a message that repeats what was sent, names and numbers are kept.
//!
//! Rules: ORCH-ERR-10

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orchestrator_core::Timestamp;

use super::answer::Refused;
use super::openai_api::error::param_of;
use crate::backpressure::Code;
use crate::clock::Clock;
use crate::tasks;

/// Lines of one status in a window.
const LINES_MAX: u32 = 10;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// The statuses that are counted apart; every other one is counted with the last.
const STATUSES: [u16; 9] = [400, 401, 403, 404, 405, 413, 429, 503, 500];

/// The most characters of a reason.
const REASON_CHARS_MAX: usize = 240;

/// What stands before a value of a wrong type.
const VALUES: [&str; 4] = ["integer", "floating point", "boolean", "character"];

/// The most characters of what a message repeats in backticks.
const NAME_CHARS_MAX: usize = 64;

/// Which refused requests have a line of their own.
#[derive(Debug)]
pub(super) struct RefusalLog {
    clock: Clock,
    windows: Mutex<[Window; STATUSES.len()]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    begun: Timestamp,
    lines: u32,
    left_out: u64,
}

/// What becomes of the line of one refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Written,
    /// Counted; the first one of its window, at whose end the count is logged.
    FirstLeftOut(Duration),
    LeftOut,
}

impl RefusalLog {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, windows: Mutex::default() })
    }

    /// Whether a request that was refused with `status` has a line of its own. Sees to it that the others are counted.
    pub(super) fn has_line(self: &Arc<Self>, status: u16) -> bool {
        let place = place_of(status);
        match self.take(place, self.clock.now()) {
            Line::Written => true,
            Line::LeftOut => false,
            Line::FirstLeftOut(rest) => {
                let log = Arc::clone(self);
                tasks::spawn(async move {
                    tokio::time::sleep(rest).await;
                    log.report(place);
                });
                false
            }
        }
    }

    fn take(&self, place: usize, now: Timestamp) -> Line {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &mut windows[place];
        let age = now.since(window.begun);
        // A count that was not reported yet stays for its report.
        if age >= WINDOW && window.left_out == 0 {
            *window = Window { begun: now, ..Window::default() };
        }
        if window.lines < LINES_MAX {
            window.lines += 1;
            return Line::Written;
        }
        window.left_out += 1;
        match window.left_out {
            1 => Line::FirstLeftOut(WINDOW.saturating_sub(age)),
            _ => Line::LeftOut,
        }
    }

    fn report(&self, place: usize) {
        let count = {
            let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut windows[place].left_out)
        };
        let status = STATUSES[place];
        tracing::info!(status, count, "more requests were refused, without a line of their own");
    }
}

fn place_of(status: u16) -> usize {
    STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1)
}

/// The field at fault, where a refusal names one.
pub(super) fn field(refused: &Refused) -> Option<String> {
    (refused.verdict.code == Code::InvalidParams).then(|| param_of(&refused.message)).flatten()
}

/// Why a request was refused, without what somebody asked. Nothing of what an engine says: it may repeat anything.
pub(super) fn reason(refused: &Refused) -> String {
    if refused.engine.is_some() && refused.verdict.code == Code::InvalidParams {
        return "the engine rejected it".to_owned();
    }
    let mut reason = String::new();
    for (i, part) in refused.message.split('`').enumerate() {
        let is_value = VALUES.iter().any(|kind| reason.trim_end().ends_with(kind));
        let is_name = !is_value && part.len() <= NAME_CHARS_MAX && !part.contains(char::is_whitespace);
        match i % 2 {
            0 => reason.push_str(&without_strings(part)),
            _ if is_name => reason.extend(["`", part, "`"]),
            _ => reason.push_str("`…`"),
        }
    }
    reason.chars().filter(|one| !one.is_control()).take(REASON_CHARS_MAX).collect()
}

/// The text with strings as JSON has them left out, also one without an end.
fn without_strings(text: &str) -> String {
    let Some((before, rest)) = text.split_once('"') else { return text.to_owned() };
    // Up to the last mark: what is between may have marks of its own.
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}\"…\"{after}")
}

#[cfg(test)]
mod tests;
