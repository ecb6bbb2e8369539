//! How a chat completion is told: whole, and in chunks.

use bytes::BytesMut;
use generation::{ExtraFields, ToolCall, ToolCallDelta};
use orchestrator_core::TaskId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::answer::Refused;
use crate::http::openai_api::collect::CollectedOutput;
use crate::http::openai_api::custom_input::{CustomInput, custom_input};
use crate::http::openai_api::error::Envelope;
use crate::http::openai_api::generation_params::ResponseOptions;
use crate::http::openai_api::generation_tasks::{is_complete, tool_call_id};
use crate::http::openai_api::logprobs::ChatLogprobs;
use crate::http::openai_api::offered_tools::ToolNames;
use crate::http::openai_api::output::SegmentMetadata;
use crate::http::openai_api::stream::{self, Framed, StreamEncoder};
use crate::http::openai_api::unix_now;
use crate::http::openai_api::usage::Usage;
use crate::task_log::{FinishReason, TaskEnd};

/// What all chunks of an answer, and a whole one, say alike.
pub(super) struct ResponseMeta {
    pub(super) options: ResponseOptions,
    tool_names: ToolNames,
    id: String,
    created: u64,
}

impl ResponseMeta {
    /// The answer that begins with `first`.
    pub(super) fn new(options: ResponseOptions, tool_names: ToolNames, first: TaskId) -> Self {
        Self { options, tool_names, id: format!("chatcmpl-{first}"), created: unix_now() }
    }

    /// A chunk with a part of one of the answers; with none, the last.
    fn chunk(&self, out: &mut BytesMut, part: Option<Part<'_>>, usage: Option<Usage>) {
        let extra = part.as_ref().and_then(|part| part.extra);
        let choice = part.map(|part| {
            let Part { index, delta, logprobs, finish_reason, extra } = part;
            let delta = Delta { extra: extra.map(|extra| &extra.delta), ..delta };
            ChunkChoice { index, delta, logprobs, finish_reason, extra: extra.map(|extra| &extra.choice) }
        });
        let chunk = Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.options.model,
            service_tier: self.options.lane.tier(),
            choices: choice.as_slice(),
            usage: self.options.include_usage.then_some(usage),
            extra: extra.map(|extra| &extra.chunk),
        };
        stream::data(out, &chunk);
    }
}

/// What is new of an answer.
#[derive(Default)]
struct Part<'p> {
    index: usize,
    delta: Delta<'p>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    extra: Option<&'p ExtraFields>,
}

impl<'p> Part<'p> {
    fn text(index: usize, text: &'p str, extra: Option<&'p ExtraFields>) -> Self {
        let delta = Delta { content: Some(text), ..Delta::default() };
        Self { index, delta, extra, ..Self::default() }
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
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Choice<'t> {
    index: usize,
    message: Message<'t>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: &'static str,
    #[serde(flatten)]
    extra: &'t Map<String, Value>,
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
    extra: &'t Map<String, Value>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Call {
    Function { id: String, function: Called },
    Custom { id: String, custom: CalledCustom },
}

#[derive(Serialize)]
struct Called {
    name: String,
    arguments: String,
}

#[derive(Serialize)]
struct CalledCustom {
    name: String,
    input: String,
}

/// The whole answer.
pub(super) fn whole<'t>(meta: &'t ResponseMeta, outputs: &'t [CollectedOutput]) -> Completion<'t> {
    let choice = |(index, output): (usize, &'t CollectedOutput)| Choice {
        index,
        message: message(&meta.tool_names, output),
        logprobs: meta.options.logprobs.map(|_| ChatLogprobs::from(output.logprobs.as_slice())),
        finish_reason: finish_reason_with(
            output.transcript.tool_calls.last().is_some_and(|call| is_complete(&call.arguments)),
            &output.end,
        ),
        extra: &output.extra.choice,
    };
    Completion {
        id: &meta.id,
        object: "chat.completion",
        created: meta.created,
        model: &meta.options.model,
        service_tier: meta.options.lane.tier(),
        choices: outputs.iter().enumerate().map(choice).collect(),
        usage: Usage::of_one_prompt(outputs.iter().map(|output| &output.end)),
        extra: outputs.iter().flat_map(|output| output.extra.chunk.clone()).collect(),
    }
}

fn message<'t>(tool_names: &ToolNames, output: &'t CollectedOutput) -> Message<'t> {
    let call = |call: &ToolCall| {
        let ToolCall { id, name, arguments } = call.clone();
        match tool_names.is_custom(&name) {
            true => Call::Custom { id, custom: CalledCustom { name, input: custom_input(&arguments) } },
            false => Call::Function { id, function: Called { name, arguments } },
        }
    };
    let text = output.transcript.text.clone();
    let nothing_but_calls = text.is_empty() && !output.transcript.tool_calls.is_empty();
    Message {
        role: "assistant",
        content: (!nothing_but_calls).then_some(text),
        reasoning_content: &output.transcript.reasoning,
        refusal: (),
        tool_calls: output.transcript.tool_calls.iter().map(call).collect(),
        extra: &output.extra.delta,
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
    extra: Option<&'c Map<String, Value>>,
}

#[derive(Serialize)]
struct ChunkChoice<'c> {
    index: usize,
    delta: Delta<'c>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(flatten)]
    extra: Option<&'c Map<String, Value>>,
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
    extra: Option<&'c Map<String, Value>>,
}

