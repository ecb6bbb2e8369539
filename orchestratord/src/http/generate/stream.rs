//! The tasks of one request as a stream, in the words of the endpoint: server-sent events, unless its encoder has
//! another form. As with the streams of tasks, all that is ready becomes one piece of the body, hence one write.
//!
//! Rules: ORCH-SHAPE-6, ORCH-STREAM-10, ORCH-OAI-8

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::poll_fn;
use generation::{ExtraFields, OutputEvent, ToolCallDelta};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};

use super::generation_tasks::Generation;
use super::output::{OutputSegment, SegmentMetadata, Update};
use crate::backpressure::Refusal;
use crate::http::Api;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::data::X_ACCEL_BUFFERING;
use crate::http::events::{PIECE_BYTES, PING, ReadingComments};
use crate::http::streams::StreamPermit;
use crate::task_log::TaskEnd;

/// What the buffer begins with: room for some tokens of usual size.
const BUFFER_BYTES: usize = 2048;

/// Encodes output as the events of one endpoint.
pub(in crate::http) trait StreamEncoder: Send + 'static {
    /// The media type of what it writes.
    const MEDIA_TYPE: &'static str = "text/event-stream";

    /// What keeps an idle connection open, and says nothing.
    fn keepalive(&mut self, out: &mut BytesMut) {
        out.put_slice(PING);
    }

    /// How much of the prompt is read, where the form has comments for it.
    fn progress(&mut self, out: &mut BytesMut, reading: &mut ReadingComments) {
        reading.write(out);
    }

    /// Text of the answer `choice`.
    fn text(&mut self, out: &mut BytesMut, choice: usize, text: &str, metadata: SegmentMetadata);

    /// Reasoning of the answer `choice`, at endpoints for chats.
    fn reasoning(&mut self, _out: &mut BytesMut, _choice: usize, _text: &str, _metadata: SegmentMetadata) {}

    /// More of a tool call of the answer `choice`, at endpoints that take tools.
    fn tool_call(
        &mut self,
        _out: &mut BytesMut,
        _choice: usize,
        _delta: ToolCallDelta,
        _metadata: SegmentMetadata,
    ) {
    }

    /// The end of the answer `choice`.
    fn end(&mut self, out: &mut BytesMut, choice: usize, end: &TaskEnd);

    /// A failure, after which nothing else comes.
    fn failure(&mut self, out: &mut BytesMut, refused: &Refused);

    /// The end of all answers.
    fn done(&mut self, out: &mut BytesMut);
}

/// One of the streams that may be open.
pub(in crate::http) struct OpenStream {
    keepalive: Duration,
    _permit: StreamPermit,
}

impl OpenStream {
    /// Takes one.
    ///
    /// # Errors
    /// [`Refusal::TooManyStreams`] where there is none.
    pub(in crate::http) fn take(api: &Api) -> Result<Self, Refusal> {
        let permit = api.open_stream()?;
        Ok(Self { keepalive: api.settings().keepalive, _permit: permit })
    }
}

struct EventStream<S> {
    generation: Generation,
    reading: ReadingComments,
    _place: OpenStream,
    encoder: S,
    buffer: BytesMut,
    /// Ticks twice in the time that may pass in silence, as those of the streams of tasks.
    ticks: Interval,
    spoke: bool,
    over: bool,
}

