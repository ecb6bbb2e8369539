//! How many tokens an answer took.

use serde::Serialize;

use crate::task_log::TaskEnd;

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    /// Nothing before anything was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Details {
    cached_tokens: u32,
}

impl Usage {
    /// Of several answers to one prompt, which is counted once.
    pub(super) fn of_one_prompt<'e>(ends: impl IntoIterator<Item = &'e TaskEnd>) -> Self {
        ends.into_iter().fold(Self::default(), |mut usage, end| {
            usage.add_choice(end);
            usage
        })
    }

    /// One more answer to the same prompt.
    pub(super) fn add_choice(&mut self, end: &TaskEnd) {
        self.prompt_tokens = self.prompt_tokens.max(end.tokens_in.0);
        self.completion_tokens = self.completion_tokens.saturating_add(end.tokens_out.0);
        self.total_tokens = self.prompt_tokens.saturating_add(self.completion_tokens);
        // One answer leaves the prompt in the cache for the next: what the first found there is the least.
        let found = end.tokens_cached.0;
        let cached_tokens =
            self.prompt_tokens_details.map_or(found, |before| before.cached_tokens.min(found));
        self.prompt_tokens_details = Some(Details { cached_tokens });
        self.add_reasoning(end.tokens_reasoning.unwrap_or_default().0);
    }

    /// What was asked beside this.
    pub(super) fn add(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        if let Some(Details { cached_tokens }) = other.prompt_tokens_details {
            let details = self.prompt_tokens_details.get_or_insert_default();
            details.cached_tokens = details.cached_tokens.saturating_add(cached_tokens);
        }
        if let Some(CompletionDetails { reasoning_tokens }) = other.completion_tokens_details {
            self.add_reasoning(reasoning_tokens);
        }
    }

    fn add_reasoning(&mut self, tokens: u32) {
        let details = self.completion_tokens_details.get_or_insert_default();
        details.reasoning_tokens = details.reasoning_tokens.saturating_add(tokens);
    }
}

/// Tokens of what was only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OfInput {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl OfInput {
    /// Of a task.
    pub(super) fn of(end: &TaskEnd) -> Self {
        Self { prompt_tokens: end.tokens_in.0, total_tokens: end.tokens_in.0 }
    }
}
