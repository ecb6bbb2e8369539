//! One slot: the tokens whose keys and values are in the cache, whose they are, and the task in it.
//!
//! ```text
//!        assign            prompt read           end
//! free ─────────► reading ────────────► writing ─────► free, with its cache kept
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use engine_api::SessionKv;
use generation::{EndReport, Finish, KvHint};
use orchestrator_core::{Millis, Priority, SessionId, TaskId, TokenCount};
use worker_protocol::TaskProgress;

use crate::chat::OutputParser;
use crate::grammar::Grammar;
use crate::grammar::lazy::LazyGrammar;
use crate::prepare::CancelFlag;
use crate::reasoning::ReasoningBudget;
use crate::repetition::Repetition;
use crate::sample::Sampler;
use crate::slots::SlotView;
use crate::text::TextOut;
use crate::vocabulary::Marks;

/// A place for one sequence. Its number is the sequence's.
#[derive(Debug, Default)]
pub struct Slot {
    /// Tokens in the KV cache, in order.
    pub cached: Vec<i32>,
    /// Whose they are.
    pub session: Option<SessionId>,
    /// Tokens that were there when the session's last task ended.
    pub at_end: u32,
    /// When it was used last, by count of tasks.
    pub last_used: u64,
    /// Tokens that others computed beside it since it was used.
    pub carried: usize,
    /// The task in it.
    pub task: Option<Task>,
}

impl Slot {
    /// What the choice of a slot looks at: nothing of a task that shares its cache with no other.
    #[must_use]
    pub fn view(&self) -> SlotView<'_> {
        let shared = self.task.as_ref().is_none_or(|task| task.kv == KvHint::Reuse);
        SlotView {
            cached: if shared { &self.cached } else { &[] },
            session: self.session,
            busy: self.task.is_some(),
            last_used: self.last_used,
        }
    }

    /// The session's share of the cache.
    #[must_use]
    pub fn session_kv(&self, bytes_per_token: u64) -> SessionKv {
        let tokens = count(self.cached.len());
        SessionKv {
            tokens,
            tokens_at_end: TokenCount(self.at_end),
            bytes: u64::from(tokens.0) * bytes_per_token,
        }
    }
}

/// A task in a slot.
#[derive(Debug)]
pub struct Task {
    /// The task.
    pub id: TaskId,
    /// Whose prompt is read first.
    pub priority: Priority,
    /// What it uses of the KV cache and leaves there.
    pub kv: KvHint,
    /// Its prompt, and behind it what of its answer was written before and is read with it.
    pub prompt: Vec<i32>,
    /// How many tokens of `prompt` are of the answer.
    pub written_before: usize,
    /// Tokens of the answer that were written before and are decoded again, one by one.
    pub again: VecDeque<i32>,
    /// Tokens of the prompt that are in the cache, with those found there.
    pub read: usize,
    /// Of these, how many were found.
    pub found: usize,
    /// The token chosen last, which the next step decodes; nothing while the prompt is read.
    pub next: Option<i32>,
    /// Tokens of the answer beside those.
    pub written: usize,
    /// Where it ends.
    pub limits: Limits,
    /// Steps for which it paused: the cache had no room for its next token.
    pub paused: u32,
    /// How tokens are chosen.
    pub sampler: Sampler,
    /// A form the answer must have.
    pub grammar: Option<Grammar>,
    /// One that holds the answer from where it calls a tool.
    pub lazy: Option<LazyGrammar>,
    /// Special tokens whose texts are part of its text.
    pub marks: Marks,
    /// How much the model may still reason.
    pub budget: Option<ReasoningBudget>,
    /// Finds that its answer goes round in a loop, where that ends it.
    pub repetition: Option<Repetition>,
    /// How many of the most probable tokens it wants to hear of beside each; nothing when it does not ask.
    pub logprobs: Option<u8>,
    /// The answer's text.
    pub text: TextOut,
    /// Tells what the model thinks, says and calls; nothing where its text is taken as it is.
    pub parser: Option<OutputParser>,
    /// Whether it is still wanted.
    pub canceled: CancelFlag,
    /// When it came and when its first token was there.
    pub times: Times,
}

/// Where an answer ends.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most tokens of prompt and answer together.
    pub ctx: usize,
    /// The most tokens of the answer.
    pub max_tokens: usize,
}

/// The moments of a task.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it arrived.
    pub arrived: Instant,
    /// When its first token was chosen.
    pub first: Option<Instant>,
}

impl Task {
    /// Whether the prompt is still being read.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.next.is_none()
    }

    /// Whether the answer is as long as it may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.written >= self.limits.max_tokens || self.prompt.len() + self.written >= self.limits.ctx
    }

    /// The work done for it so far.
    #[must_use]
    pub fn progress(&self) -> TaskProgress {
        TaskProgress {
            task: self.id,
            prompt_tokens: count(self.read).0,
            generated_tokens: count(self.written).0,
            inputs: 0,
            pauses: self.paused,
        }
    }

    /// The last word on it.
    #[must_use]
    pub fn report(&self, finish: Finish, now: Instant) -> EndReport {
        let first = self.times.first.unwrap_or(now);
        EndReport {
            tokens_in: count(self.prompt.len() - self.written_before),
            tokens_cached: count(self.found.min(self.prompt.len() - self.written_before)),
            tokens_out: count(self.written_before + self.written),
            prefill_ms: Millis::from_duration(first.duration_since(self.times.arrived)),
            decode_ms: Millis::from_duration(now.duration_since(first)),
            stop_text: self.text.met().map(str::to_owned),
            ..EndReport::of(finish)
        }
    }
}

fn count(tokens: usize) -> TokenCount {
    TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX))
}
