//! The events of `POST …/generate_stream`: `text_output` each, with what the back end adds. The end of the
//! body is the end of the answer.

use std::borrow::Cow;

use engine_http::{Answer, Ending, Event, Fault, Last, UNKNOWN_TOKEN};
use orchestrator_core::TokenCount;
use serde::Deserialize;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    text_output: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    num_input_tokens: Option<u32>,
    #[serde(default)]
    num_output_tokens: Option<u32>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
}

/// Borrowed where it has no escapes; serde borrows a `Cow` only where it stands by itself.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a stream of the generate extension.
#[derive(Debug, Default)]
pub(crate) struct TritonAnswer {
    begun: bool,
    ending: Option<Ending>,
    tokens_in: Option<u32>,
    /// The back end counts the tokens of each event.
    tokens_out: Option<u32>,
}

impl Answer for TritonAnswer {
    /// The counts beside the text are added up.
    const REPEATS: bool = false;

    fn read<'a>(&mut self, event: &'a [u8]) -> Result<Event<'a>, Fault> {
        let chunk: Chunk<'a> = serde_json::from_slice(event).map_err(|error| {
            Fault::Protocol(format!("an event of the stream is not JSON of the generate extension: {error}"))
        })?;
        if let Some(said) = chunk.error {
            return Err(Fault::Failed(format!("the engine reports an error: {}", said.0)));
        }
        let Some(text) = chunk.text_output else {
            let what = "an event of the stream has no `text_output`";
            return Err(Fault::Protocol(what.to_owned()));
        };
        self.begun = true;
        match chunk.finish_reason.as_ref().map(|reason| reason.0.as_ref()) {
            Some("length") => self.ending = Some(Ending::Length),
            Some("stop") => self.ending = Some(Ending::Stop),
            _ => {}
        }
        self.tokens_in = chunk.num_input_tokens.or(self.tokens_in);
        if let Some(count) = chunk.num_output_tokens {
            self.tokens_out = Some(self.tokens_out.unwrap_or_default().saturating_add(count));
        }
        let counted = chunk.num_output_tokens.unwrap_or(u32::from(!text.0.is_empty()));
        let tokens = vec![UNKNOWN_TOKEN; usize::try_from(counted).unwrap_or_default()];
        Ok(Event { text: text.0, tokens, ..Event::default() })
    }

    fn at_end(&mut self) -> Option<Last> {
        self.begun.then(|| Last {
            ending: self.ending.unwrap_or(Ending::Unsaid),
            tokens_in: self.tokens_in.map(TokenCount),
            tokens_out: self.tokens_out.map(TokenCount),
            ..Last::default()
        })
    }
}

#[cfg(test)]
mod tests;
