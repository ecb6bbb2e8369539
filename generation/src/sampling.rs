//! How the tokens of an answer are chosen.

use serde::{Deserialize, Serialize};

/// A form the output must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// A GBNF grammar with a rule named `root`.
    Grammar(String),
    /// A JSON schema, as its JSON text.
    JsonSchema(String),
}

/// An addition to one token's logit before sampling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogitBias {
    /// The token.
    pub token: i32,
    /// Added to its logit; minus infinity bans it.
    pub bias: f32,
}

/// An addition to the logits of all tokens of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextBias {
    /// The text.
    pub text: String,
    /// Added to each logit; minus infinity bans the tokens.
    pub bias: f32,
}

/// How the next token is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The numbers, as far as somebody says them.
    pub params: SamplingParams,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Tokens made more or less likely.
    pub logit_bias: Vec<LogitBias>,
    /// Texts whose tokens are.
    pub text_bias: Vec<TextBias>,
    /// A form the output must have.
    pub constraint: Option<Constraint>,
}

/// The numbers of sampling. What is absent is left to who comes next: the request, the pool, the model's own file or
/// the attached engine, and [`SamplingParams::BUILTIN`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplingParams {
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: Option<f32>,
    /// Keeps the smallest set of tokens whose probabilities sum to this; 1 keeps all.
    pub top_p: Option<f32>,
    /// Keeps this many most probable tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keeps tokens at least this fraction as probable as the best; 0 keeps all.
    pub min_p: Option<f32>,
    /// Divides (or multiplies, where negative) the logits of tokens seen in the last
    /// [`repeat_last_n`](Self::repeat_last_n); 1 changes nothing.
    pub repeat_penalty: Option<f32>,
    /// How many of the last tokens the penalty looks at.
    pub repeat_last_n: Option<u32>,
    /// Taken from the logit of each token that the answer holds; 0 changes nothing.
    pub presence_penalty: Option<f32>,
    /// The same, once for each time that it is there.
    pub frequency_penalty: Option<f32>,
    /// Keeps the tokens whose information is nearest to what was to be expected, of this probability together; 1
    /// keeps all.
    pub typical_p: Option<f32>,
    /// How often the most probable tokens are left out, but for the last above the threshold; 0 is never.
    pub xtc_probability: Option<f32>,
    /// The least probability of tokens that are left out so; more than 0.5 leaves none out.
    pub xtc_threshold: Option<f32>,
    /// How much a token is punished that would go on repeating a sequence; 0 changes nothing.
    pub dry_multiplier: Option<f32>,
    /// How much the punishment grows with each token of the sequence.
    pub dry_base: Option<f32>,
    /// The longest sequence that may be repeated unpunished.
    pub dry_allowed_length: Option<u32>,
    /// How many of the last tokens are searched for the sequence; -1 is all, 0 none.
    pub dry_penalty_last_n: Option<i32>,
    /// Texts over which no sequence goes.
    pub dry_sequence_breakers: Option<Vec<String>>,
}

/// Each field of `$a`, or that of `$b` where it is absent.
macro_rules! first_of {
    ($a:ident, $b:ident: $($field:ident),*) => {
        Self { $($field: $a.$field.clone().or_else(|| $b.$field.clone())),* }
    };
}

impl SamplingParams {
    /// What holds where nobody says otherwise.
    pub const BUILTIN: Self = Self {
        temperature: Some(0.8),
        top_p: Some(0.95),
        top_k: Some(40),
        min_p: Some(0.05),
        repeat_penalty: Some(1.0),
        repeat_last_n: Some(64),
        ..Self::GREEDY
    };

    /// Always the most probable token, and nothing that changes which one that is.
    pub const GREEDY: Self = Self {
        temperature: Some(0.0),
        top_p: Some(1.0),
        top_k: Some(0),
        min_p: Some(0.0),
        repeat_penalty: Some(1.0),
        repeat_last_n: Some(0),
        presence_penalty: Some(0.0),
        frequency_penalty: Some(0.0),
        typical_p: Some(1.0),
        xtc_probability: Some(0.0),
        xtc_threshold: Some(0.1),
        dry_multiplier: Some(0.0),
        dry_base: Some(1.75),
        dry_allowed_length: Some(2),
        dry_penalty_last_n: Some(-1),
        dry_sequence_breakers: None,
    };

    /// These, and what `others` say where these say nothing.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        first_of!(
            self, others: temperature, top_p, top_k, min_p, repeat_penalty, repeat_last_n, presence_penalty,
            frequency_penalty, typical_p, xtc_probability, xtc_threshold, dry_multiplier, dry_base,
            dry_allowed_length, dry_penalty_last_n, dry_sequence_breakers
        )
    }

    /// The repetition penalty and how far it looks back, where it would change anything.
    #[must_use]
    pub fn repetition(&self) -> Option<(f32, Option<u32>)> {
        let penalty = self.repeat_penalty.filter(|penalty| (penalty - 1.0).abs() > f32::EPSILON)?;
        (self.repeat_last_n != Some(0)).then_some((penalty, self.repeat_last_n))
    }

    /// Those that not every engine knows and that would change anything, by name and value. What tunes another alone is
    /// not among them.
    #[must_use]
    pub fn uncommon(&self) -> Vec<(&'static str, f32)> {
        let neutral = [
            ("presence_penalty", self.presence_penalty, 0.0),
            ("frequency_penalty", self.frequency_penalty, 0.0),
            ("typical_p", self.typical_p, 1.0),
            ("xtc_probability", self.xtc_probability, 0.0),
            ("dry_multiplier", self.dry_multiplier, 0.0),
        ];
        let changes = |(name, value, neutral): (&'static str, Option<f32>, f32)| {
            value.filter(|value| (value - neutral).abs() > f32::EPSILON).map(|value| (name, value))
        };
        neutral.into_iter().filter_map(changes).collect()
    }
}

impl Sampling {
    /// Always the most probable token, and nothing that changes which one that is.
    #[must_use]
    pub const fn greedy() -> Self {
        Self {
            params: SamplingParams::GREEDY,
            stop: Vec::new(),
            logit_bias: Vec::new(),
            text_bias: Vec::new(),
            constraint: None,
        }
    }
}
