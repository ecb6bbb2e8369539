//! The output of a task so far: written once by its engine, read by any number of subscribers from any
//! place, each at its own pace. A reader holds no buffer of its own, so a slow one costs nothing and
//! slows nobody; the log itself is bounded by the task's context.
//!
//! ```text
//! open ──append──► open ──close──► closed        (what comes after the close is not written)
//! ```
//!
//! One placement of the task writes at a time, and a log knows which: what an engine still writes after its task was
//! placed elsewhere goes nowhere. A later placement goes on behind the tokens that are there.
//!
//! Rules: ORCH-TASK-12, ORCH-TASK-16, ORCH-STREAM-2, ORCH-STREAM-5, ORCH-STREAM-8, ORCH-CANCEL-1, ORCH-REPL-18

use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use generation::{ExtraFields, OutputChunk};
use orchestrator_core::{Millis, TokenCount};

use crate::backpressure::Failure;

mod metadata;

pub use metadata::{EventMetadata, Parsed};
use metadata::{Metadata, bytes_of};

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

impl FinishReason {
    /// As the wire and the log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Canceled => "canceled",
            Self::Error => "error",
        }
    }
}

/// The last event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Tokens of the output, reasoning included.
    pub tokens_out: TokenCount,
    /// Of these, tokens of reasoning: the engine's count, or what the log counted.
    pub tokens_reasoning: Option<TokenCount>,
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
    /// The stop text that ended it, where one did and the engine says which.
    pub stop_text: Option<String>,
    /// What went wrong: with [`FinishReason::Error`] and only then.
    pub failure: Option<Failure>,
    /// Fields of the engine's own behind the last token.
    pub extra: Option<Arc<ExtraFields>>,
}

/// How much of a task's prompt an engine has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptProgress {
    /// Tokens that are read, those found in the KV cache included.
    pub read: TokenCount,
    /// Tokens of the prompt.
    pub of: TokenCount,
}

impl TaskEnd {
    /// The time in which the prompt was read, of a task that took `total`: what is neither the queue nor the output.
    #[must_use]
    pub fn prompt_time(&self, total: Duration) -> Duration {
        total.saturating_sub(self.queue_ms.to_duration()).saturating_sub(self.decode_ms.to_duration())
    }
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
    /// Engine tokens in `text`.
    tokens: u32,
    /// Of these, tokens of reasoning.
    reasoning_tokens: u32,
    /// What events have beside their raw texts, where one has anything.
    metadata: Option<Box<Metadata>>,
    end: Option<TaskEnd>,
    /// All tokens so far, where an engine can go on behind them.
    ids: Option<Vec<i32>>,
    /// The placement that writes, from 1; 0 while none does.
    writer: u32,
    /// How much of the prompt is read, while it is read.
    reading: Option<PromptProgress>,
    /// Who reads, each at the place its reader knows.
    slots: Vec<ReaderSlot>,
}

/// What a log knows of one of its readers.
#[derive(Debug)]
enum ReaderSlot {
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

    /// A placement begins to write. Returns the tokens that are there already, behind which it goes on; nothing where it
    /// may not write: the log is closed, or another has written and this engine does not go on (`continues`).
    pub fn begin(&self, run: u32, continues: bool) -> Option<Vec<i32>> {
        let mut written = self.lock();
        let is_new = written.ends.is_empty();
        let goes_on = is_new || continues && written.ids.is_some();
        if written.end.is_some() || !goes_on {
            return None;
        }
        written.writer = run;
        if is_new {
            written.ids = continues.then(Vec::new);
        }
        Some(written.ids.clone().unwrap_or_default())
    }

    /// Notes how much of the prompt is read, and wakes the readers where that is news. Not told once there is output.
    pub fn reads_prompt(&self, progress: PromptProgress) {
        let mut written = self.lock();
        if written.ends.is_empty() && written.end.is_none() && written.reading != Some(progress) {
            written.reading = Some(progress);
            written.wake_readers();
        }
    }

    /// How much of the prompt is read: nothing where nobody says, and once there is output.
    #[must_use]
    pub fn reading(&self) -> Option<PromptProgress> {
        let written = self.lock();
        written.reading.filter(|_| written.ends.is_empty() && written.end.is_none())
    }

    /// Takes nothing more from the placement that writes.
    pub fn fence(&self) {
        self.lock().writer = 0;
    }

    /// Appends what an engine wrote in one placement. Returns whether it was written: a closed log takes nothing more,
    /// nor does any log from a placement that it does not belong to.
    pub fn append(&self, run: u32, chunk: &OutputChunk) -> bool {
        let mut written = self.lock();
        if written.end.is_some() || written.writer != run {
            return false;
        }
        let Ok(end) = u32::try_from(written.text.len() + chunk.text.len()) else { return false };
        let event = written.ends.len();
        match (Metadata::is_in(chunk), &mut written.metadata) {
            (true, metadata) => {
                if !metadata.get_or_insert_default().add(event, chunk) {
                    return false;
                }
            }
            (false, Some(metadata)) => metadata.go_on(event, None),
            (false, None) => {}
        }
        let tokens = u32::try_from(chunk.tokens.len()).unwrap_or(u32::MAX);
        written.text.push_str(&chunk.text);
        written.ends.push(end);
        if let Some(ids) = &mut written.ids {
            ids.extend(&chunk.tokens);
        }
        written.tokens = written.tokens.saturating_add(tokens);
        if chunk.is_reasoning() {
            written.reasoning_tokens = written.reasoning_tokens.saturating_add(tokens);
        }
        written.wake_readers();
        true
    }

