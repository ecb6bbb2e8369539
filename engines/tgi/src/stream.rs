//! The events of `POST /generate_stream`: a `token` each, and with the last one its `details`. Conversations
//! are answered as the OpenAI API does.

use std::borrow::Cow;

use engine_http::{Answer, Ending, Event, Fault, Last};
use engine_openai::OpenAiAnswer;
use orchestrator_core::TokenCount;
use serde::Deserialize;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    token: Option<Token<'a>>,
    #[serde(default)]
    details: Option<Details>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_type: Option<String>,
}

#[derive(Deserialize)]
struct Token<'a> {
    id: i32,
    #[serde(borrow)]
    text: Cow<'a, str>,
    /// Of the model's own: an end of turn, which is no part of the text.
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Details {
    finish_reason: String,
    #[serde(default)]
    generated_tokens: Option<u32>,
    #[serde(default)]
    input_length: Option<u32>,
}

/// Reads a stream of Text Generation Inference.
#[derive(Debug)]
pub(crate) enum TgiAnswer {
    /// Of a prompt.
    Generate,
    /// Of a conversation.
    Chat(OpenAiAnswer),
}

impl TgiAnswer {
    pub(crate) fn chat() -> Self {
        Self::Chat(OpenAiAnswer::default())
    }
}

impl Answer for TgiAnswer {
    /// Every event has another token and another index in it.
    const REPEATS: bool = false;

    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        match self {
            Self::Generate => generated(event),
            Self::Chat(answer) => answer.read(event),
        }
    }

    fn at_end(&mut self) -> Option<Last> {
        match self {
            Self::Generate => None,
            Self::Chat(answer) => answer.at_end(),
        }
    }
}

fn generated(event: &[u8]) -> Result<Event<'_>, Fault> {
    let chunk: Chunk<'_> = serde_json::from_slice(event).map_err(|error| {
        Fault::Protocol(format!("an event of the stream is not JSON of a token: {error}"))
    })?;
    if let Some(said) = chunk.error {
        return Err(match chunk.error_type.as_deref() {
            Some("validation") => Fault::Refused(format!("the engine refuses the task: {said}")),
            _ => Fault::Failed(format!("the engine reports an error: {said}")),
        });
    }
    let last = chunk.details.map(|details| Last {
        ending: if details.finish_reason == "length" { Ending::Length } else { Ending::Stop },
        tokens_in: details.input_length.map(TokenCount),
        tokens_out: details.generated_tokens.map(TokenCount),
        ..Last::default()
    });
    Ok(match chunk.token {
        Some(Token { id, special: true, .. }) => Event { tokens: vec![id], last, ..Event::default() },
        Some(Token { id, text, .. }) => Event { text, tokens: vec![id], last, ..Event::default() },
        None => Event { last, ..Event::default() },
    })
}

#[cfg(test)]
mod tests;
