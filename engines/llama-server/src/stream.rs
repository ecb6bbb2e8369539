//! The events of `POST /completion`: `content` with its `tokens`, and a last one with `stop`. Those of
//! `POST /v1/chat/completions` are read as everybody's.
//!
//! Rules: ORCH-ENG-5

use std::borrow::Cow;
use std::sync::Arc;

use generation::{ExtraFields, GenerateRequest};

use engine_http::{Answer, Ending, Event, Fault, Last, message_of};
use engine_openai::{OpenAiAnswer, WeighedToken};
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::sessions::Stay;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    content: Cow<'a, str>,
    #[serde(default)]
    tokens: Vec<i32>,
    /// How much of the prompt is read; an event with it has no token, whatever `tokens` says.
    #[serde(default)]
    prompt_progress: Option<IgnoredAny>,
    #[serde(default)]
    id_slot: Option<i32>,
    #[serde(default)]
    stop: bool,
    #[serde(borrow, default)]
    stop_type: Cow<'a, str>,
    #[serde(borrow, default)]
    stopping_word: Cow<'a, str>,
    #[serde(default)]
    tokens_predicted: Option<u32>,
    #[serde(default)]
    tokens_evaluated: Option<u32>,
    /// Tokens the slot holds at the end.
    #[serde(default)]
    tokens_cached: Option<u32>,
    #[serde(default)]
    timings: Option<Timings>,
    #[serde(default)]
    completion_probabilities: Vec<WeighedToken>,
    #[serde(default)]
    error: Option<Code>,
}

#[derive(Clone, Copy, Deserialize)]
struct Timings {
    /// Prompt tokens found in the cache.
    #[serde(default)]
    cache_n: Option<u32>,
}

/// The field of the last event that `/v1/chat/completions` would add to an answer as well.
#[derive(Deserialize)]
struct Timed {
    timings: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Numbered { code: u16 },
    Other(IgnoredAny),
}

/// Reads a streamed completion of `llama-server`.
#[derive(Debug)]
pub(crate) enum LlamaAnswer {
    /// Of `/completion`.
    Completion(Completion),
    /// Of `/v1/chat/completions`; the task stays at the server meanwhile.
    Chat { answer: OpenAiAnswer, _stay: Stay },
}

#[derive(Debug)]
pub(crate) struct Completion {
    stay: Stay,
    /// How many alternatives to each token are wanted with its probability.
    logprobs: Option<u8>,
    /// Whether fields that only this server knows are wanted.
    include_extra: bool,
    /// Whether the prompt ends within reasoning.
    prefilled: bool,
}

impl LlamaAnswer {
    /// Of the answer to `job` from `/completion`, which begins within reasoning where `prefilled`.
    pub(crate) fn of_completion(stay: Stay, job: &GenerateRequest, prefilled: bool) -> Self {
        let (logprobs, include_extra) = (job.logprobs, job.include_extra);
        Self::Completion(Completion { stay, logprobs, include_extra, prefilled })
    }
}

impl Answer for LlamaAnswer {
    /// Every event of a completion has another token and another count in it.
    const REPEATS: bool = false;

    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        match self {
            Self::Completion(completion) => completion.read(event),
            Self::Chat { answer, .. } => answer.read(event),
        }
    }

    fn is_reasoning_prefilled(&self) -> bool {
        matches!(self, Self::Completion(completion) if completion.prefilled)
    }

    fn at_end(&mut self) -> Option<Last> {
        match self {
            Self::Completion(_) => None,
            Self::Chat { answer, .. } => answer.at_end(),
        }
    }
}

impl Completion {
    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        let chunk: Chunk<'a> = serde_json::from_slice(event).map_err(|error| {
            Fault::Protocol(format!("an event of the stream is not JSON of a completion: {error}"))
        })?;
        if let Some(code) = chunk.error {
            return Err(fault(event, &code));
        }
        if let Some(slot) = chunk.id_slot.filter(|slot| *slot >= 0) {
            self.stay.found_in(slot);
        }
        let last = chunk.stop.then(|| {
            if let Some(held) = chunk.tokens_cached {
                self.stay.left(TokenCount(held));
            }
            Last {
                ending: if chunk.stop_type == "limit" { Ending::Length } else { Ending::Stop },
                stop_text: Some(chunk.stopping_word.into_owned()).filter(|text| !text.is_empty()),
                tokens_in: chunk.tokens_evaluated.map(TokenCount),
                tokens_cached: chunk.timings.and_then(|timings| timings.cache_n).map(TokenCount),
                tokens_out: chunk.tokens_predicted.map(TokenCount),
                ..Last::default()
            }
        });
        let extra = if last.is_some() && self.include_extra { timings(event) } else { None };
        let probabilities = chunk.completion_probabilities.into_iter();
        let logprobs = match self.logprobs {
            Some(most) => probabilities.map(|token| token.told(most)).collect(),
            None => Vec::new(),
        };
        let reads_prompt = chunk.prompt_progress.is_some();
        let tokens = if reads_prompt { Vec::new() } else { chunk.tokens };
        Ok(Event { text: chunk.content, tokens, logprobs, extra, reads_prompt, last, ..Event::default() })
    }
}

fn timings(event: &[u8]) -> Option<Arc<ExtraFields>> {
    let Timed { timings } = serde_json::from_slice(event).ok()?;
    let chunk = Map::from_iter([("timings".to_owned(), Value::Object(timings))]);
    Some(Arc::new(ExtraFields { chunk, ..ExtraFields::default() }))
}

fn fault(event: &[u8], code: &Code) -> Fault {
    let said = message_of(event).unwrap_or_default();
    match code {
        Code::Numbered { code: 400 | 501 } => {
            Fault::Refused(format!("`llama-server` refuses the task: {said}"))
        }
        Code::Numbered { .. } | Code::Other(_) => {
            Fault::Failed(format!("`llama-server` reports an error: {said}"))
        }
    }
}

#[cfg(test)]
mod tests;
