//! Chooses the next token from a row of logits. Owns the order of the steps, which is llama.cpp's: logit
//! bias, penalties, repeated sequences, top-k, typical, top-p, min-p, excluded top choices, temperature, and one random
//! number a token. Nothing here sorts the vocabulary: only what can still be chosen is collected, and that is a few dozen
//! tokens.
//!
//! The random number of a token depends on the seed and on its place in the answer alone, so that no
//! other sequence and no retry of another token can change it.

mod dry;
mod logprob;
mod random;
mod select;
mod settings;

use std::collections::{HashMap, VecDeque};

use generation::LogitBias;

use dry::Repeats;
pub use logprob::{MAX_TOP, logprob};
pub use random::Draw;
use select::Candidate;
pub use settings::Settings;

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
    how: Settings,
    logit_bias: Vec<LogitBias>,
    seed: u64,
    /// Tokens of the answer so far: the counter of the random numbers.
    chosen: u64,
    /// The last tokens of prompt and answer, as many as the repetition penalty looks at.
    recent: VecDeque<i32>,
    /// How often the answer holds each of its tokens, where that counts.
    answered: HashMap<i32, f32>,
    repeats: Option<Repeats>,
}

impl Sampler {
    /// A sampler for an answer to `prompt`.
    #[must_use]
    pub fn new(how: Settings, logit_bias: Vec<LogitBias>, seed: u64, prompt: &[i32]) -> Self {
        let recent = prompt[prompt.len().saturating_sub(how.repeat_last_n)..].iter().copied().collect();
        let repeats = how.dry.clone().map(|dry| Repeats::new(dry, prompt));
        Self { how, logit_bias, seed, chosen: 0, recent, answered: HashMap::new(), repeats }
    }

    /// The next token; nothing when no logit is a number.
    pub fn pick(&self, logits: &[f32], scratch: &mut Scratch) -> Option<i32> {
        if self.takes_logits_as_they_are() {
            return self.choose(logits, Draw::First, &mut scratch.candidates);
        }
        scratch.load(logits);
        self.pick_edited(Draw::First, scratch)
    }

    /// The next token by the logits in `scratch`, put there with [`Scratch::load`].
    pub fn pick_edited(&self, draw: Draw, scratch: &mut Scratch) -> Option<i32> {
        let Scratch { logits, candidates, seen } = scratch;
        for bias in &self.logit_bias {
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
        for (token, times) in &self.answered {
            if let Some(logit) = usize::try_from(*token).ok().and_then(|token| logits.get_mut(token)) {
                *logit -= self.how.presence_penalty + times * self.how.frequency_penalty;
            }
        }
        if let Some(repeats) = &self.repeats {
            repeats.punish(logits);
        }
        self.choose(logits, draw, candidates)
    }

    fn takes_logits_as_they_are(&self) -> bool {
        self.logit_bias.is_empty()
            && self.recent.is_empty()
            && self.answered.is_empty()
            && self.repeats.is_none()
    }

    /// Notes that `token` became part of the answer.
    pub fn accept(&mut self, token: i32) {
        self.chosen += 1;
        if self.how.repeat_last_n > 0 {
            if self.recent.len() >= self.how.repeat_last_n {
                self.recent.pop_front();
            }
            self.recent.push_back(token);
        }
        if self.how.counts_answer() {
            *self.answered.entry(token).or_default() += 1.0;
        }
        if let Some(repeats) = &mut self.repeats {
            repeats.accept(token);
        }
    }

    fn choose(&self, logits: &[f32], draw: Draw, candidates: &mut Vec<Candidate>) -> Option<i32> {
        let max = select::max(logits);
        if !max.is_finite() {
            return None;
        }
        if self.how.is_greedy() {
            return logits.iter().position(|logit| *logit == max).and_then(|at| i32::try_from(at).ok());
        }
        let point = random::unit(self.seed, self.chosen, draw);
        let how = &self.how;
        let cut =
            select::Cut { top_k: how.top_k, typical_p: how.typical_p, top_p: how.top_p, min_p: how.min_p };
        if cut.keeps_all(logits.len()) && how.xtc.is_none() {
            return select::by_weight_of_all(logits, max, how.temperature, point);
        }
        select::keep(logits, max, cut, candidates);
        if let Some(xtc) = how.xtc
            && random::unit(self.seed, self.chosen, Draw::Exclusion) < f64::from(xtc.probability)
        {
            select::exclude_top(candidates, max, xtc.threshold);
        }
        if how.xtc.is_some() || how.typical_p < 1.0 {
            // The best may have been left out, and weights are relative to it.
            let max = candidates.iter().fold(f32::NEG_INFINITY, |best, candidate| best.max(candidate.logit));
            return select::by_weight(candidates, max, how.temperature, point);
        }
        select::by_weight(candidates, max, how.temperature, point)
    }
}

#[cfg(test)]
mod tests;
