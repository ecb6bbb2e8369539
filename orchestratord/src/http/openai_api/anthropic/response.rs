//! How a message is told: whole, and in events.
//!
//! Rules: ORCH-OAI-25

use bytes::BytesMut;
use generation::{ToolCall, ToolCallDelta, Transcript};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::answer::Refused;
use crate::http::openai_api::collect::CollectedOutput;
use crate::http::openai_api::error::AnthropicError;
use crate::http::openai_api::generation_tasks::tool_call_id;
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

    fn message<'t>(&'t self, content: Vec<Block>, stop: Stop<'t>, usage: Usage) -> Message<'t> {
        let Self { model, id } = self;
        let (of, role) = ("message", "assistant");
        Message { id, of, role, model, content, stop, usage }
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
    #[serde(flatten)]
    stop: Stop<'t>,
    usage: Usage,
}

/// Why an answer ended; nothing until it has.
#[derive(Default, Serialize)]
struct Stop<'t> {
    stop_reason: Option<&'static str>,
    /// The stop text that ended it.
    stop_sequence: Option<&'t str>,
}

impl<'t> Stop<'t> {
    /// One that somebody canceled is cut off, as one that reached its limit. `has_calls`: its client is to run tools, be
    /// their arguments whole or not.
    fn of(end: &'t TaskEnd, has_calls: bool) -> Self {
        let reason = |stop_reason| Self { stop_reason: Some(stop_reason), stop_sequence: None };
        match (end.finish, &end.stop_text) {
            (FinishReason::Stop, _) if has_calls => reason("tool_use"),
            (FinishReason::Stop, Some(text)) => {
                Self { stop_reason: Some("stop_sequence"), stop_sequence: Some(text) }
            }
            (FinishReason::Stop, None) => reason("end_turn"),
            (FinishReason::Length | FinishReason::Canceled | FinishReason::Error, _) => reason("max_tokens"),
        }
    }
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
pub(super) fn whole<'t>(meta: &'t ResponseMeta, output: &'t CollectedOutput) -> Message<'t> {
    let CollectedOutput { transcript, end, .. } = output;
    let Transcript { text, reasoning, tool_calls, .. } = transcript;
    let has_text = !text.is_empty() || tool_calls.is_empty() && reasoning.is_empty();
    let reasoning = (!reasoning.is_empty()).then(|| thinking(reasoning.clone()));
    let text = has_text.then(|| Block::Text { text: text.clone() });
    let content = reasoning.into_iter().chain(text).chain(tool_calls.iter().map(called)).collect();
    meta.message(content, Stop::of(end, !tool_calls.is_empty()), Usage::of(end))
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
    has_calls: bool,
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
        Self { meta, open: Open::Nothing, blocks: 0, has_calls: false }
    }

    /// Begins the message, and ends the block that is open.
    fn between_blocks(&mut self, out: &mut BytesMut) {
        match self.open {
            Open::Nothing => {
                let message = self.meta.message(Vec::new(), Stop::default(), Usage::default());
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
            self.has_calls = true;
            let (id, name) = (tool_call_id(start.id), start.name);
            self.begin(out, Open::Call, &Block::ToolUse { id, name, input: Map::new() });
        }
        if self.has_calls && !arguments.is_empty() {
            self.delta(out, &json!({"type": "input_json_delta", "partial_json": arguments}));
        }
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        self.between_blocks(out);
        let delta = Stop::of(end, self.has_calls);
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

#[cfg(test)]
mod tests {
    use orchestrator_core::{Millis, TokenCount};

    use super::*;

    /// ORCH-OAI-25
    #[test]
    fn an_answer_says_which_stop_text_ended_it_unless_there_are_tools_to_run() {
        let end = |finish: FinishReason, stop_text: Option<&str>| TaskEnd {
            tokens_out: TokenCount(1),
            tokens_reasoning: None,
            tokens_in: TokenCount(1),
            tokens_cached: TokenCount(0),
            decode_ms: Millis(1),
            queue_ms: Millis(1),
            finish,
            stop_text: stop_text.map(str::to_owned),
            failure: None,
            extra: None,
        };
        for (finish, text, has_calls, reason, sequence) in [
            (FinishReason::Stop, None, false, "end_turn", None),
            (FinishReason::Stop, Some("STOP"), false, "stop_sequence", Some("STOP")),
            (FinishReason::Stop, Some("STOP"), true, "tool_use", None),
            (FinishReason::Length, None, true, "max_tokens", None),
            (FinishReason::Canceled, None, false, "max_tokens", None),
        ] {
            let end = end(finish, text);
            let told = json!(Stop::of(&end, has_calls));
            assert_eq!(
                told,
                json!({"stop_reason": reason, "stop_sequence": sequence}),
                "{finish:?} {text:?}"
            );
        }
    }
}
