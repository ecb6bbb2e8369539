//! The events of a streamed completion: `choices[0].delta.content` of a conversation, `choices[0].text` of a
//! prompt, the reason of the end, the usage, `[DONE]`.
//!
//! Rules: ORCH-ENG-5, ORCH-ENG-13, ORCH-ENG-15

use std::borrow::Cow;
use std::fmt;

use engine_http::{Answer, DONE, Ending, Event, Fault, Last, UNKNOWN_TOKEN, message_of};
use generation::{GenerateRequest, ToolCallDelta, ToolCallStart};
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

mod extra;
mod logprobs;

use logprobs::Logprobs;
pub use logprobs::WeighedToken;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "first")]
    choices: Option<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Code>,
    #[serde(borrow, default)]
    object: Option<Text<'a>>,
    /// How much of the prompt `llama-server` has read.
    #[serde(default)]
    prompt_progress: Option<IgnoredAny>,
}

/// Borrowed where it has no escapes; serde borrows a `Cow` only where it stands by itself.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    /// The stop text or stop token that ended the answer, as vLLM has it.
    #[serde(borrow, default)]
    stop_reason: Option<StopReason<'a>>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StopReason<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Token(IgnoredAny),
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
}

/// The beginning of a call, or more of its arguments.
#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Default, Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Text<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

/// An error's code, which may be a number, a name or not there at all.
#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Numbered { code: u16 },
    Other(IgnoredAny),
}

/// The first of a list without a list.
fn first<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Choice<'a>>, D::Error> {
    struct First<'a>(std::marker::PhantomData<&'a ()>);
    impl<'de: 'a, 'a> Visitor<'de> for First<'a> {
        type Value = Option<Choice<'a>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of choices")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
            let first = list.next_element()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    from.deserialize_any(First(std::marker::PhantomData))
}

/// Reads a streamed completion of the OpenAI API.
#[derive(Debug, Default)]
pub struct OpenAiAnswer {
    /// How many alternatives to each token are wanted with its probability.
    logprobs: Option<u8>,
    /// Whether fields that are not known here are wanted.
    include_extra: bool,
    ending: Option<Ending>,
    last: Last,
    /// Calls that have begun.
    calls: u32,
    /// What the server calls the last of them.
    call_id: String,
}

impl Answer for OpenAiAnswer {
    const REPEATS: bool = true;

    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        if event.trim_ascii() == DONE {
            return Ok(Event { last: Some(self.told()), ..Event::default() });
        }
        let chunk: Chunk<'a> = serde_json::from_slice(event).map_err(|error| {
            Fault::Protocol(format!("an event of the stream is not JSON of a completion: {error}"))
        })?;
        let is_error = chunk.object.is_some_and(|object| object.0 == "error");
        if chunk.error.is_some() || is_error {
            return Err(fault(event, chunk.error));
        }
        if let Some(usage) = chunk.usage {
            self.last.tokens_in = usage.prompt_tokens.map(TokenCount);
            self.last.tokens_out = usage.completion_tokens.map(TokenCount);
            self.last.tokens_cached =
                usage.prompt_tokens_details.and_then(|details| details.cached_tokens).map(TokenCount);
            let details = usage.completion_tokens_details;
            // Servers that count none write 0.
            let reasoning = details.and_then(|details| details.reasoning_tokens).filter(|tokens| *tokens > 0);
            self.last.tokens_reasoning = reasoning.map(TokenCount);
        }
        let extra = if self.include_extra { extra::fields(event) } else { None };
        let reads_prompt = chunk.prompt_progress.is_some();
        let Some(choice) = chunk.choices else {
            return Ok(Event { extra, reads_prompt, ..Event::default() });
        };
        let finish = choice.finish_reason.as_ref().map(|reason| reason.0.as_ref());
        if let Some(reason) = finish {
            self.ending = Some(ending(reason)?);
        }
        if let Some(StopReason::Text(text)) = choice.stop_reason {
            self.last.stop_text = Some(text.into_owned());
        }
        let (text, reasoning, deltas) = match choice.delta {
            Some(delta) => (delta.content, delta.reasoning_content.or(delta.reasoning), delta.tool_calls),
            None => (choice.text, None, None),
        };
        let (text, reasoning) = (text.unwrap_or_default().0, reasoning.unwrap_or_default().0);
        let deltas = deltas.unwrap_or_default().into_iter();
        let tool_calls: Vec<_> = deltas.filter_map(|delta| self.tool_call(delta)).collect();
        let logprobs = match (self.logprobs, choice.logprobs) {
            (Some(most), Some(logprobs)) => logprobs.told(most),
            _ => Vec::new(),
        };
        // A token may come without text, as the first part of a character.
        let has_output = !(text.is_empty() && reasoning.is_empty() && tool_calls.is_empty());
        let tokens = vec![UNKNOWN_TOKEN; logprobs.len().max(usize::from(has_output))];
        Ok(Event { reasoning, text, tool_calls, tokens, logprobs, extra, reads_prompt, last: None })
    }

    fn at_end(&mut self) -> Option<Last> {
        self.ending.map(|_| self.told())
    }
}

impl OpenAiAnswer {
    /// Reads the answer to `job`.
    #[must_use]
    pub fn to(job: &GenerateRequest) -> Self {
        Self { logprobs: job.logprobs, include_extra: job.include_extra, ..Self::default() }
    }

    fn told(&self) -> Last {
        Last { ending: self.ending.unwrap_or(Ending::Unsaid), ..self.last.clone() }
    }

    /// What a delta says of a call. The first one of a call has its name; some servers number each call 0.
    fn tool_call(&mut self, delta: CallDelta<'_>) -> Option<ToolCallDelta> {
        let FunctionDelta { name, arguments } = delta.function.unwrap_or_default();
        let (name, id) = (name.unwrap_or_default().0, delta.id.unwrap_or_default().0);
        let another = delta.index.is_none_or(|index| index >= self.calls);
        let begins = !name.is_empty() && (another || !id.is_empty() && id != self.call_id);
        let start = begins.then(|| {
            self.calls += 1;
            self.call_id = id.clone().into_owned();
            ToolCallStart { id: id.into_owned(), name: name.into_owned() }
        });
        let index = self.calls.checked_sub(1)?;
        let arguments = arguments.unwrap_or_default().0.into_owned();
        (start.is_some() || !arguments.is_empty()).then_some(ToolCallDelta { index, start, arguments })
    }
}

fn ending(reason: &str) -> Result<Ending, Fault> {
    match reason {
        "length" => Ok(Ending::Length),
        "abort" | "error" => Err(Fault::Failed(format!("the engine ended the answer with `{reason}`"))),
        _ => Ok(Ending::Stop),
    }
}

fn fault(event: &[u8], code: Option<Code>) -> Fault {
    let said = message_of(event).unwrap_or_default();
    match code {
        Some(Code::Numbered { code: 400 | 422 }) => {
            Fault::Refused(format!("the engine refuses the task: {said}"))
        }
        Some(Code::Numbered { .. } | Code::Other(_)) | None => {
            Fault::Failed(format!("the engine reports an error: {said}"))
        }
    }
}

#[cfg(test)]
mod tests;
