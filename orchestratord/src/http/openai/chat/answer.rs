//! How a chat completion is told: whole, and in chunks.

use bytes::BytesMut;
use orchestrator_core::TaskId;
use serde::Serialize;

use crate::http::answer::Refused;
use crate::http::openai::refusal::Envelope;
use crate::http::openai::relay::{self, Speaker};
use crate::http::openai::running::Whole;
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
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
    refusal: (),
}

/// The whole answer.
pub(super) fn whole<'t>(telling: &'t Telling, wholes: &[Whole]) -> Completion<'t> {
    let choice = |(index, whole): (usize, &Whole)| Choice {
        index,
        message: Message { role: "assistant", content: whole.text(), refusal: () },
        logprobs: (),
        finish_reason: finish_reason(&whole.end),
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
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'c str>,
}

/// The answer in chunks.
pub(super) struct Chunks {
    telling: Telling,
    choices: Vec<State>,
    usage: Usage,
}

/// What of an answer has been said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Nothing,
    Role,
}

impl Chunks {
    /// Of `choices` answers.
    pub(super) fn new(telling: Telling, choices: usize) -> Self {
        Self { telling, choices: vec![State::Nothing; choices], usage: Usage::default() }
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
        self.chunk(out, &[ChunkChoice { index, delta, logprobs: (), finish_reason }], None);
    }

    /// The first chunk of an answer says who speaks.
    fn role_once(&mut self, out: &mut BytesMut, choice: usize) {
        if self.choices[choice] == State::Nothing {
            self.choices[choice] = State::Role;
            self.delta(out, choice, Delta { role: Some("assistant"), content: Some("") }, None);
        }
    }
}

impl Speaker for Chunks {
    fn text(&mut self, out: &mut BytesMut, choice: usize, text: &str) {
        self.role_once(out, choice);
        self.delta(out, choice, Delta { role: None, content: Some(text) }, None);
    }

    fn end(&mut self, out: &mut BytesMut, choice: usize, end: &TaskEnd) {
        self.role_once(out, choice);
        self.usage.add_choice(end);
        self.delta(out, choice, Delta::default(), Some(finish_reason(end)));
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

/// Why an answer ended. One that somebody canceled is cut off, as one that reached its limit.
pub(in crate::http::openai) fn finish_reason(end: &TaskEnd) -> &'static str {
    match end.finish {
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Canceled | FinishReason::Error => "length",
    }
}
