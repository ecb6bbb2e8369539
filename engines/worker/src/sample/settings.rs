//! The numbers of one sampler, all of them decided.

use std::sync::Arc;

use generation::SamplingParams;

/// How one sampler chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// 0 is greedy.
    pub temperature: f32,
    /// The share of probability that is kept.
    pub top_p: f32,
    /// How many of the most probable tokens are kept; 0 is all.
    pub top_k: usize,
    /// How probable a token has to be beside the best.
    pub min_p: f32,
    /// The share of probability that is kept of what is typical.
    pub typical_p: f32,
    /// Divides the logits of recent tokens.
    pub repeat_penalty: f32,
    /// How many of the last tokens it looks at; 0 where it changes nothing.
    pub repeat_last_n: usize,
    /// Taken from the logit of each token of the answer.
    pub presence_penalty: f32,
    /// The same for each time that it is there.
    pub frequency_penalty: f32,
    /// Where top choices are left out now and then.
    pub xtc: Option<Xtc>,
    /// Where repeated sequences are punished.
    pub dry: Option<Dry>,
}

/// Leaves out the most probable tokens now and then ("exclude top choices").
#[derive(Clone, Copy, Debug)]
pub struct Xtc {
    pub probability: f32,
    pub threshold: f32,
}

/// Punishes what repeats a sequence ("don't repeat yourself").
#[derive(Clone, Debug)]
pub struct Dry {
    pub multiplier: f32,
    pub base: f32,
    pub allowed_length: usize,
    /// How many of the last tokens are searched.
    pub last_n: usize,
    /// Tokens over which no sequence goes, sorted.
    pub breakers: Arc<[i32]>,
}

impl Settings {
    /// `params`, and the built-in numbers where they say nothing. `breakers` are the tokens over which no sequence goes.
    #[must_use]
    pub fn new(params: &SamplingParams, breakers: Arc<[i32]>) -> Self {
        let params = params.or(&SamplingParams::BUILTIN);
        let number = |value: Option<f32>| value.expect("there is a built-in one");
        let count = |value: Option<u32>| value.expect("there is a built-in one") as usize;
        let repeat_penalty = number(params.repeat_penalty);
        let (probability, threshold) = (number(params.xtc_probability), number(params.xtc_threshold));
        let multiplier = number(params.dry_multiplier);
        let last_n = match params.dry_penalty_last_n.and_then(|last_n| usize::try_from(last_n).ok()) {
            Some(last_n) => last_n,
            // -1 is all of them.
            None => usize::MAX,
        };
        Self {
            temperature: number(params.temperature),
            top_p: number(params.top_p),
            top_k: count(params.top_k),
            min_p: number(params.min_p),
            typical_p: number(params.typical_p),
            repeat_penalty,
            repeat_last_n: if repeat_penalty == 1.0 { 0 } else { count(params.repeat_last_n) },
            presence_penalty: number(params.presence_penalty),
            frequency_penalty: number(params.frequency_penalty),
            xtc: (probability > 0.0).then_some(Xtc { probability, threshold }),
            dry: (multiplier > 0.0 && last_n > 0).then_some(Dry {
                multiplier,
                base: number(params.dry_base),
                allowed_length: count(params.dry_allowed_length),
                last_n,
                breakers,
            }),
        }
    }

    /// Whether the most probable token is always taken.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.top_k == 1
    }

    /// Whether it counts the tokens of the answer.
    #[must_use]
    pub fn counts_answer(&self) -> bool {
        self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}
