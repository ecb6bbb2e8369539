//! How a chat completion is told: whole, and in chunks.

use adapter_api::{TokenLogprob, ToolCall};
use bytes::BytesMut;
use orchestrator_core::TaskId;
use serde::Serialize;
use tool_calls::ToolEvent;

use crate::http::answer::Refused;
use crate::http::openai::logprobs::ChatLogprobs;
use crate::http::openai::refusal::Envelope;
use crate::http::openai::relay::{self, Frame, Speaker};
use crate::http::openai::running::{Whole, call_id};
use crate::http::openai::shared::Style;
use crate::http::openai::unix_now;
use crate::http::openai::usage::Usage;
use crate::task_log::{FinishReason, TaskEnd};

/// What all chunks of an answer, and a whole one, say alike.
pub(super) struct Telling {
    pub(super) style: Style,
    id: String,
    created: u64,
}

impl Telling {
    /// The answer that begins with `first`.
    pub(super) fn new(style: Style, first: TaskId) -> Self {
        Self { style, id: format!("chatcmpl-{first}"), created: unix_now() }
    }
}

#[derive(Serialize)]
pub(super) struct Completion<'t> {
    id: &'t str,
    object: &'static str,
    created: u64,
    model: &'t str,
    service_tier: &'static str,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    message: Message,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
}

#[derive(Serialize)]
struct Call {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Called,
}

#[derive(Serialize)]
struct Called {
    name: String,
    arguments: String,
}

/// The whole answer.
pub(super) fn whole<'t>(telling: &'t Telling, wholes: &[Whole]) -> Completion<'t> {
    let choice = |(index, whole): (usize, &Whole)| Choice {
        index,
        message: message(whole),
        logprobs: telling.style.logprobs.map(|_| ChatLogprobs::from(whole.logprobs.as_slice())),
        finish_reason: finish_reason_with(!whole.calls.is_empty(), &whole.end),
    };
    Completion {
        id: &telling.id,
        object: "chat.completion",
        created: telling.created,
        model: &telling.style.model,
        service_tier: telling.style.lane.tier(),
        choices: wholes.iter().enumerate().map(choice).collect(),
        usage: Usage::of_one_prompt(wholes.iter().map(|whole| &whole.end)),
    }
}

fn message(whole: &Whole) -> Message {
    let call = |call: &ToolCall| Call {
        id: call.id.clone(),
        kind: "function",
        function: Called { name: call.name.clone(), arguments: call.arguments.clone() },
    };
    let text = whole.text();
    let nothing_but_calls = text.is_empty() && !whole.calls.is_empty();
    Message {
        role: "assistant",
        content: (!nothing_but_calls).then_some(text),
        refusal: (),
        tool_calls: whole.calls.iter().map(call).collect(),
    }
}

#[derive(Serialize)]
struct Chunk<'c> {
    id: &'c str,
    object: &'static str,
    created: u64,
    model: &'c str,
    service_tier: &'static str,
    choices: &'c [ChunkChoice<'c>],
    /// There where the client asked for it: nothing until the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'c> {
    index: usize,
    delta: Delta<'c>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'c>; 1]>,
}

#[derive(Serialize)]
struct CallDelta<'c> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: CalledDelta<'c>,
}

#[derive(Serialize)]
struct CalledDelta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'c str>,
    arguments: &'c str,
}

/// The answer in chunks.
pub(super) struct Chunks {
    telling: Telling,
    choices: Vec<State>,
    /// Of each answer's tokens, once it has said one.
    frames: Vec<Option<Frame>>,
    usage: Usage,
}

/// What of an answer has been said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    Role,
    /// That, and that a tool is called.
    Call,
}

impl Chunks {
    /// Of `choices` answers.
    pub(super) fn new(telling: Telling, choices: usize) -> Self {
        let frames = (0..choices).map(|_| None).collect();
        Self { telling, choices: vec![State::Nothing; choices], frames, usage: Usage::default() }
    }

    fn chunk(&self, out: &mut BytesMut, choices: &[ChunkChoice<'_>], usage: Option<Usage>) {
        let Telling { style, id, created } = &self.telling;
        let chunk = Chunk {
            id,
            object: "chat.completion.chunk",
            created: *created,
            model: &style.model,
            service_tier: style.lane.tier(),
            choices,
            usage: style.include_usage.then_some(usage),
        };
        relay::data(out, &chunk);
    }

    fn delta(&self, out: &mut BytesMut, index: usize, delta: Delta<'_>, finish_reason: Option<&'static str>) {
        self.chunk(out, &[ChunkChoice { index, delta, logprobs: None, finish_reason }], None);
    }

    /// The first chunk of an answer says who speaks.
    fn role_once(&mut self, out: &mut BytesMut, choice: usize) {
        if self.choices[choice] == State::Nothing {
            self.choices[choice] = State::Role;
            self.delta(
                out,
                choice,
                Delta { role: Some("assistant"), content: Some(""), ..Delta::default() },
                None,
            );
        }
    }
}

impl Speaker for Chunks {
    fn text(&mut self, out: &mut BytesMut, choice: usize, text: &str) {
        self.role_once(out, choice);
        if self.frames[choice].is_none() {
            self.frames[choice] = Some(Frame::of(|out, text| {
                self.delta(out, choice, Delta { content: Some(text), ..Delta::default() }, None);
            }));
        }
        if let Some(frame) = &self.frames[choice] {
            frame.put(out, text);
        }
    }

    fn told(&mut self, out: &mut BytesMut, index: usize, text: &str, logprobs: Vec<TokenLogprob>) {
        self.role_once(out, index);
        let delta = Delta { content: Some(text), ..Delta::default() };
        let logprobs = self.telling.style.logprobs.map(|_| ChatLogprobs::from(logprobs.as_slice()));
        self.chunk(out, &[ChunkChoice { index, delta, logprobs, finish_reason: None }], None);
    }

    fn call(&mut self, out: &mut BytesMut, choice: usize, event: ToolEvent) {
        self.role_once(out, choice);
        self.choices[choice] = State::Call;
        let (index, id, name, arguments) = match &event {
            ToolEvent::Start { index, id, name } => {
                (*index, Some(id.clone().unwrap_or_else(call_id)), Some(name.as_str()), "")
            }
            ToolEvent::Arguments { index, text } => (*index, None, None, text.as_str()),
            ToolEvent::Content(_) | ToolEvent::End { .. } => return,
        };
        let kind = id.as_ref().map(|_| "function");
        let call = CallDelta { index, id, kind, function: CalledDelta { name, arguments } };
        self.delta(out, choice, Delta { tool_calls: Some([call]), ..Delta::default() }, None);
    }

    fn end(&mut self, out: &mut BytesMut, choice: usize, end: &TaskEnd) {
        self.role_once(out, choice);
        self.usage.add_choice(end);
        let reason = finish_reason_with(self.choices[choice] == State::Call, end);
        self.delta(out, choice, Delta::default(), Some(reason));
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        relay::data(out, &Envelope::of(refused));
        relay::done(out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.telling.style.include_usage {
            self.chunk(out, &[], Some(self.usage));
        }
        relay::done(out);
    }
}

/// Why an answer ended that may have called tools.
fn finish_reason_with(calls: bool, end: &TaskEnd) -> &'static str {
    if calls && end.finish == FinishReason::Stop { "tool_calls" } else { finish_reason(end) }
}

/// Why an answer ended. One that somebody canceled is cut off, as one that reached its limit.
pub(in crate::http::openai) fn finish_reason(end: &TaskEnd) -> &'static str {
    match end.finish {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "length",
    }
}
