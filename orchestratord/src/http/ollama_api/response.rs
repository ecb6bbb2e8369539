//! How an answer is told: whole, or a line of JSON for each piece. The last line has the reason of the end, counts of
//! tokens and measured times, in nanoseconds as Ollama has them.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-6

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, BytesMut};
use generation::{TokenLogprob, ToolCall, ToolCallDelta};
use http::header::CONTENT_TYPE;
use orchestrator_core::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error;
use crate::clock::Clock;
use crate::http::answer::Refused;
use crate::http::events::ReadingComments;
use crate::http::generate::collect::CollectedOutput;
use crate::http::generate::generation_tasks::tool_call_id;
use crate::http::generate::logprobs::Token;
use crate::http::generate::output::SegmentMetadata;
use crate::http::generate::stream::StreamEncoder;
use crate::http::wall_time::rfc3339_now;
use crate::task_log::{FinishReason, TaskEnd};

/// What all lines of an answer, and a whole one, say alike.
#[derive(Clone, Debug)]
pub(super) struct ResponseMeta {
    /// The model, as the client named it.
    pub(super) model: String,
    pub(super) form: Form,
    pub(super) clock: Clock,
    /// When the request came.
    pub(super) begun: Timestamp,
}

/// The endpoint that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `/api/chat`: a `message`.
    Chat,
    /// `/api/generate`: a `response`.
    Text,
}

/// What is new of an answer, or all of it.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    thinking: String,
    calls: Vec<CallOut>,
    logprobs: Vec<Token>,
}

#[derive(Serialize)]
struct Line<'l> {
    model: &'l str,
    created_at: String,
    #[serde(flatten)]
    payload: Payload,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<Token>,
    done: bool,
    #[serde(flatten)]
    end: Option<End>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload {
    Chat {
        message: MessageOut,
    },
    Text {
        response: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        thinking: String,
    },
}

#[derive(Serialize)]
struct MessageOut {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallOut>,
}

#[derive(Debug, Serialize)]
struct CallOut {
    id: String,
    function: CalledOut,
}

#[derive(Debug, Serialize)]
struct CalledOut {
    index: usize,
    name: String,
    arguments: Map<String, Value>,
}

/// How an answer ended, and what it took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct End {
    done_reason: &'static str,
    #[serde(flatten)]
    figures: Option<Figures>,
}

/// What an answer took. Times add up to the whole but for what passed outside of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    total_duration: u64,
    /// From the admission to the engine: in the queue, and while the model was loaded.
    load_duration: u64,
    prompt_eval_count: u32,
    /// Until the first token.
    prompt_eval_duration: u64,
    eval_count: u32,
    /// From the first token to the last.
    eval_duration: u64,
}

impl Figures {
    /// Of a task that ended now, `total` after its request came.
    fn of(end: &TaskEnd, total: Duration) -> Self {
        let ns = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let decode = ns(end.decode_ms.to_duration());
        Self {
            total_duration: ns(total),
            load_duration: ns(end.queue_ms.to_duration()),
            prompt_eval_count: end.tokens_in.0,
            prompt_eval_duration: ns(end.prompt_time(total)),
            eval_count: end.tokens_out.0,
            // Clients divide by it: one token has no time between the first and the last.
            eval_duration: decode.max(u64::from(end.tokens_out.0 > 0)),
        }
    }

    /// What is told of vectors: nothing was written.
    pub(super) fn of_input(&self) -> (u64, u64, u32) {
        (self.total_duration, self.load_duration, self.prompt_eval_count)
    }
}

impl ResponseMeta {
    /// What a task that ends now took.
    pub(super) fn figures(&self, end: &TaskEnd) -> Figures {
        Figures::of(end, self.clock.now().since(self.begun))
    }

    fn end(&self, end: &TaskEnd) -> End {
        let done_reason = match end.finish {
            FinishReason::Stop => "stop",
            FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "length",
        };
        End { done_reason, figures: Some(self.figures(end)) }
    }

