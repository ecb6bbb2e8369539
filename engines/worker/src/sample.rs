//! Chooses the next token from a row of logits. Owns the order of the steps, which is llama.cpp's: logit
//! bias, repetition penalty, top-k, top-p, min-p, temperature, and one random number a token. Nothing here
//! sorts the vocabulary: only what can still be chosen is collected, and that is a few dozen tokens.
//!
//! The random number of a token depends on the seed and on its place in the answer alone, so that no
//! other sequence and no retry of another token can change it.

mod logprob;
mod random;
mod select;

use std::collections::VecDeque;

use generation::Sampling;

pub use logprob::{MAX_TOP, logprob};
pub use random::Draw;
use select::Candidate;

/// Room that sampling needs, shared by all sequences of a decode loop.
#[derive(Debug, Default)]
pub struct Scratch {
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
    seen: Vec<i32>,
}

impl Scratch {
    /// Takes a copy of `logits` that may be changed before [`Sampler::pick_edited`].
    pub fn load(&mut self, logits: &[f32]) -> &mut [f32] {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        &mut self.logits
    }
}

/// Chooses the tokens of one sequence.
#[derive(Debug)]
pub struct Sampler {
    how: Sampling,
    seed: u64,
    /// Tokens of the answer so far: the counter of the random numbers.
    chosen: u64,
    /// The last tokens of prompt and answer, as many as the penalty looks at.
    recent: VecDeque<i32>,
}

impl Sampler {
    /// A sampler for an answer to `prompt`.
    #[must_use]
    pub fn new(how: Sampling, seed: u64, prompt: &[i32]) -> Self {
        let looks_back = if how.repeat_penalty == 1.0 { 0 } else { how.repeat_last_n as usize };
        let recent = prompt[prompt.len().saturating_sub(looks_back)..].iter().copied().collect();
        Self { how, seed, chosen: 0, recent }
    }

    /// The next token; nothing when no logit is a number.
    pub fn pick(&self, logits: &[f32], scratch: &mut Scratch) -> Option<i32> {
        if self.how.logit_bias.is_empty() && self.recent.is_empty() {
            return self.choose(logits, Draw::First, &mut scratch.candidates);
        }
        scratch.load(logits);
        self.pick_edited(Draw::First, scratch)
    }

    /// The next token by the logits in `scratch`, put there with [`Scratch::load`].
    pub fn pick_edited(&self, draw: Draw, scratch: &mut Scratch) -> Option<i32> {
        let Scratch { logits, candidates, seen } = scratch;
        for bias in &self.how.logit_bias {
            if let Some(logit) = usize::try_from(bias.token).ok().and_then(|token| logits.get_mut(token)) {
                *logit += bias.bias;
            }
        }
        seen.clear();
        seen.extend(&self.recent);
        seen.sort_unstable();
        seen.dedup();
        for token in seen.iter() {
            if let Some(logit) = usize::try_from(*token).ok().and_then(|token| logits.get_mut(token)) {
                if *logit > 0.0 {
                    *logit /= self.how.repeat_penalty;
                } else {
                    *logit *= self.how.repeat_penalty;
                }
            }
        }
        self.choose(logits, draw, candidates)
    }

    /// Notes that `token` became part of the answer.
    pub fn accept(&mut self, token: i32) {
        self.chosen += 1;
        if self.how.repeat_penalty != 1.0 && self.how.repeat_last_n > 0 {
            if self.recent.len() >= self.how.repeat_last_n as usize {
                self.recent.pop_front();
            }
            self.recent.push_back(token);
        }
    }

    /// Whether the most probable token is always taken.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.how.temperature <= 0.0 || self.how.top_k == 1
    }

    fn choose(&self, logits: &[f32], draw: Draw, candidates: &mut Vec<Candidate>) -> Option<i32> {
        let max = select::max(logits);
        if !max.is_finite() {
            return None;
        }
        if self.is_greedy() {
            return logits.iter().position(|logit| *logit == max).and_then(|at| i32::try_from(at).ok());
        }
        let point = random::unit(self.seed, self.chosen, draw);
        let how = &self.how;
        let cut = select::Cut { top_k: how.top_k as usize, top_p: how.top_p, min_p: how.min_p };
        if cut.keeps_all(logits.len()) {
            return select::by_weight_of_all(logits, max, how.temperature, point);
        }
        select::keep(logits, max, cut, candidates);
        select::by_weight(candidates, max, how.temperature, point)
    }
}

#[cfg(test)]
mod tests;
