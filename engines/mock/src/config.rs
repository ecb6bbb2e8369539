//! What a pretend engine is like. What a test changes while it runs is in [`crate::MockControl`].

use std::time::Duration;

use engine_api::{Abilities, EngineKind, ExitReason};
use generation::{OutputChunk, Workload};
use orchestrator_core::TokenCount;

/// What an engine does when it is asked to measure a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measuring {
    /// It measures the job, or refuses it.
    Works,
    /// It dies.
    Dies,
}

/// What a pretend engine answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// This text, whatever is asked.
    Canned(String),
    /// The words of the prompt.
    Echo,
    /// `w0 w1 w2 …`, without an end of its own.
    Endless,
    /// These, whatever is asked. What one without text has in fields of its own goes with the end.
    Chunks(Vec<OutputChunk>),
}

/// What a pretend engine is like.
#[derive(Clone, Debug, PartialEq)]
pub struct MockConfig {
    /// What it says that it is.
    pub kind: EngineKind,
    /// Jobs it works on at a time; a job beyond them waits inside, as a real engine's would.
    pub slots: u16,
    /// Tokens of context of each slot.
    pub ctx: TokenCount,
    /// How long loading takes. Progress is told in quarters.
    pub load: Duration,
    /// Prompt tokens a second; `f64::INFINITY` takes no time.
    pub prefill_tps: f64,
    /// Tokens a second of each sequence; `f64::INFINITY` takes no time.
    pub decode_tps: f64,
    /// What it answers.
    pub answer: Answer,
    /// Whether it lets a canceled job go on as if nothing had been said.
    pub ignores_cancel: bool,
    /// Whether it takes `strict` jobs; where not, they end as invalid.
    pub strict: bool,
    /// What it can be asked for beside text.
    pub abilities: Abilities,
    /// What it finds wrong with every job when it measures it.
    pub refuses: Option<String>,
    /// What it can be asked for.
    pub workloads: Vec<Workload>,
    /// Bytes of KV cache that one token takes.
    pub kv_bytes_per_token: u64,
    /// The engine dies when it has decoded this many tokens, over all its jobs.
    pub dies_after_tokens: Option<u64>,
    /// What it does when it is asked to measure a job.
    pub measuring: Measuring,
    /// How it dies then.
    pub dies_with: ExitReason,
    /// What it says before a load that a replica needs of its device; nothing when it cannot say.
    pub needs_bytes: Option<u64>,
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            kind: EngineKind::Llamacpp,
            slots: 4,
            ctx: TokenCount(4096),
            load: Duration::from_millis(100),
            prefill_tps: 1000.0,
            decode_tps: 100.0,
            answer: Answer::Endless,
            ignores_cancel: false,
            strict: true,
            abilities: Abilities::default(),
            refuses: None,
            workloads: vec![Workload::Completion],
            kv_bytes_per_token: 1024,
            dies_after_tokens: None,
            measuring: Measuring::Works,
            dies_with: ExitReason::Signal(11),
            needs_bytes: None,
        }
    }
}

impl MockConfig {
    /// An engine that takes no time at all, for tests of order.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            load: Duration::ZERO,
            prefill_tps: f64::INFINITY,
            decode_tps: f64::INFINITY,
            ..Self::default()
        }
    }

    /// The same engine with this answer.
    #[must_use]
    pub fn answering(mut self, text: &str) -> Self {
        self.answer = Answer::Canned(text.to_owned());
        self
    }

    /// The time `tokens` take at `per_second`.
    pub(crate) fn span(tokens: usize, per_second: f64) -> Duration {
        if per_second.is_finite() && per_second > 0.0 {
            Duration::from_secs_f64(tokens as f64 / per_second)
        } else {
            Duration::ZERO
        }
    }
}