/// The answer that tells what `generation` says, through `encoder`.
pub(in crate::http) fn stream<S: StreamEncoder>(
    generation: Generation,
    encoder: S,
    permit: OpenStream,
) -> Response {
    let mut ticks = tokio::time::interval((permit.keepalive / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let about = About(generation.first());
    let buffer = BytesMut::with_capacity(BUFFER_BYTES);
    let reading = ReadingComments::of(generation.log());
    let mut events = EventStream {
        generation,
        reading,
        _place: permit,
        encoder,
        buffer,
        ticks,
        spoke: false,
        over: false,
    };
    let pieces = poll_fn(move |cx| events.poll_next(cx).map(|piece| piece.map(Ok::<_, Infallible>)));
    let body = Body::from_stream(pieces);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(S::MEDIA_TYPE)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    let mut response = (headers, body).into_response();
    response.extensions_mut().insert(about);
    response
}

impl<S: StreamEncoder> EventStream<S> {
    /// All that is ready, waiting until something is. Nothing after the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.over
            && self.buffer.len() < PIECE_BYTES
            && let Poll::Ready(update) = self.generation.poll_next(cx)
        {
            self.encode(update);
        }
        while self.buffer.is_empty() {
            if self.over {
                return Poll::Ready(None);
            }
            self.encoder.progress(&mut self.buffer, &mut self.reading);
            if !self.buffer.is_empty() {
                break;
            }
            ready!(self.ticks.poll_tick(cx));
            if !std::mem::take(&mut self.spoke) {
                self.encoder.keepalive(&mut self.buffer);
            }
        }
        self.spoke = true;
        Poll::Ready(Some(self.buffer.split().freeze()))
    }

    fn encode(&mut self, update: Option<(usize, Update)>) {
        let (out, encoder) = (&mut self.buffer, &mut self.encoder);
        match update {
            Some((choice, Update::Texts(texts))) => {
                for text in texts {
                    encoder.text(out, choice, &text, SegmentMetadata::default());
                }
            }
            Some((choice, Update::Segments(segments))) => {
                for OutputSegment { event, metadata } in segments {
                    match event {
                        OutputEvent::Text(text) => encoder.text(out, choice, &text, metadata),
                        OutputEvent::Reasoning(text) => encoder.reasoning(out, choice, &text, metadata),
                        OutputEvent::ToolCall(delta) => encoder.tool_call(out, choice, delta, metadata),
                        // Endpoints that return vectors or scores do not stream.
                        OutputEvent::Embedding(_) | OutputEvent::Score(_) => {}
                    }
                }
            }
            Some((choice, Update::End(end))) => encoder.end(out, choice, &end),
            Some((_, Update::Failed(refused))) => {
                encoder.failure(out, &refused);
                self.over = true;
            }
            None => {
                encoder.done(out);
                self.over = true;
            }
        }
    }
}

/// The event of a token, made once for all tokens that differ in nothing but their text.
struct Frame {
    before: Box<[u8]>,
    behind: Box<[u8]>,
}

/// Stands for the text while a frame is made: no character, by Unicode's own word.
const MARK: &str = "\"\u{FFFF}\"";

impl Frame {
    /// Of the event that `event` makes of a text; nothing, where somebody chose words for it that look like the text.
    fn of(event: impl FnOnce(&mut BytesMut, &str)) -> Option<Self> {
        let mut whole = BytesMut::with_capacity(BUFFER_BYTES);
        event(&mut whole, MARK.trim_matches('"'));
        let mut marks =
            whole.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK.as_bytes());
        let (at, _) = marks.next().filter(|_| marks.next().is_none())?;
        let (before, rest) = whole.split_at(at);
        Some(Self { before: before.into(), behind: rest[MARK.len()..].into() })
    }

    /// The event of `text`.
    fn put(&self, out: &mut BytesMut, text: &str) {
        // A text with escapes takes more, and gets it.
        out.reserve(self.before.len() + text.len() + MARK.len() + self.behind.len());
        out.put_slice(&self.before);
        serde_json::to_writer(out.writer(), text).expect(GROWS);
        out.put_slice(&self.behind);
    }
}

/// The frame of an answer's latest tokens, and what the engine says around them in fields of its own.
#[derive(Default)]
pub(in crate::http) struct Framed {
    frame: Option<Frame>,
    extra: Option<Arc<ExtraFields>>,
}

impl Framed {
    /// Puts the event of `text` behind `out`, which is the one that `event` makes of it.
    pub(in crate::http) fn put(
        &mut self,
        out: &mut BytesMut,
        text: &str,
        extra: Option<Arc<ExtraFields>>,
        event: impl Fn(&mut BytesMut, &str, Option<&ExtraFields>),
    ) {
        let is_same = self.extra.as_ref().map(Arc::as_ptr) == extra.as_ref().map(Arc::as_ptr);
        if self.frame.is_none() || !is_same {
            self.frame = Frame::of(|out, text| event(out, text, extra.as_deref()));
            self.extra = extra;
        }
        match &self.frame {
            Some(frame) => frame.put(out, text),
            None => event(out, text, self.extra.as_deref()),
        }
    }
}

/// One event without a name.
pub(in crate::http) fn data(out: &mut BytesMut, data: &impl Serialize) {
    out.put_slice(b"data: ");
    serde_json::to_writer(out.writer(), data).expect(GROWS);
    out.put_slice(b"\n\n");
}

/// One event with a name.
pub(in crate::http) fn event(out: &mut BytesMut, name: &str, event: &impl Serialize) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\n");
    data(out, event);
}

/// The last event of OpenAI's own streams.
pub(in crate::http) fn done(out: &mut BytesMut) {
    out.put_slice(b"data: [DONE]\n\n");
}

const GROWS: &str = "a buffer in memory takes everything, and events are plain data";
