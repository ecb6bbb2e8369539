//! From token bytes to pieces of text: whole characters only, and never a part of a stop string. What
//! might still become either is held back, and no more than that.
//!
//! Rules: ORCH-STREAM-3, ORCH-OAI-13

use generation::{OutputChunk, TokenLogprob};

/// What one token led to.
#[derive(Debug, PartialEq)]
pub enum Pushed {
    /// Nothing yet: the bytes wait.
    Held,
    /// Text that nothing can take back.
    Ready(OutputChunk),
    /// A stop string is complete; the text before it, if there is any.
    Stopped(Option<OutputChunk>),
}

/// The text of one answer as it grows.
#[derive(Debug, Default)]
pub struct TextOut {
    stops: Vec<String>,
    /// Bytes of a character that is not complete.
    bytes: Vec<u8>,
    /// Text that may be the start of a stop string.
    held: String,
    /// Tokens since the last piece.
    tokens: Vec<i32>,
    /// What was noted of them.
    logprobs: Vec<TokenLogprob>,
    /// The stop string that was met.
    met: Option<String>,
}

impl TextOut {
    /// An answer that ends at any of `stops`. Empty ones are of no meaning and left out.
    #[must_use]
    pub fn new(mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        Self { stops, ..Self::default() }
    }

    /// Notes how probable the token was that is pushed next.
    pub fn note(&mut self, logprob: TokenLogprob) {
        self.logprobs.push(logprob);
    }

    /// Adds the bytes of one token.
    pub fn push(&mut self, token: i32, bytes: &[u8]) -> Pushed {
        self.tokens.push(token);
        self.bytes.extend_from_slice(bytes);
        self.decode();
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop.as_str())?, stop)));
        if let Some((at, met)) = found.min_by_key(|(at, _)| *at) {
            self.met = Some(met.clone());
            let told =
                self.logprobs.len() - tokens_within(&self.logprobs, self.held.len() - at + self.bytes.len());
            self.logprobs.truncate(told);
            self.held.truncate(at);
            self.bytes.clear();
            return Pushed::Stopped(self.release(at));
        }
        self.release(self.held.len() - self.possible_start()).map_or(Pushed::Held, Pushed::Ready)
    }

    /// The stop string that ended the answer.
    #[must_use]
    pub fn met(&self) -> Option<&str> {
        self.met.as_deref()
    }

    /// The end without a stop string: what was held back, with `U+FFFD` for a character that never became
    /// complete.
    pub fn finish(&mut self) -> Option<OutputChunk> {
        if !self.bytes.is_empty() {
            self.bytes.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        self.release(self.held.len())
    }

    /// Moves whole characters from `bytes` to `held`.
    fn decode(&mut self) {
        let mut rest = std::mem::take(&mut self.bytes);
        loop {
            match std::str::from_utf8(&rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    return;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    self.held.push_str(&String::from_utf8_lossy(&rest[..valid]));
                    match error.error_len() {
                        None => {
                            self.bytes = rest.split_off(valid);
                            return;
                        }
                        Some(invalid) => {
                            self.held.push(char::REPLACEMENT_CHARACTER);
                            rest = rest.split_off(valid + invalid);
                        }
                    }
                }
            }
        }
    }

    /// Bytes at the end of `held` that are the start of a stop string.
    fn possible_start(&self) -> usize {
        let longest = self.stops.iter().map(|stop| stop.len() - 1).max().unwrap_or(0).min(self.held.len());
        (1..=longest)
            .rev()
            .find(|len| {
                let tail = &self.held.as_bytes()[self.held.len() - len..];
                self.stops.iter().any(|stop| stop.len() > *len && stop.as_bytes().starts_with(tail))
            })
            .unwrap_or(0)
    }

    fn release(&mut self, len: usize) -> Option<OutputChunk> {
        if len == 0 {
            return None;
        }
        let rest = self.held.split_off(len);
        let told = self.logprobs.len() - tokens_within(&self.logprobs, rest.len() + self.bytes.len());
        let waiting = self.logprobs.split_off(told);
        let text = std::mem::replace(&mut self.held, rest);
        Some(OutputChunk {
            text,
            tokens: std::mem::take(&mut self.tokens),
            logprobs: std::mem::replace(&mut self.logprobs, waiting),
            ..OutputChunk::default()
        })
    }
}

/// How many of the last tokens lie in the last `bytes` alone.
pub fn tokens_within(logprobs: &[TokenLogprob], mut bytes: usize) -> usize {
    let lies_within = |noted: &&TokenLogprob| {
        let len = noted.chosen.bytes.len();
        let within = bytes > 0 && len <= bytes;
        bytes = bytes.saturating_sub(len);
        within
    };
    logprobs.iter().rev().take_while(lies_within).count()
}

#[cfg(test)]
mod tests;