    fn line(&self, piece: Piece, end: Option<End>) -> Line<'_> {
        let Piece { text, thinking, calls, logprobs } = piece;
        let payload = match self.form {
            Form::Chat => {
                let message = MessageOut { role: "assistant", content: text, thinking, tool_calls: calls };
                Payload::Chat { message }
            }
            Form::Text => Payload::Text { response: text, thinking },
        };
        let done = end.is_some();
        Line { model: &self.model, created_at: rfc3339_now(), payload, logprobs, done, end }
    }

    /// The whole answer.
    pub(super) fn whole(&self, output: CollectedOutput) -> impl Serialize + use<'_> {
        let CollectedOutput { transcript, logprobs, end, .. } = output;
        let calls = transcript.tool_calls.into_iter().enumerate();
        let piece = Piece {
            text: transcript.text,
            thinking: transcript.reasoning,
            calls: calls.filter_map(|(index, call)| CallOut::of(index, call)).collect(),
            logprobs: tokens(&logprobs),
        };
        self.line(piece, Some(self.end(&end)))
    }

    /// The answer to a request that only loads a model or lets it go.
    pub(super) fn respond_without_answer(&self, done_reason: &'static str, streams: bool) -> Response {
        let line = self.line(Piece::default(), Some(End { done_reason, figures: None }));
        if !streams {
            return Json(line).into_response();
        }
        let mut out = BytesMut::new();
        put_line(&mut out, &line);
        ([(CONTENT_TYPE, Lines::MEDIA_TYPE)], out.freeze()).into_response()
    }
}

fn tokens(logprobs: &[TokenLogprob]) -> Vec<Token> {
    logprobs.iter().map(Token::from).collect()
}

impl CallOut {
    /// The call, with its arguments as an object. Nothing for one that was cut or is none, which nobody could run.
    fn of(index: usize, call: ToolCall) -> Option<Self> {
        let ToolCall { id, name, arguments } = call;
        let text = if arguments.trim().is_empty() { "{}" } else { &arguments };
        let Ok(arguments) = serde_json::from_str(text) else {
            tracing::info!(tool = name, "left out a tool call whose arguments are no JSON object");
            return None;
        };
        Some(Self { id: tool_call_id(id), function: CalledOut { index, name, arguments } })
    }
}

/// The answer in lines.
pub(super) struct Lines {
    meta: ResponseMeta,
    /// The call that is being written, and how many went before it.
    call: Option<ToolCall>,
    calls: usize,
}

impl Lines {
    /// Of one answer.
    pub(super) fn new(meta: ResponseMeta) -> Self {
        Self { meta, call: None, calls: 0 }
    }

    fn put(&self, out: &mut BytesMut, piece: Piece) {
        put_line(out, &self.meta.line(piece, None));
    }

    /// Tells the call that is written to its end: clients of Ollama get each as a whole.
    fn finish_call(&mut self, out: &mut BytesMut) {
        let Some(call) = self.call.take() else { return };
        if let Some(call) = CallOut::of(self.calls, call) {
            self.put(out, Piece { calls: vec![call], ..Piece::default() });
        }
        self.calls += 1;
    }
}

impl StreamEncoder for Lines {
    const MEDIA_TYPE: &'static str = "application/x-ndjson";

    fn keepalive(&mut self, out: &mut BytesMut) {
        self.put(out, Piece::default());
    }

    fn progress(&mut self, _out: &mut BytesMut, _reading: &mut ReadingComments) {}

    fn text(&mut self, out: &mut BytesMut, _choice: usize, text: &str, metadata: SegmentMetadata) {
        let logprobs = tokens(metadata.logprobs.as_deref().unwrap_or_default());
        self.put(out, Piece { text: text.to_owned(), logprobs, ..Piece::default() });
    }

    fn reasoning(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _metadata: SegmentMetadata) {
        self.put(out, Piece { thinking: text.to_owned(), ..Piece::default() });
    }

    fn tool_call(
        &mut self,
        out: &mut BytesMut,
        _choice: usize,
        delta: ToolCallDelta,
        _metadata: SegmentMetadata,
    ) {
        if let Some(start) = delta.start {
            self.finish_call(out);
            self.call = Some(ToolCall { id: start.id, name: start.name, arguments: String::new() });
        }
        if let Some(call) = &mut self.call {
            call.arguments.push_str(&delta.arguments);
        }
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        self.finish_call(out);
        put_line(out, &self.meta.line(Piece::default(), Some(self.meta.end(end))));
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        put_line(out, &error::body(refused));
    }

    fn done(&mut self, _out: &mut BytesMut) {}
}

/// One line of JSON.
pub(super) fn put_line(out: &mut BytesMut, line: &impl Serialize) {
    serde_json::to_writer(out.writer(), line).expect(GROWS);
    out.put_u8(b'\n');
}

const GROWS: &str = "a buffer in memory takes everything, and lines are plain data";

#[cfg(test)]
mod tests;
