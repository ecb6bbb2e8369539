//! What a task has said so far: written once by its engine, read by any number of subscribers from any
//! place, each at its own pace. A reader holds no buffer of its own, so a slow one costs nothing and
//! slows nobody; the log itself is bounded by the task's context.
//!
//! ```text
//! open ──append──► open ──close──► closed        (what comes after the close is not written)
//! ```
//!
//! One placement of the task writes at a time, and a log knows which: what an engine still writes after its task was
//! placed elsewhere goes nowhere.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use generation::{OwnAnswer, Piece};
use orchestrator_core::{Millis, TokenCount};

use crate::backpressure::Failure;

mod beside;

pub use beside::Beside;
use beside::{Besides, bytes_of};

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
    /// Of these, how many were in the KV cache already.
    pub tokens_cached: TokenCount,
    /// From the first token to the end.
    pub decode_ms: Millis,
    /// From admission to the replica.
    pub queue_ms: Millis,
    /// Why it ended.
    pub finish: FinishReason,
    /// What went wrong: with [`FinishReason::Error`] and only then.
    pub failure: Option<Failure>,
    /// What the engine said in fields of its own behind the last token.
    pub own: Option<Arc<OwnAnswer>>,
}

/// One task's log. Shared between its engine's sink, the driver and its readers.
#[derive(Debug, Default)]
pub struct TaskLog {
    written: Mutex<Written>,
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
    /// The placement that writes, from 1; 0 while none does.
    writer: u32,
    /// Who reads, each at the place its reader knows.
    seats: Vec<Seat>,
}

/// What a log knows of one of its readers.
#[derive(Debug)]
enum Seat {
    /// It is gone, and another may have its place.
    Free,
    /// It is at work, and will look for more by itself.
    Busy,
    /// It has seen everything, and is to be woken by the next change.
    Waits(Waker),
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

impl TaskLog {
    /// An empty, open log.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A placement begins to write. Returns whether it may: not where another has written already, or the log is
    /// closed.
    pub fn begin(&self, run: u32) -> bool {
        let mut written = self.lock();
        let may = written.ends.is_empty() && written.end.is_none();
        if may {
            written.writer = run;
        }
        may
    }

    /// Takes nothing more from the placement that writes.
    pub fn fence(&self) {
        self.lock().writer = 0;
    }

    /// Appends what an engine wrote in one placement, with all that it has beside its text. Returns whether it was
    /// written: a closed log takes nothing more, nor does any log from a placement that it does not belong to.
    pub fn append_piece(&self, run: u32, piece: &Piece) -> bool {
        let tokens = u32::try_from(piece.tokens.len()).unwrap_or(u32::MAX);
        self.write(run, &piece.text, tokens, Besides::are_in(piece).then_some(piece))
    }

    /// Appends one event for whoever writes.
    #[cfg(test)]
    pub(crate) fn append(&self, text: &str, tokens: u32) -> bool {
        let writer = self.lock().writer;
        self.write(writer, text, tokens, None)
    }

    fn write(&self, run: u32, text: &str, tokens: u32, beside: Option<&Piece>) -> bool {
        let mut written = self.lock();
        if written.end.is_some() || written.writer != run {
            return false;
        }
        let Ok(end) = u32::try_from(written.text.len() + text.len()) else { return false };
        let event = written.ends.len();
        match (beside, &mut written.besides) {
            (Some(piece), besides) => {
                if !besides.get_or_insert_default().add(event, piece) {
                    return false;
                }
            }
            (None, Some(besides)) => besides.go_on(event, None),
            (None, None) => {}
        }
        written.text.push_str(text);
        written.ends.push(end);
        written.tokens += tokens;
        written.wake_readers();
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
        written.wake_readers();
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

    /// Bytes of memory the log holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let written = self.lock();
        let besides = written.besides.as_ref().map_or(0, |besides| besides.bytes());
        let own = written.end.as_ref().and_then(|end| end.own.as_deref()).map_or(0, bytes_of);
        let events = written.text.capacity() + written.ends.capacity() * size_of::<u32>();
        events + besides + own + size_of::<Self>()
    }

    /// A reader whose first event is `from`.
    #[must_use]
    pub fn read_from(self: &Arc<Self>, from: u32) -> LogReader {
        let seat = self.lock().take_seat();
        LogReader { log: Arc::clone(self), seat, next: from, ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // A panic while writing leaves a log that is still a prefix of the answer.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// Everyone who waits looks again. Done under the lock: a reader that has just seen nothing new is either
    /// seated by then or sees this.
    fn wake_readers(&mut self) {
        for seat in &mut self.seats {
            if matches!(seat, Seat::Waits(_))
                && let Seat::Waits(waker) = std::mem::replace(seat, Seat::Busy)
            {
                waker.wake();
            }
        }
    }

    fn take_seat(&mut self) -> usize {
        let free = self.seats.iter().position(|seat| matches!(seat, Seat::Free));
        let seat = free.unwrap_or(self.seats.len());
        if free.is_none() {
            self.seats.push(Seat::Busy);
        } else {
            self.seats[seat] = Seat::Busy;
        }
        seat
    }

    /// What comes after the first `seen` events; nothing, where that is still to come.
    fn after(&self, seen: u32) -> Option<Chunk> {
        let unread = self.ends.get(seen as usize..).unwrap_or_default();
        if unread.is_empty() {
            return self.end.clone().map(Chunk::End);
        }
        let unread = &unread[..unread.len().min(CHUNK_EVENTS)];
        let mut start = seen.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        let texts = unread.iter().map(|&end| {
            let text = self.text[start as usize..end as usize].to_owned();
            start = end;
            text
        });
        Some(Chunk::Tokens { first: seen, texts: texts.collect() })
    }
}

/// One subscriber's place in a log.
#[derive(Debug)]
pub struct LogReader {
    log: Arc<TaskLog>,
    seat: usize,
    next: u32,
    ended: bool,
}

impl LogReader {
    /// All that is there and not yet read, waiting until there is something. Nothing after the end.
    /// Safe to drop and call again: what was not returned is not lost.
    pub async fn next(&mut self) -> Option<Chunk> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`LogReader::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut written = self.log.lock();
        if let Some(chunk) = written.after(self.next) {
            drop(written);
            self.pass(&chunk);
            return Poll::Ready(Some(chunk));
        }
        let seat = &mut written.seats[self.seat];
        if !matches!(seat, Seat::Waits(waker) if waker.will_wake(cx.waker())) {
            *seat = Seat::Waits(cx.waker().clone());
        }
        Poll::Pending
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
        let chunk = self.log.lock().after(self.next)?;
        self.pass(&chunk);
        Some(chunk)
    }

    fn pass(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Tokens { first, texts } => {
                self.next = first.saturating_add(u32::try_from(texts.len()).unwrap_or(u32::MAX));
            }
            Chunk::End(_) => self.ended = true,
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.log.lock().seats[self.seat] = Seat::Free;
    }
}

#[cfg(test)]
mod tests;

/// Events that a reader is given at a time at most, so that one who comes late to a long answer takes turns.
const CHUNK_EVENTS: usize = 1024;
