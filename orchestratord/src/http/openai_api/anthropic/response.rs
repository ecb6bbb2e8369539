//! How a message is told: whole, and in events.

use bytes::BytesMut;
use generation::{ToolCall, ToolCallDelta, Transcript};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::answer::Refused;
use crate::http::openai_api::collect::CollectedOutput;
use crate::http::openai_api::error::AnthropicError;
use crate::http::openai_api::generation_tasks::{is_complete, tool_call_id};
use crate::http::openai_api::output::SegmentMetadata;
use crate::http::openai_api::stream::{self, StreamEncoder};
use crate::task_log::{FinishReason, TaskEnd};

/// What all events of an answer, and a whole one, say alike.
pub(super) struct ResponseMeta {
    model: String,
    id: String,
}

impl ResponseMeta {
    /// The answer that is `task`.
    pub(super) fn new(model: String, task: TaskId) -> Self {
        Self { model, id: format!("msg_{task}") }
    }

    fn message<'t>(&'t self, content: Vec<Block>, ended: Option<(&'static str, Usage)>) -> Message<'t> {
        let (stop_reason, usage) = ended.unzip();
        let usage = usage.unwrap_or_default();
        let Self { model, id } = self;
        let (of, role) = ("message", "assistant");
        Message { id, of, role, model, content, stop_reason, stop_sequence: (), usage }
    }
}

#[derive(Serialize)]
pub(super) struct Message<'t> {
    id: &'t str,
    #[serde(rename = "type")]
    of: &'static str,
    role: &'static str,
    model: &'t str,
    content: Vec<Block>,
    stop_reason: Option<&'static str>,
    /// Which stop text was met is not told by engines.
    stop_sequence: (),
    usage: Usage,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    /// Reasoning is not signed here.
    Thinking {
        thinking: String,
        signature: &'static str,
    },
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
    },
}

#[derive(Clone, Copy, Default, Serialize)]
struct Usage {
    /// Those that were not in the cache.
    input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
}

impl Usage {
    fn of(end: &TaskEnd) -> Self {
        let TaskEnd { tokens_in, tokens_cached, tokens_out, .. } = end;
        let input_tokens = tokens_in.0.saturating_sub(tokens_cached.0);
        Self { input_tokens, cache_read_input_tokens: tokens_cached.0, output_tokens: tokens_out.0 }
    }
}

/// The whole answer.
pub(super) fn whole<'t>(meta: &'t ResponseMeta, output: &CollectedOutput) -> Message<'t> {
    let CollectedOutput { transcript, end, .. } = output;
    let Transcript { text, reasoning, tool_calls, .. } = transcript;
    let has_text = !text.is_empty() || tool_calls.is_empty() && reasoning.is_empty();
    let reasoning = (!reasoning.is_empty()).then(|| thinking(reasoning.clone()));
    let text = has_text.then(|| Block::Text { text: text.clone() });
    let content = reasoning.into_iter().chain(text).chain(tool_calls.iter().map(called)).collect();
    let has_calls = tool_calls.last().is_some_and(|call| is_complete(&call.arguments));
    meta.message(content, Some((stop_reason(has_calls, end), Usage::of(end))))
}

fn thinking(thinking: String) -> Block {
    Block::Thinking { thinking, signature: "" }
}

/// A call as a block. Arguments that were cut off are no object: the block has none then, and the stop reason says why.
fn called(call: &ToolCall) -> Block {
    let input = serde_json::from_str(&call.arguments).unwrap_or_default();
    Block::ToolUse { id: call.id.clone(), name: call.name.clone(), input }
}

/// The answer in events.
pub(super) struct Events {
    meta: ResponseMeta,
    open: Open,
    /// Blocks so far.
    blocks: u32,
    /// The arguments of the last call so far.
    last_call: Option<String>,
}

/// What has been begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Message,
    Thinking,
    Text,
    Call,
}

impl Events {
    /// Of one answer.
    pub(super) fn new(meta: ResponseMeta) -> Self {
        Self { meta, open: Open::Nothing, blocks: 0, last_call: None }
    }

    /// Begins the message, and ends the block that is open.
    fn between_blocks(&mut self, out: &mut BytesMut) {
        match self.open {
            Open::Nothing => {
                let message = self.meta.message(Vec::new(), None);
                stream::event(out, "message_start", &json!({"type": "message_start", "message": message}));
            }
            Open::Message => {}
            Open::Thinking | Open::Text | Open::Call => {
                if self.open == Open::Thinking {
                    // Clients wait for it, and keep it with the thinking.
                    self.delta(out, &json!({"type": "signature_delta", "signature": ""}));
                }
                let index = self.blocks - 1;
                let stop = json!({"type": "content_block_stop", "index": index});
                stream::event(out, "content_block_stop", &stop);
            }
        }
        self.open = Open::Message;
    }

    fn begin(&mut self, out: &mut BytesMut, open: Open, block: &Block) {
        self.between_blocks(out);
        let start = json!({"type": "content_block_start", "index": self.blocks, "content_block": block});
        stream::event(out, "content_block_start", &start);
        self.blocks += 1;
        self.open = open;
    }

    fn delta(&self, out: &mut BytesMut, delta: &Value) {
        let delta = json!({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta});
        stream::event(out, "content_block_delta", &delta);
    }
}

impl StreamEncoder for Events {
    fn text(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _metadata: SegmentMetadata) {
        if self.open != Open::Text {
            self.begin(out, Open::Text, &Block::Text { text: String::new() });
        }
        self.delta(out, &json!({"type": "text_delta", "text": text}));
    }

    fn reasoning(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _metadata: SegmentMetadata) {
        if self.open != Open::Thinking {
            self.begin(out, Open::Thinking, &thinking(String::new()));
        }
        self.delta(out, &json!({"type": "thinking_delta", "thinking": text}));
    }

    fn tool_call(
        &mut self,
        out: &mut BytesMut,
        _choice: usize,
        delta: ToolCallDelta,
        _metadata: SegmentMetadata,
    ) {
        let ToolCallDelta { start, arguments, .. } = delta;
        if let Some(start) = start {
            self.last_call = Some(String::new());
            let (id, name) = (tool_call_id(start.id), start.name);
            self.begin(out, Open::Call, &Block::ToolUse { id, name, input: Map::new() });
        }
        if let Some(last) = self.last_call.as_mut().filter(|_| !arguments.is_empty()) {
            last.push_str(&arguments);
            self.delta(out, &json!({"type": "input_json_delta", "partial_json": arguments}));
        }
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        self.between_blocks(out);
        let delta = json!({"stop_reason": stop_reason(self.last_call.as_deref().is_some_and(is_complete), end), "stop_sequence": null});
        let delta = json!({"type": "message_delta", "delta": delta, "usage": Usage::of(end)});
        stream::event(out, "message_delta", &delta);
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        stream::event(out, "error", &AnthropicError::of(refused));
    }

    fn done(&mut self, out: &mut BytesMut) {
        stream::event(out, "message_stop", &json!({"type": "message_stop"}));
    }
}

/// Why an answer ended. One that somebody canceled is cut off, as one that reached its limit.
fn stop_reason(calls: bool, end: &TaskEnd) -> &'static str {
    match end.finish {
        FinishReason::Stop if calls => "tool_use",
        FinishReason::Stop => "end_turn",
        FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "max_tokens",
    }
}
