//! The events of a streamed completion: `choices[0].delta.content` of a conversation, `choices[0].text` of a
//! prompt, the reason of the end, the usage, `[DONE]`.

use std::borrow::Cow;
use std::fmt;

use engine_http::{Answer, DONE, Ending, Event, Fault, Last, UNKNOWN_TOKEN, message_of};
use generation::{CallEvent, Job, THOUGHTS_BEGIN, THOUGHTS_END};
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

mod logprobs;
mod own;

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
    #[serde(default)]
    logprobs: Option<Logprobs>,
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
    prompt_tokens_details: Option<Details>,
}

#[derive(Clone, Copy, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
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
    tells_own: bool,
    ending: Option<Ending>,
    last: Last,
    thinking: bool,
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
            Fault::Nonsense(format!("an event of the stream is not JSON of a completion: {error}"))
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
        }
        let own = if self.tells_own { own::fields(event) } else { None };
        let reads_prompt = chunk.prompt_progress.is_some();
        let Some(choice) = chunk.choices else { return Ok(Event { own, reads_prompt, ..Event::default() }) };
        let finish = choice.finish_reason.as_ref().map(|reason| reason.0.as_ref());
        if let Some(reason) = finish {
            self.ending = Some(ending(reason)?);
        }
        let (text, thoughts, deltas) = match choice.delta {
            Some(delta) => (delta.content, delta.reasoning_content.or(delta.reasoning), delta.tool_calls),
            None => (choice.text, None, None),
        };
        let deltas = deltas.unwrap_or_default();
        let text = self.joined(text.unwrap_or_default().0, thoughts.unwrap_or_default().0);
        let text = if deltas.is_empty() { text } else { self.thought_out(text) };
        let logprobs = match (self.logprobs, choice.logprobs) {
            (Some(most), Some(logprobs)) => logprobs.told(most),
            _ => Vec::new(),
        };
        // A token may come without text, as the first part of a character.
        let tokens = vec![UNKNOWN_TOKEN; logprobs.len().max(usize::from(!text.is_empty()))];
        let mut calls = Vec::new();
        deltas.into_iter().for_each(|delta| self.called(delta, &mut calls));
        Ok(Event { text, tokens, logprobs, own, calls, reads_prompt, last: None })
    }

    fn at_end(&mut self) -> Option<Last> {
        self.ending.map(|_| self.told())
    }
}

impl OpenAiAnswer {
    /// Reads the answer to `job`.
    #[must_use]
    pub fn to(job: &Job) -> Self {
        Self { logprobs: job.logprobs, tells_own: job.tells_own, ..Self::default() }
    }

    fn told(&self) -> Last {
        Last { ending: self.ending.unwrap_or(Ending::Unsaid), ..self.last }
    }

    /// What a delta says of a call. The first one of a call has its name; some servers number each call 0.
    fn called(&mut self, delta: CallDelta<'_>, calls: &mut Vec<CallEvent>) {
        let FunctionDelta { name, arguments } = delta.function.unwrap_or_default();
        let (name, id) = (name.unwrap_or_default().0, delta.id.unwrap_or_default().0);
        let another = delta.index.is_none_or(|index| index >= self.calls);
        if !name.is_empty() && (another || !id.is_empty() && id != self.call_id) {
            let (index, id) = (self.calls, id.into_owned());
            self.calls += 1;
            self.call_id.clone_from(&id);
            calls.push(CallEvent::Start { index, id, name: name.into_owned() });
        }
        let text = arguments.unwrap_or_default().0;
        if let Some(last) = self.calls.checked_sub(1)
            && !text.is_empty()
        {
            calls.push(CallEvent::Arguments { index: last, text: text.into_owned() });
        }
    }

    /// `text`, behind which thoughts that were open are not any more.
    fn thought_out<'a>(&mut self, text: Cow<'a, str>) -> Cow<'a, str> {
        if std::mem::take(&mut self.thinking) { Cow::Owned(format!("{text}{THOUGHTS_END}")) } else { text }
    }

    /// Thoughts and text of one event as one text.
    fn joined<'a>(&mut self, text: Cow<'a, str>, thoughts: Cow<'a, str>) -> Cow<'a, str> {
        let (was, is) = (self.thinking, !thoughts.is_empty());
        let ends = (was || is) && !text.is_empty();
        self.thinking = (was || is) && !ends;
        match (was, is, ends) {
            (false, false, _) | (true, false, false) => text,
            (true, true, false) => thoughts,
            (false, true, false) => Cow::Owned(format!("{THOUGHTS_BEGIN}{thoughts}")),
            (true, _, true) => Cow::Owned(format!("{thoughts}{THOUGHTS_END}{text}")),
            (false, true, true) => Cow::Owned(format!("{THOUGHTS_BEGIN}{thoughts}{THOUGHTS_END}{text}")),
        }
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
