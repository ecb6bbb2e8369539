//! A task's log as server-sent events. The hot path of the daemon: everything that is ready becomes one
//! piece of the body, hence one write, from one buffer that is used again, in the connection's own task.
//!
//! Rules: ORCH-SHAPE-6, ORCH-STREAM-1, ORCH-STREAM-2, ORCH-STREAM-4, ORCH-STREAM-5, ORCH-STREAM-7,
//! ORCH-STREAM-9, ORCH-STREAM-10, HOME-API-6

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api_types::{OutputPart, ToolCallPart};
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use engine_api::EngineKind;
use futures_util::stream::poll_fn;
use generation::{OutputEvent, ToolCallDelta};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};

use super::answer;
use super::streams::StreamPermit;
use crate::handle::{QueuePosition, Subscription};
use crate::task_log::{Chunk, LogReader, Parsed, PromptProgress, TaskLog};

/// What the buffer begins with: room for some tokens of usual size.
const BUFFER_BYTES: usize = 1024;

/// The most bytes of a piece, give or take a chunk of the log: a reader that comes late to a long answer gets it in
/// several, between which others have their turn.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Keeps an idle connection open; readers of events skip it.
pub(super) const PING: &[u8] = b": ping\n\n";

/// What a stream last told of the prompt that is read, in comments as [`PING`] is one. A client that shows it finds the
/// figures in `: prompt 2048/7491`.
#[derive(Debug)]
pub(super) struct ReadingComments {
    log: Arc<TaskLog>,
    told: Option<PromptProgress>,
}

impl ReadingComments {
    /// About the task of this log.
    pub(super) fn of(log: &Arc<TaskLog>) -> Self {
        Self { log: Arc::clone(log), told: None }
    }

    /// Writes how much is read where that is news. The log wakes its readers then.
    pub(super) fn write(&mut self, buffer: &mut BytesMut) {
        let reading = self.log.reading();
        if reading != self.told
            && let Some(PromptProgress { read, of }) = reading
        {
            write!(buffer, ": prompt {}/{}\n\n", read.0, of.0).expect(GROWS);
            self.told = reading;
        }
    }
}

/// One reader's stream.
pub(super) struct Relay {
    reader: LogReader,
    reading: ReadingComments,
    /// The engine of the task's pool, for the error it may end with.
    engine: EngineKind,
    /// What the first event says, until it has been said.
    position: Option<QueuePosition>,
    buffer: BytesMut,
    /// Ticks twice in the time that may pass in silence, so that a tick after a silent tick is soon enough:
    /// a timer set anew for every token would cost more than the token.
    ticks: Interval,
    spoke: bool,
    _permit: StreamPermit,
}

impl Relay {
    /// A stream that holds `place` for as long as it is read.
    pub(super) fn new(subscription: Subscription, keepalive: Duration, permit: StreamPermit) -> Self {
        let Subscription { position, engine, reader, .. } = subscription;
        let mut ticks = tokio::time::interval((keepalive / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let buffer = BytesMut::with_capacity(BUFFER_BYTES);
        let reading = ReadingComments::of(reader.log());
        Self {
            reader,
            reading,
            engine,
            position: Some(position),
            buffer,
            ticks,
            spoke: false,
            _permit: permit,
        }
    }

    /// The stream as the body of a response.
    pub(super) fn into_body(mut self) -> Body {
        Body::from_stream(poll_fn(move |cx| self.poll_next(cx).map(|piece| piece.map(Ok::<_, Infallible>))))
    }

    /// All that is ready, waiting until something is. Nothing after the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(position) = self.position.take() {
            started(&mut self.buffer, position);
        }
        let is_over = loop {
            if self.buffer.len() >= PIECE_BYTES {
                break false;
            }
            match self.reader.poll_next(cx) {
                Poll::Ready(Some(chunk)) => self.write(chunk),
                Poll::Ready(None) => break true,
                Poll::Pending => break false,
            }
        };
        while self.buffer.is_empty() {
            if is_over {
                return Poll::Ready(None);
            }
            self.reading.write(&mut self.buffer);
            if !self.buffer.is_empty() {
                break;
            }
            ready!(self.ticks.poll_tick(cx));
            if !std::mem::take(&mut self.spoke) {
                self.buffer.put_slice(PING);
            }
        }
        self.spoke = true;
        Poll::Ready(Some(self.buffer.split().freeze()))
    }

    fn write(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Tokens { first, texts } => {
                let after = first.saturating_add(u32::try_from(texts.len()).unwrap_or(u32::MAX));
                let mut metadata = self.reader.metadata(first..after).into_iter();
                for (i, text) in (first..after).zip(texts) {
                    let parsed = metadata.next().map(|metadata| metadata.parsed).unwrap_or_default();
                    match output_parts(parsed, &text) {
                        Some(parts) => parsed_token(&mut self.buffer, i, &text, &parts),
                        None => token(&mut self.buffer, i, &text),
                    }
                }
            }
            Chunk::End(end) => event(&mut self.buffer, "end", &answer::end_event(&end, self.engine)),
        }
    }
}

fn token(buffer: &mut BytesMut, i: u32, text: &str) {
    write!(buffer, "event: token\nid: {i}\ndata: {{\"t\":").expect(GROWS);
    serde_json::to_writer(buffer.writer(), text).expect(GROWS);
    write!(buffer, ",\"i\":{i}}}\n\n").expect(GROWS);
}

/// A token whose text is more than text of the answer.
fn parsed_token(buffer: &mut BytesMut, i: u32, text: &str, parts: &[OutputPart]) {
    write!(buffer, "event: token\nid: {i}\ndata: {{\"t\":").expect(GROWS);
    serde_json::to_writer(buffer.writer(), text).expect(GROWS);
    write!(buffer, ",\"i\":{i},\"output\":").expect(GROWS);
    serde_json::to_writer(buffer.writer(), parts).expect(GROWS);
    buffer.put_slice(b"}\n\n");
}

/// The parts on the wire; nothing for vectors and scores, which `t` holds.
fn output_parts(parsed: Parsed, text: &str) -> Option<Vec<OutputPart>> {
    if parsed == Parsed::Text {
        return None;
    }
    let part = |event: &OutputEvent| {
        let none = OutputPart { text: None, reasoning: None, tool_call: None };
        match event {
            OutputEvent::Text(text) => Some(OutputPart { text: Some(text.clone()), ..none }),
            OutputEvent::Reasoning(text) => Some(OutputPart { reasoning: Some(text.clone()), ..none }),
            OutputEvent::ToolCall(ToolCallDelta { index, start, arguments }) => {
                let name = start.as_ref().map(|start| start.name.clone());
                let call = ToolCallPart { index: *index, name, arguments: arguments.clone() };
                Some(OutputPart { tool_call: Some(call), ..none })
            }
            OutputEvent::Embedding(_) | OutputEvent::Score(_) => None,
        }
    };
    parsed.into_events(text.to_owned()).iter().map(part).collect()
}

fn started(buffer: &mut BytesMut, position: QueuePosition) {
    event(buffer, "started", &answer::started_event(position));
}

fn event(buffer: &mut BytesMut, name: &str, data: &impl Serialize) {
    write!(buffer, "event: {name}\ndata: ").expect(GROWS);
    serde_json::to_writer(buffer.writer(), data).expect(GROWS);
    buffer.put_slice(b"\n\n");
}

const GROWS: &str = "a buffer in memory takes everything, and events are plain data";

#[cfg(test)]
mod tests;
