//! How a message is told: whole, and in events.

use bytes::BytesMut;
use generation::{CallEvent, ToolCall};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::answer::Refused;
use crate::http::openai::refusal::AnthropicError;
use crate::http::openai::relay::{self, Speaker};
use crate::http::openai::running::{More, Whole, call_id};
use crate::task_log::{FinishReason, TaskEnd};

/// What all events of an answer, and a whole one, say alike.
pub(super) struct Telling {
    model: String,
    id: String,
}

impl Telling {
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
    /// Nobody signs thoughts here.
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
pub(super) fn whole<'t>(telling: &'t Telling, whole: &Whole) -> Message<'t> {
    let text = whole.text();
    let thought = (!whole.thoughts.is_empty()).then(|| thinking(whole.thoughts.clone()));
    let there = !text.is_empty() || whole.calls.is_empty() && whole.thoughts.is_empty();
    let text = there.then_some(Block::Text { text });
    let content = thought.into_iter().chain(text).chain(whole.calls.iter().map(called)).collect();
    let reason = stop_reason(!whole.calls.is_empty(), &whole.end);
    telling.message(content, Some((reason, Usage::of(&whole.end))))
}

fn thinking(thinking: String) -> Block {
    Block::Thinking { thinking, signature: "" }
}

/// A call as a block. Arguments that were cut off are no object, and are told as the text they are.
fn called(call: &ToolCall) -> Block {
    match serde_json::from_str(&call.arguments) {
        Ok(input) => Block::ToolUse { id: call.id.clone(), name: call.name.clone(), input },
        Err(_) => Block::Text { text: call.arguments.clone() },
    }
}

/// The answer in events.
pub(super) struct Events {
    telling: Telling,
    open: Open,
    /// Blocks so far.
    blocks: u32,
    calls: bool,
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
    pub(super) fn new(telling: Telling) -> Self {
        Self { telling, open: Open::Nothing, blocks: 0, calls: false }
    }

    /// Begins the message, and ends the block that is open.
    fn between_blocks(&mut self, out: &mut BytesMut) {
        match self.open {
            Open::Nothing => {
                let message = self.telling.message(Vec::new(), None);
                relay::event(out, "message_start", &json!({"type": "message_start", "message": message}));
            }
            Open::Message => {}
            Open::Thinking | Open::Text | Open::Call => {
                if self.open == Open::Thinking {
                    // Clients wait for it, and keep it with what was thought.
                    self.delta(out, &json!({"type": "signature_delta", "signature": ""}));
                }
                let index = self.blocks - 1;
                let stop = json!({"type": "content_block_stop", "index": index});
                relay::event(out, "content_block_stop", &stop);
            }
        }
        self.open = Open::Message;
    }

    fn begin(&mut self, out: &mut BytesMut, open: Open, block: &Block) {
        self.between_blocks(out);
        let start = json!({"type": "content_block_start", "index": self.blocks, "content_block": block});
        relay::event(out, "content_block_start", &start);
        self.blocks += 1;
        self.open = open;
    }

    fn delta(&self, out: &mut BytesMut, delta: &Value) {
        let delta = json!({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta});
        relay::event(out, "content_block_delta", &delta);
    }
}

impl Speaker for Events {
    fn text(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _more: More) {
        if self.open != Open::Text {
            self.begin(out, Open::Text, &Block::Text { text: String::new() });
        }
        self.delta(out, &json!({"type": "text_delta", "text": text}));
    }

    fn thought(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _more: More) {
        if self.open != Open::Thinking {
            self.begin(out, Open::Thinking, &thinking(String::new()));
        }
        self.delta(out, &json!({"type": "thinking_delta", "thinking": text}));
    }

    fn call(&mut self, out: &mut BytesMut, _choice: usize, event: CallEvent, _more: More) {
        match event {
            CallEvent::Start { id, name, .. } => {
                self.calls = true;
                self.begin(out, Open::Call, &Block::ToolUse { id: call_id(id), name, input: Map::new() });
            }
            CallEvent::Arguments { text, .. } => {
                self.delta(out, &json!({"type": "input_json_delta", "partial_json": text}));
            }
            CallEvent::End { .. } => {}
        }
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        self.between_blocks(out);
        let delta = json!({"stop_reason": stop_reason(self.calls, end), "stop_sequence": null});
        let delta = json!({"type": "message_delta", "delta": delta, "usage": Usage::of(end)});
        relay::event(out, "message_delta", &delta);
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        relay::event(out, "error", &AnthropicError::of(refused));
    }

    fn done(&mut self, out: &mut BytesMut) {
        relay::event(out, "message_stop", &json!({"type": "message_stop"}));
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
