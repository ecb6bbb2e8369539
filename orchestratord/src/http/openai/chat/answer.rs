//! How a chat completion is told: whole, and in chunks.

use bytes::BytesMut;
use generation::{CallEvent, OwnAnswer, ToolCall};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::answer::Refused;
use crate::http::openai::logprobs::ChatLogprobs;
use crate::http::openai::refusal::Envelope;
use crate::http::openai::relay::{self, Framed, Speaker};
use crate::http::openai::running::{More, Whole, call_id};
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

    /// A chunk with a part of one of the answers; with none, the last.
    fn chunk(&self, out: &mut BytesMut, part: Option<Part<'_>>, usage: Option<Usage>) {
        let own = part.as_ref().and_then(|part| part.own);
        let choice = part.map(|part| {
            let Part { index, delta, logprobs, finish_reason, own } = part;
            let delta = Delta { own: own.map(|own| &own.delta), ..delta };
            ChunkChoice { index, delta, logprobs, finish_reason, own: own.map(|own| &own.choice) }
        });
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.style.model,
            service_tier: self.style.lane.tier(),
            choices: choice.as_slice(),
            usage: self.style.include_usage.then_some(usage),
            own: own.map(|own| &own.chunk),
        };
        relay::data(out, &chunk);
    }
}

/// What is new of an answer.
#[derive(Default)]
struct Part<'p> {
    index: usize,
    delta: Delta<'p>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    own: Option<&'p OwnAnswer>,
}

impl<'p> Part<'p> {
    fn text(index: usize, text: &'p str, own: Option<&'p OwnAnswer>) -> Self {
        let delta = Delta { content: Some(text), ..Delta::default() };
        Self { index, delta, own, ..Self::default() }
    }
}

#[derive(Serialize)]
pub(super) struct Completion<'t> {
    id: &'t str,
    object: &'static str,
    created: u64,
    model: &'t str,
    service_tier: &'static str,
    choices: Vec<Choice<'t>>,
    usage: Usage,
    /// The engine's own.
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Serialize)]
struct Choice<'t> {
    index: usize,
    message: Message<'t>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
    #[serde(flatten)]
    own: &'t Map<String, Value>,
}

#[derive(Serialize)]
struct Message<'t> {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'t str,
    refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(flatten)]
    own: &'t Map<String, Value>,
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
pub(super) fn whole<'t>(telling: &'t Telling, wholes: &'t [Whole]) -> Completion<'t> {
    let choice = |(index, whole): (usize, &'t Whole)| Choice {
        index,
        message: message(whole),
        logprobs: telling.style.logprobs.map(|_| ChatLogprobs::from(whole.logprobs.as_slice())),
        finish_reason: finish_reason_with(!whole.calls.is_empty(), &whole.end),
        own: &whole.own.choice,
    };
    Completion {
        id: &telling.id,
        object: "chat.completion",
        created: telling.created,
        model: &telling.style.model,
        service_tier: telling.style.lane.tier(),
        choices: wholes.iter().enumerate().map(choice).collect(),
        usage: Usage::of_one_prompt(wholes.iter().map(|whole| &whole.end)),
        own: wholes.iter().flat_map(|whole| whole.own.chunk.clone()).collect(),
    }
}

fn message(whole: &Whole) -> Message<'_> {
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
        reasoning_content: &whole.thoughts,
        refusal: (),
        tool_calls: whole.calls.iter().map(call).collect(),
        own: &whole.own.delta,
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
    /// The engine's own.
    #[serde(flatten)]
    own: Option<&'c Map<String, Value>>,
}

#[derive(Serialize)]
struct ChunkChoice<'c> {
    index: usize,
    delta: Delta<'c>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(flatten)]
    own: Option<&'c Map<String, Value>>,
}

#[derive(Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta; 1]>,
    #[serde(flatten)]
    own: Option<&'c Map<String, Value>>,
}

#[derive(Serialize)]
struct CallDelta {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: CalledDelta,
}

#[derive(Serialize)]
struct CalledDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

/// The answer in chunks.
pub(super) struct Chunks {
    telling: Telling,
    choices: Vec<State>,
    /// Of each answer's tokens.
    frames: Vec<Framed>,
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
        let frames = (0..choices).map(|_| Framed::default()).collect();
        Self { telling, choices: vec![State::Nothing; choices], frames, usage: Usage::default() }
    }

    /// The first chunk of an answer says who speaks.
    fn role_once(&mut self, out: &mut BytesMut, index: usize) {
        if self.choices[index] == State::Nothing {
            self.choices[index] = State::Role;
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            self.telling.chunk(out, Some(Part { index, delta, ..Part::default() }), None);
        }
    }
}

impl Speaker for Chunks {
    fn text(&mut self, out: &mut BytesMut, index: usize, text: &str, more: More) {
        self.role_once(out, index);
        let Self { telling, frames, .. } = self;
        match more.logprobs {
            Some(logprobs) => {
                let logprobs = telling.style.logprobs.map(|_| ChatLogprobs::from(logprobs.as_slice()));
                telling.chunk(
                    out,
                    Some(Part { logprobs, ..Part::text(index, text, more.own.as_deref()) }),
                    None,
                );
            }
            None => frames[index].put(out, text, more.own, |out, text, own| {
                telling.chunk(out, Some(Part::text(index, text, own)), None);
            }),
        }
    }

    fn thought(&mut self, out: &mut BytesMut, index: usize, text: &str, more: More) {
        self.role_once(out, index);
        let delta = Delta { reasoning_content: Some(text), ..Delta::default() };
        let part = Part { index, delta, own: more.own.as_deref(), ..Part::default() };
        self.telling.chunk(out, Some(part), None);
    }

    fn call(&mut self, out: &mut BytesMut, choice: usize, event: CallEvent, more: More) {
        self.role_once(out, choice);
        self.choices[choice] = State::Call;
        let (index, id, name, arguments) = match event {
            CallEvent::Start { index, id, name } => (index, Some(call_id(id)), Some(name), String::new()),
            CallEvent::Arguments { index, text } => (index, None, None, text),
            CallEvent::End { .. } => return,
        };
        let own = more.own.as_deref();
        let kind = id.as_ref().map(|_| "function");
        let call = CallDelta { index, id, kind, function: CalledDelta { name, arguments } };
        let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
        self.telling.chunk(out, Some(Part { index: choice, delta, own, ..Part::default() }), None);
    }

    fn end(&mut self, out: &mut BytesMut, index: usize, end: &TaskEnd) {
        self.role_once(out, index);
        self.usage.add_choice(end);
        let finish_reason = Some(finish_reason_with(self.choices[index] == State::Call, end));
        let part = Part { index, finish_reason, own: end.own.as_deref(), ..Part::default() };
        self.telling.chunk(out, Some(part), None);
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        relay::data(out, &Envelope::of(refused));
        relay::done(out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.telling.style.include_usage {
            self.telling.chunk(out, None, Some(self.usage));
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
