//! The last lines of the log, in memory: for whoever asks the daemon itself, because its log goes to a terminal, a
//! container or another machine. Bounded in lines and bytes; the oldest go first.
//!
//! Rules: ORCH-CLI-13, ORCH-LOG-1

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most lines that are kept.
pub const LINES_MAX: usize = 2_000;

/// The most bytes of lines that are kept, and of a line.
const BYTES_MAX: usize = 512 * 1024;
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What a colour of a terminal begins with.
const ESCAPE: char = '\x1b';

/// The lines, numbered from 0 in the order in which they were logged.
#[derive(Debug, Default)]
pub struct LogRing(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// The number of the oldest line that is kept.
    first: u64,
}

/// Lines that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// The number of the first of them; of the next one to come, where there are none.
    pub first: u64,
    /// The lines, in order.
    pub lines: Vec<String>,
}

impl LogRing {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Keeps a line, without its end, its colours, and what is too long of it.
    pub fn push(&self, line: &[u8]) {
        let text = plain(&String::from_utf8_lossy(line));
        let text = &text[..text.floor_char_boundary(LINE_BYTES_MAX)];
        let mut lines = self.lock();
        lines.bytes += text.len();
        lines.lines.push_back(text.into());
        while lines.lines.len() > LINES_MAX || lines.bytes > BYTES_MAX {
            let Some(oldest) = lines.lines.pop_front() else { return };
            lines.bytes -= oldest.len();
            lines.first += 1;
        }
    }

    /// At most `count` lines: from number `from` on, or else the last ones.
    #[must_use]
    pub fn page(&self, from: Option<u64>, count: usize) -> LogPage {
        let lines = self.lock();
        let end = lines.first + lines.lines.len() as u64;
        let last = end.saturating_sub(count as u64);
        let first = from.unwrap_or(last).clamp(lines.first, end);
        let skipped = usize::try_from(first - lines.first).unwrap_or(usize::MAX);
        LogPage {
            first,
            lines: lines.lines.iter().skip(skipped).take(count).map(|line| line.to_string()).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line without escape sequences and control characters.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(one) = rest.next() {
        match one {
            // A colour ends with its letter.
            ESCAPE => drop(rest.find(char::is_ascii_alphabetic)),
            '\t' => text.push(one),
            one if one.is_control() => {}
            one => text.push(one),
        }
    }
    text
}

#[cfg(test)]
mod tests;