    /// Appends text for whoever writes.
    #[cfg(test)]
    pub(crate) fn append_text(&self, text: &str, tokens: usize) -> bool {
        let writer = self.lock().writer;
        self.append(writer, &OutputChunk::text(text, vec![0; tokens]))
    }

    /// Writes the last event, with the tokens written so far in it. The first close counts.
    pub fn close(&self, end: impl FnOnce(TokenCount) -> TaskEnd) -> bool {
        let mut written = self.lock();
        if written.end.is_some() {
            return false;
        }
        let mut end = end(TokenCount(written.tokens));
        end.tokens_reasoning.get_or_insert(TokenCount(written.reasoning_tokens));
        written.end = Some(end);
        written.ids = None;
        written.text.shrink_to_fit();
        written.ends.shrink_to_fit();
        if let Some(metadata) = &mut written.metadata {
            metadata.shrink();
        }
        written.wake_readers();
        true
    }

    /// The last event, once there is one.
    #[must_use]
    pub fn end(&self) -> Option<TaskEnd> {
        self.lock().end.clone()
    }

    /// The raw text so far.
    #[must_use]
    pub fn text(&self) -> String {
        let written = self.lock();
        if written.text.is_empty() && written.metadata.is_some() {
            return (0..written.ends.len()).map(|event| written.raw_text(event, false)).collect();
        }
        written.text.clone()
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
        let metadata = written.metadata.as_ref().map_or(0, |metadata| metadata.bytes());
        let extra = written.end.as_ref().and_then(|end| end.extra.as_deref()).map_or(0, bytes_of);
        let events = written.text.capacity() + written.ends.capacity() * size_of::<u32>();
        events + metadata + extra + size_of::<Self>()
    }

    /// A reader whose first event is `from`.
    #[must_use]
    pub fn read_from(self: &Arc<Self>, from: u32) -> LogReader {
        let slot = self.lock().take_slot();
        LogReader { log: Arc::clone(self), slot, next: from, is_typed: false, ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // A panic while writing leaves a log that is still a prefix of the answer.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// Everyone who waits looks again. Done under the lock: a reader that has just seen nothing new is either
    /// sloted by then or sees this.
    fn wake_readers(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot, ReaderSlot::Waits(_))
                && let ReaderSlot::Waits(waker) = std::mem::replace(slot, ReaderSlot::Busy)
            {
                waker.wake();
            }
        }
    }

    fn take_slot(&mut self) -> usize {
        let free = self.slots.iter().position(|slot| matches!(slot, ReaderSlot::Free));
        let slot = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.slots.push(ReaderSlot::Busy);
        } else {
            self.slots[slot] = ReaderSlot::Busy;
        }
        slot
    }

    /// What comes after the first `seen` events; nothing, where that is still to come.
    fn after(&self, seen: u32, is_typed: bool) -> Option<Chunk> {
        let unread = self.ends.get(seen as usize..).unwrap_or_default();
        if unread.is_empty() {
            return self.end.clone().map(Chunk::End);
        }
        let count = unread.len().min(CHUNK_EVENTS);
        let first = seen as usize;
        let texts = (first..first + count).map(|event| self.raw_text(event, is_typed));
        Some(Chunk::Tokens { first: seen, texts: texts.collect() })
    }

    /// The raw text of an event: where it is vectors or scores, their JSON unless `is_typed`.
    fn raw_text(&self, event: usize, is_typed: bool) -> String {
        let start = event.checked_sub(1).map_or(0, |before| self.ends[before]);
        match (&self.text[start as usize..self.ends[event] as usize], &self.metadata) {
            ("", Some(metadata)) if !is_typed => metadata.raw_text_of(event),
            (text, _) => text.to_owned(),
        }
    }
}

/// One subscriber's place in a log.
#[derive(Debug)]
pub struct LogReader {
    log: Arc<TaskLog>,
    slot: usize,
    next: u32,
    /// Whether it reads vectors and scores from the metadata, so that nobody needs them as text.
    is_typed: bool,
    ended: bool,
}

impl LogReader {
    /// The same for a reader that takes output that is no text from the metadata.
    #[must_use]
    pub fn typed(mut self) -> Self {
        self.is_typed = true;
        self
    }

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
        if let Some(chunk) = written.after(self.next, self.is_typed) {
            drop(written);
            self.pass(&chunk);
            return Poll::Ready(Some(chunk));
        }
        let slot = &mut written.slots[self.slot];
        if !matches!(slot, ReaderSlot::Waits(waker) if waker.will_wake(cx.waker())) {
            *slot = ReaderSlot::Waits(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What each of `events` has beside its raw text; nothing at all where none of them has anything.
    #[must_use]
    pub fn metadata(&self, events: Range<u32>) -> Vec<EventMetadata> {
        let events = events.start as usize..events.end as usize;
        self.log.lock().metadata.as_ref().map_or_else(Vec::new, |metadata| metadata.of(events))
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<TaskLog> {
        &self.log
    }

    /// All that is there and not yet read, without waiting.
    pub fn try_next(&mut self) -> Option<Chunk> {
        if self.ended {
            return None;
        }
        let chunk = self.log.lock().after(self.next, self.is_typed)?;
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
        self.log.lock().slots[self.slot] = ReaderSlot::Free;
    }
}

#[cfg(test)]
mod tests;

/// Events that a reader is given at a time at most, so that one who comes late to a long answer takes turns.
const CHUNK_EVENTS: usize = 1024;