#[derive(Serialize)]
struct CallDelta {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    called: CalledDelta,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum CalledDelta {
    Function {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        arguments: String,
    },
    Custom {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        input: String,
    },
}

/// The answer in chunks.
pub(super) struct Chunks {
    meta: ResponseMeta,
    choices: Vec<State>,
    /// Of each answer, its last call so far.
    last_calls: Vec<LastCall>,
    /// Of each answer's tokens.
    frames: Vec<Framed>,
    usage: Usage,
}

/// The call that an answer makes.
#[derive(Clone, Default)]
struct LastCall {
    index: u32,
    arguments: String,
    /// What it says of its input, where it is one of a custom tool.
    custom: Option<CustomInput>,
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
    pub(super) fn new(meta: ResponseMeta, choices: usize) -> Self {
        let frames = (0..choices).map(|_| Framed::default()).collect();
        Self {
            meta,
            choices: vec![State::Nothing; choices],
            last_calls: vec![LastCall::default(); choices],
            frames,
            usage: Usage::default(),
        }
    }

    /// The first chunk of an answer says who speaks.
    fn role_once(&mut self, out: &mut BytesMut, index: usize) {
        if self.choices[index] == State::Nothing {
            self.choices[index] = State::Role;
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            self.meta.chunk(out, Some(Part { index, delta, ..Part::default() }), None);
        }
    }

    /// Tells what is missing of the input of a custom tool, where that is what the answer last called.
    fn finish_input(&mut self, out: &mut BytesMut, choice: usize) {
        let last = &mut self.last_calls[choice];
        let Some(custom) = last.custom.take() else { return };
        let (input, _) = custom.finish();
        if !input.is_empty() {
            let called = CalledDelta::Custom { name: None, input };
            let call = CallDelta { index: last.index, id: None, kind: None, called };
            let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
            self.meta.chunk(out, Some(Part { index: choice, delta, ..Part::default() }), None);
        }
    }
}

impl StreamEncoder for Chunks {
    fn text(&mut self, out: &mut BytesMut, index: usize, text: &str, metadata: SegmentMetadata) {
        self.role_once(out, index);
        let Self { meta, frames, .. } = self;
        match metadata.logprobs {
            Some(logprobs) => {
                let logprobs = meta.options.logprobs.map(|_| ChatLogprobs::from(logprobs.as_slice()));
                meta.chunk(
                    out,
                    Some(Part { logprobs, ..Part::text(index, text, metadata.extra.as_deref()) }),
                    None,
                );
            }
            None => frames[index].put(out, text, metadata.extra, |out, text, extra| {
                meta.chunk(out, Some(Part::text(index, text, extra)), None);
            }),
        }
    }

    fn reasoning(&mut self, out: &mut BytesMut, index: usize, text: &str, metadata: SegmentMetadata) {
        self.role_once(out, index);
        let delta = Delta { reasoning_content: Some(text), ..Delta::default() };
        let part = Part { index, delta, extra: metadata.extra.as_deref(), ..Part::default() };
        self.meta.chunk(out, Some(part), None);
    }

    fn tool_call(
        &mut self,
        out: &mut BytesMut,
        choice: usize,
        delta: ToolCallDelta,
        metadata: SegmentMetadata,
    ) {
        self.role_once(out, choice);
        let ToolCallDelta { index, start, arguments } = delta;
        self.choices[choice] = State::Call;
        if let Some(start) = &start {
            self.finish_input(out, choice);
            let custom = self.meta.tool_names.is_custom(&start.name).then(CustomInput::default);
            self.last_calls[choice] = LastCall { index, custom, arguments: String::new() };
        }
        let last = &mut self.last_calls[choice];
        last.arguments.push_str(&arguments);
        let (id, name) = start.map(|start| (tool_call_id(start.id), start.name)).unzip();
        let (kind, called) = match &mut last.custom {
            None => ("function", CalledDelta::Function { name, arguments }),
            Some(custom) => {
                let input = custom.push(&arguments);
                if name.is_none() && input.is_empty() {
                    return;
                }
                ("custom", CalledDelta::Custom { name, input })
            }
        };
        let call = CallDelta { index, kind: id.as_ref().map(|_| kind), id, called };
        let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
        let extra = metadata.extra.as_deref();
        self.meta.chunk(out, Some(Part { index: choice, delta, extra, ..Part::default() }), None);
    }

    fn end(&mut self, out: &mut BytesMut, index: usize, end: &TaskEnd) {
        self.role_once(out, index);
        self.finish_input(out, index);
        self.usage.add_choice(end);
        let finish_reason = Some(finish_reason_with(
            self.choices[index] == State::Call && is_complete(&self.last_calls[index].arguments),
            end,
        ));
        let part = Part { index, finish_reason, extra: end.extra.as_deref(), ..Part::default() };
        self.meta.chunk(out, Some(part), None);
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        stream::data(out, &Envelope::of(refused));
        stream::done(out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.meta.options.include_usage {
            self.meta.chunk(out, None, Some(self.usage));
        }
        stream::done(out);
    }
}

/// Why an answer ended that may have called tools.
fn finish_reason_with(calls: bool, end: &TaskEnd) -> &'static str {
    if calls && end.finish == FinishReason::Stop { "tool_calls" } else { finish_reason(end) }
}

/// Why an answer ended. One that somebody canceled is cut off, as one that reached its limit.
pub(in crate::http::openai_api) fn finish_reason(end: &TaskEnd) -> &'static str {
    match end.finish {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "length",
    }
}
