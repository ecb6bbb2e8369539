//! How probable tokens were: as chats tell it, in a list of tokens (`llama-server` tells it so everywhere), and as
//! completions do, in lists beside each other.
//!
//! Rules: ORCH-ENG-14

use std::collections::BTreeMap;

use engine_http::UNKNOWN_TOKEN;
use generation::{TokenCandidate, TokenLogprob};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Logprobs {
    #[serde(default)]
    content: Option<Vec<WeighedToken>>,
    #[serde(default)]
    tokens: Option<Vec<String>>,
    #[serde(default)]
    token_logprobs: Option<Vec<Option<f32>>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<Alternatives>>>,
}

/// The alternatives to a token of a completion.
type Alternatives = BTreeMap<String, f32>;

/// A token with its probability, as chats and `llama-server` tell it.
#[derive(Debug, Deserialize)]
pub struct WeighedToken {
    #[serde(flatten)]
    chosen: Weighed,
    #[serde(default)]
    top_logprobs: Option<Vec<Weighed>>,
}

#[derive(Debug, Deserialize)]
struct Weighed {
    #[serde(default)]
    id: Option<i32>,
    #[serde(default)]
    token: String,
    /// A part of a character has no text.
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    logprob: Option<f32>,
}

impl Logprobs {
    /// Of each token, with the `most` probable alternatives.
    pub(super) fn told(self, most: u8) -> Vec<TokenLogprob> {
        if let Some(tokens) = self.content {
            return tokens.into_iter().map(|token| token.told(most)).collect();
        }
        let logprobs = self.token_logprobs.unwrap_or_default();
        let mut tops = self.top_logprobs.unwrap_or_default().into_iter();
        let tokens = self.tokens.unwrap_or_default().into_iter().zip(logprobs);
        tokens
            .map(|(token, logprob)| {
                let top = tops.next().flatten().unwrap_or_default();
                let top = top.into_iter().map(|(token, logprob)| candidate(token, Some(logprob)));
                TokenLogprob { chosen: candidate(token, logprob), top: best(top, most) }
            })
            .collect()
    }
}

impl WeighedToken {
    /// The same, with the `most` probable alternatives.
    #[must_use]
    pub fn told(self, most: u8) -> TokenLogprob {
        let top = self.top_logprobs.unwrap_or_default();
        TokenLogprob { chosen: self.chosen.told(), top: best(top.into_iter().map(Weighed::told), most) }
    }
}

impl Weighed {
    fn told(self) -> TokenCandidate {
        let Self { id, token, bytes, logprob } = self;
        let mut candidate = candidate(token, logprob);
        candidate.token = id.unwrap_or(UNKNOWN_TOKEN);
        if let Some(bytes) = bytes {
            candidate.bytes = bytes;
        }
        candidate
    }
}

fn candidate(token: String, logprob: Option<f32>) -> TokenCandidate {
    let logprob = logprob.unwrap_or(f32::NEG_INFINITY);
    TokenCandidate { token: UNKNOWN_TOKEN, bytes: token.into_bytes(), logprob }
}

/// The most probable ones, the best first; some servers add the chosen one behind them.
fn best(candidates: impl Iterator<Item = TokenCandidate>, most: u8) -> Vec<TokenCandidate> {
    let mut all: Vec<TokenCandidate> = candidates.collect();
    all.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    all.truncate(most.into());
    all
}
