//! How probable tokens were, asked for and told as OpenAI does: one form for chats and responses, and the
//! older one of completions.
//!
//! Rules: ORCH-OAI-13

use generation::{TokenCandidate, TokenLogprob};
use serde::{Serialize, Serializer};

use crate::backpressure::Refusal;
use crate::http::task_request::check;

/// How many of the most probable tokens can be asked for in a token's permit.
const MOST: std::ops::RangeInclusive<u32> = 0..=20;

/// What OpenAI tells of a token that cannot be: JSON has no infinity.
const NEVER: f32 = -9999.0;

/// The number of alternatives that `field` asks for, within what is taken.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(in crate::http) fn alternatives(field: &str, asked: Option<u32>) -> Result<Option<u8>, Refusal> {
    let asked = check::within(field, asked, MOST)?;
    Ok(asked.map(|asked| u8::try_from(asked).unwrap_or(u8::MAX)))
}

/// What a request asks for that says apart whether and how many: `top` of nothing is nothing.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(in crate::http) fn asked(wanted: bool, top: Option<u32>, with: &str) -> Result<Option<u8>, Refusal> {
    let top = alternatives("top_logprobs", top)?;
    match top {
        Some(top) if top > 0 && !wanted => Err(Refusal::Invalid(format!(
            "`top_logprobs` is {top}, which goes with {with} only: send both, or leave it out"
        ))),
        top => Ok(wanted.then_some(top.unwrap_or_default())),
    }
}

/// The tokens of a text.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ChatLogprobs {
    pub(in crate::http) content: Vec<Token>,
    refusal: (),
}

impl From<&[TokenLogprob]> for ChatLogprobs {
    fn from(tokens: &[TokenLogprob]) -> Self {
        Self { content: tokens.iter().map(Token::from).collect(), refusal: () }
    }
}

/// One token, and what might have been in its permit.
#[derive(Clone, Debug, Serialize)]
pub(in crate::http) struct Token {
    #[serde(flatten)]
    chosen: Named,
    top_logprobs: Vec<Named>,
}

#[derive(Clone, Debug, Serialize)]
struct Named {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl From<&TokenLogprob> for Token {
    fn from(token: &TokenLogprob) -> Self {
        Self { chosen: Named::from(&token.chosen), top_logprobs: token.top.iter().map(Named::from).collect() }
    }
}

impl From<&TokenCandidate> for Named {
    fn from(candidate: &TokenCandidate) -> Self {
        let logprob = candidate.logprob.max(NEVER);
        Self { token: name(&candidate.bytes), logprob, bytes: candidate.bytes.clone() }
    }
}

/// The text of a token. Bytes that are no character of their own are written as `\xf0`.
fn name(bytes: &[u8]) -> String {
    let mut name = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        name.push_str(chunk.valid());
        name.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    name
}

/// The tokens of a completion, in lists beside each other.
#[derive(Debug, Serialize)]
pub(in crate::http) struct CompletionLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    /// Of each token the most probable ones and itself; nothing where none are asked for.
    top_logprobs: Option<Vec<Alternatives>>,
    /// Where each begins in the answer's text, in characters.
    text_offset: Vec<usize>,
}

#[derive(Debug)]
struct Alternatives(Vec<(String, f32)>);

impl Serialize for Alternatives {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, logprob)| (name, logprob)))
    }
}

impl CompletionLogprobs {
    /// Of tokens with `most` alternatives each, behind `offset` characters of the answer, which grows by theirs.
    pub(in crate::http) fn new(tokens: &[TokenLogprob], most: u8, offset: &mut usize) -> Self {
        let mut told = Self {
            tokens: Vec::with_capacity(tokens.len()),
            token_logprobs: Vec::with_capacity(tokens.len()),
            top_logprobs: (most > 0).then(Vec::new),
            text_offset: Vec::with_capacity(tokens.len()),
        };
        for token in tokens {
            let TokenCandidate { bytes, logprob, .. } = &token.chosen;
            told.tokens.push(name_in_a_list(bytes));
            told.token_logprobs.push(logprob.max(NEVER));
            if let Some(top) = &mut told.top_logprobs {
                top.push(Alternatives::of(token));
            }
            // A character belongs to the token that it begins in.
            let begins = bytes.iter().filter(|byte| !is_continuation(**byte)).count();
            let within = bytes.first().is_some_and(|byte| is_continuation(*byte));
            told.text_offset.push(if within { offset.saturating_sub(1) } else { *offset });
            *offset += begins;
        }
        told
    }
}

impl Alternatives {
    fn of(token: &TokenLogprob) -> Self {
        let mut all: Vec<(String, f32)> = Vec::with_capacity(token.top.len() + 1);
        for candidate in token.top.iter().chain([&token.chosen]) {
            let name = name_in_a_list(&candidate.bytes);
            // Two tokens may have the same text; a name stands for the more probable one.
            if !all.iter().any(|(there, _)| *there == name) {
                all.push((name, candidate.logprob.max(NEVER)));
            }
        }
        Self(all)
    }
}

/// The name of a token where no bytes stand beside it, so that parts of characters must be told from texts.
fn name_in_a_list(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |name, byte| name + &format!("\\x{byte:02x}")),
    }
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests;
