//! Turns the bytes of `/v1/tasks/{id}/stream` into typed events, however the bytes are cut. The format is
//! that of WHATWG HTML, section 9.2.6: lines end with LF, CR or CRLF, a line that begins with `:` is a
//! comment, an empty line ends an event.
//!
//! ```text
//! bytes ─► Parser: lines ─► fields ─► Event      Events: bytes of a response ─► Parser, until `end`
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use api_types::{EndEvent, StartedEvent, TokenEvent};
use bytes::Bytes;
use futures_core::Stream;

/// The most bytes one event may take: far more than a vector of any model, and a bound on what a stranger's
/// endless line can make the reader hold.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// One event of a task's stream. There are these three.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Where the task stands.
    Started(StartedEvent),
    /// A stretch of the answer.
    Token(TokenEvent),
    /// The last word.
    End(EndEvent),
}

/// Why a stream could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection broke. The task goes on; its stream can be read on after the last token seen.
    #[error("the connection broke")]
    Connection(#[source] reqwest::Error),
    /// The bytes ended before the event `end` did. The task goes on, as after a broken connection.
    #[error("the stream stopped before its `end`")]
    Cut,
    /// An event of another name.
    #[error("`{0}` is not an event of a task")]
    Unknown(String),
    /// The data of an event is not what belongs to its name.
    #[error("the data of event `{event}` cannot be read")]
    Data {
        /// The event's name.
        event: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An event larger than [`MAX_EVENT_BYTES`].
    #[error("an event takes more than {MAX_EVENT_BYTES} bytes")]
    TooLarge,
}

impl StreamError {
    /// Whether reading the stream again, after the last token seen, can help.
    #[must_use]
    pub const fn is_connection(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Cut)
    }
}

/// Reads events out of bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Whether the last byte was a CR, so that an LF after it belongs to the same line end.
    after_cr: bool,
    /// Whether a line has been read: only the first may begin with a byte order mark.
    begun: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    ready: VecDeque<Result<Event, StreamError>>,
}

impl Parser {
    /// Reads on. Every event that is whole can be taken with [`pop`](Self::pop) afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() + self.data.len() < MAX_EVENT_BYTES => self.line.push(byte),
                _ => {
                    self.line.clear();
                    self.data.clear();
                    self.ready.push_back(Err(StreamError::TooLarge));
                }
            }
        }
    }

    /// Takes the next event that has been read whole.
    pub fn pop(&mut self) -> Option<Result<Event, StreamError>> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let begun = std::mem::replace(&mut self.begun, true);
        let line = if begun { &line[..] } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) };
        if line.is_empty() {
            return self.end_event();
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => self.name = value.to_vec(),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            // A comment, an `id` (which the data of a token repeats), or a field of no meaning here.
            _ => {}
        }
    }

    fn end_event(&mut self) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        // Without data there is no event, whatever its name: so says the format.
        if let Some((b'\n', data)) = data.split_last() {
            self.ready.push_back(event(&name, data));
        }
    }
}

fn event(name: &[u8], data: &[u8]) -> Result<Event, StreamError> {
    fn read<T: serde::de::DeserializeOwned>(event: &'static str, data: &[u8]) -> Result<T, StreamError> {
        serde_json::from_slice(data).map_err(|source| StreamError::Data { event, source })
    }
    match name {
        b"started" => read("started", data).map(Event::Started),
        b"token" => read("token", data).map(Event::Token),
        b"end" => read("end", data).map(Event::End),
        other => Err(StreamError::Unknown(String::from_utf8_lossy(other).into_owned())),
    }
}

/// The bytes of a response's body as they come.
type ByteChunks = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send + Sync>>;

/// The events of one task, read off a response. Ends after the event `end`, or after one error.
pub struct Events {
    bytes: ByteChunks,
    parser: Parser,
    last_event_id: Option<u64>,
    over: bool,
}

impl Events {
    /// Reads events off `bytes`; the caller has those up to `last_event_id` already.
    #[must_use]
    pub fn new(bytes: ByteChunks, last_event_id: Option<u64>) -> Self {
        Self { bytes, parser: Parser::default(), last_event_id, over: false }
    }

    /// The index of the last token seen: what to come back with after a broken connection.
    #[must_use]
    pub const fn last_event_id(&self) -> Option<u64> {
        self.last_event_id
    }

    /// Waits for the next event; nothing after the last.
    pub async fn next(&mut self) -> Option<Result<Event, StreamError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn seen(&mut self, item: &Result<Event, StreamError>) {
        match item {
            Ok(Event::Started(_)) => {}
            Ok(Event::Token(token)) => self.last_event_id = Some(token.i),
            Ok(Event::End(_)) | Err(_) => self.over = true,
        }
    }
}

impl Stream for Events {
    type Item = Result<Event, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let item = match self.parser.pop() {
                Some(item) => item,
                None => match std::task::ready!(self.bytes.as_mut().poll_next(cx)) {
                    Some(Ok(bytes)) => {
                        self.parser.push(&bytes);
                        continue;
                    }
                    Some(Err(error)) => Err(StreamError::Connection(error)),
                    None => Err(StreamError::Cut),
                },
            };
            self.seen(&item);
            return Poll::Ready(Some(item));
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("last_event_id", &self.last_event_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
