//! What a task has said so far: written once by its engine, read by any number of subscribers from any
//! place, each at its own pace. A reader holds no buffer of its own, so a slow one costs nothing and
//! slows nobody; the log itself is bounded by the task's context.
//!
//! ```text
//! open ──append──► open ──close──► closed        (what comes after the close is not written)
//! ```

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_api::Piece;
use orchestrator_core::{Millis, TokenCount};
use tokio::sync::watch;

use crate::backpressure::Failure;

mod beside;

pub use beside::Beside;
use beside::Besides;

/// Why a task ended, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn or met a stop string.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    /// Somebody canceled it.
    Canceled,
    /// It failed; the reason stands beside it.
    Error,
}

/// The last event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Tokens of the answer.
    pub tokens_out: TokenCount,
    /// Tokens of the prompt.
    pub tokens_in: TokenCount,
    /// From the first token to the end.
    pub decode_ms: Millis,
    /// From admission to the replica.
    pub queue_ms: Millis,
    /// Why it ended.
    pub finish: FinishReason,
    /// What went wrong: with [`FinishReason::Error`] and only then.
    pub failure: Option<Failure>,
}

/// One task's log. Shared between its engine's sink, the driver and its readers.
#[derive(Debug)]
pub struct TaskLog {
    written: Mutex<Written>,
    /// Bumped at each change, so that readers wake.
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Written {
    /// All texts, one after the other.
    text: String,
    /// Where each event's text ends in `text`.
    ends: Vec<u32>,
    /// Engine tokens in `text`: at least as many as events.
    tokens: u32,
    /// What events have beside their texts, where one has anything.
    besides: Option<Box<Besides>>,
    end: Option<TaskEnd>,
}

/// What a reader has not seen yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Token events, numbered from `first` on.
    Tokens {
        /// The index of the first of them.
        first: u32,
        /// Their texts.
        texts: Vec<String>,
    },
    /// The last event. Nothing comes after it.
    End(TaskEnd),
}

impl Default for TaskLog {
    fn default() -> Self {
        Self { written: Mutex::default(), version: watch::Sender::new(0) }
    }
}

impl TaskLog {
    /// An empty, open log.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Appends one event. Returns whether it was written: a closed log takes nothing more.
    pub fn append(&self, text: &str, tokens: u32) -> bool {
        self.write(text, tokens, None)
    }

    /// Appends what an engine said, with all that it has beside its text.
    pub fn append_piece(&self, piece: &Piece) -> bool {
        let tokens = u32::try_from(piece.tokens.len()).unwrap_or(u32::MAX);
        self.write(&piece.text, tokens, Besides::are_in(piece).then_some(piece))
    }

    fn write(&self, text: &str, tokens: u32, beside: Option<&Piece>) -> bool {
        let mut written = self.lock();
        if written.end.is_some() {
            return false;
        }
        let Ok(end) = u32::try_from(written.text.len() + text.len()) else { return false };
        if let Some(piece) = beside {
            let event = written.ends.len();
            if !written.besides.get_or_insert_default().add(event, piece) {
                return false;
            }
        }
        written.text.push_str(text);
        written.ends.push(end);
        written.tokens += tokens;
        // Under the lock, so that versions grow in the order of what was written.
        self.version.send_modify(|version| *version += 1);
        true
    }

    /// Writes the last event, with the tokens written so far in it. The first close counts.
    pub fn close(&self, end: impl FnOnce(TokenCount) -> TaskEnd) -> bool {
        let mut written = self.lock();
        if written.end.is_some() {
            return false;
        }
        written.end = Some(end(TokenCount(written.tokens)));
        written.text.shrink_to_fit();
        written.ends.shrink_to_fit();
        if let Some(besides) = &mut written.besides {
            besides.shrink();
        }
        self.version.send_modify(|version| *version += 1);
        true
    }

    /// The last event, once there is one.
    #[must_use]
    pub fn end(&self) -> Option<TaskEnd> {
        self.lock().end.clone()
    }

    /// All that was said so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Engine tokens written so far.
    #[must_use]
    pub fn tokens(&self) -> TokenCount {
        TokenCount(self.lock().tokens)
    }

    /// Whether it has no event yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let written = self.lock();
        written.ends.is_empty() && written.end.is_none()
    }

    /// Bytes of memory the log holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let written = self.lock();
        let besides = written.besides.as_ref().map_or(0, |besides| besides.bytes());
        written.text.capacity() + written.ends.capacity() * size_of::<u32>() + besides + size_of::<Self>()
    }

    /// A reader whose first event is `from`.
    #[must_use]
    pub fn read_from(self: &Arc<Self>, from: u32) -> LogReader {
        LogReader { version: self.version.subscribe(), log: Arc::clone(self), next: from, ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // A panic while writing leaves a log that is still a prefix of the answer.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's place in a log.
#[derive(Debug)]
pub struct LogReader {
    log: Arc<TaskLog>,
    version: watch::Receiver<u64>,
    next: u32,
    ended: bool,
}

impl LogReader {
    /// All that is there and not yet read, waiting until there is something. Nothing after the end.
    /// Safe to drop and call again: what was not returned is not lost.
    pub async fn next(&mut self) -> Option<Chunk> {
        loop {
            self.version.mark_unchanged();
            if self.ended {
                return None;
            }
            if let Some(chunk) = self.try_next() {
                return Some(chunk);
            }
            // The sender lives in the log this reader holds, so it cannot be gone.
            self.version.changed().await.ok()?;
        }
    }

    /// What each of `events` has beside its text; nothing at all where none of the log has anything.
    #[must_use]
    pub fn beside(&self, events: Range<u32>) -> Vec<Beside> {
        let events = events.start as usize..events.end as usize;
        self.log.lock().besides.as_ref().map_or_else(Vec::new, |besides| besides.of(events))
    }

    /// All that is there and not yet read, without waiting.
    pub fn try_next(&mut self) -> Option<Chunk> {
        if self.ended {
            return None;
        }
        let written = self.log.lock();
        let first = self.next;
        let unread = written.ends.get(first as usize..).unwrap_or_default();
        if unread.is_empty() {
            let end = written.end.clone()?;
            self.ended = true;
            return Some(Chunk::End(end));
        }
        let mut start = first.checked_sub(1).map_or(0, |before| written.ends[before as usize]);
        let texts = unread
            .iter()
            .map(|&end| {
                let text = written.text[start as usize..end as usize].to_owned();
                start = end;
                text
            })
            .collect::<Vec<_>>();
        self.next = u32::try_from(written.ends.len()).unwrap_or(u32::MAX);
        Some(Chunk::Tokens { first, texts })
    }
}

#[cfg(test)]
mod tests;
