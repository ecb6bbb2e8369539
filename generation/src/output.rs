//! The output of a generation: chunks while it runs, a report when it ends.
//!
//! Rules: ORCH-OAI-16

use std::sync::Arc;

use orchestrator_core::{Millis, TokenCount};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one decode step adds to the output: raw text, and what that text was parsed into.
///
/// The raw text is what the model wrote. An engine that parses it sends both together: raw text waits until it is
/// decided what it is. Text that waits at the end of an output is sent with events and no raw text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutputChunk {
    /// The raw text: whole UTF-8. Empty where the output is vectors or scores.
    pub text: String,
    /// What the raw text was parsed into; nothing where all of it is text of the answer.
    pub events: Option<Vec<OutputEvent>>,
    /// The tokens of the raw text, in order: more than one where bytes of a split character or the start
    /// of a stop string had to wait.
    pub tokens: Vec<i32>,
    /// Probabilities of the tokens of the answer's text, where the request asks for them. A token without bytes goes
    /// with the one before it; tokens of reasoning, tool calls and markup have none.
    pub logprobs: Vec<TokenLogprob>,
    /// Fields of the engine's own, where the request asks for them. Only engines whose API is JSON have any.
    #[serde(skip)]
    pub extra: Option<Arc<ExtraFields>>,
}

/// A typed part of an output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OutputEvent {
    /// Text of the answer.
    Text(String),
    /// Text that the model writes for itself before or between answers.
    Reasoning(String),
    /// More of a tool call.
    ToolCall(ToolCallDelta),
    /// The vector of one input.
    Embedding(Vec<f32>),
    /// The score of one document.
    Score(f32),
}

/// More of a tool call. Calls of an output are numbered from 0 and come one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which call of the output it is.
    pub index: u32,
    /// Id and name, with the first delta of a call and no other.
    pub start: Option<ToolCallStart>,
    /// What comes next of the arguments: JSON text, as the model wrote it.
    pub arguments: String,
}

/// The beginning of a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallStart {
    /// The engine's id of the call; empty where it has none.
    pub id: String,
    /// The tool.
    pub name: String,
}

impl OutputChunk {
    /// Text of the answer.
    #[must_use]
    pub fn text(text: impl Into<String>, tokens: Vec<i32>) -> Self {
        Self { text: text.into(), tokens, ..Self::default() }
    }

    /// A result that is no text: a vector or a score.
    #[must_use]
    pub fn result(event: OutputEvent) -> Self {
        Self { events: Some(vec![event]), ..Self::default() }
    }

    /// What it was parsed into.
    #[must_use]
    pub fn into_events(self) -> Vec<OutputEvent> {
        let Self { text, events, .. } = self;
        events.unwrap_or_else(|| vec![OutputEvent::Text(text)])
    }

    /// Whether it has neither raw text nor events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.events.as_ref().is_none_or(Vec::is_empty)
    }

    /// Whether it is reasoning and nothing else: its tokens count as reasoning tokens.
    #[must_use]
    pub fn is_reasoning(&self) -> bool {
        let is_reasoning = |event: &OutputEvent| matches!(event, OutputEvent::Reasoning(_));
        self.events.as_ref().is_some_and(|events| !events.is_empty() && events.iter().all(is_reasoning))
    }

    /// Adds what comes behind it.
    pub fn append(&mut self, mut next: Self) {
        if self.is_empty() && self.events.is_none() {
            self.events = next.events.take();
        } else if self.events.is_some() || next.events.is_some() {
            let before = self.events.take().unwrap_or_else(|| vec![OutputEvent::Text(self.text.clone())]);
            let after = next.events.take().unwrap_or_else(|| vec![OutputEvent::Text(next.text.clone())]);
            self.events = Some(before.into_iter().chain(after).filter(|event| !event.is_empty()).collect());
        }
        self.text.push_str(&next.text);
        self.tokens.append(&mut next.tokens);
        self.logprobs.append(&mut next.logprobs);
        self.extra = ExtraFields::joined(self.extra.take(), next.extra);
    }
}

impl OutputEvent {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) | Self::Reasoning(text) => text.is_empty(),
            Self::ToolCall(delta) => delta.start.is_none() && delta.arguments.is_empty(),
            Self::Embedding(_) | Self::Score(_) => false,
        }
    }
}

/// Fields of a response that the contract does not know, from an engine with the same API: by their place in
/// a streamed chat completion of OpenAI's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraFields {
    /// Beside `choices`.
    pub chunk: Map<String, Value>,
    /// In the choice.
    pub choice: Map<String, Value>,
    /// In the choice's `delta`.
    pub delta: Map<String, Value>,
}

impl ExtraFields {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.choice.is_empty() && self.delta.is_empty()
    }

    /// The fields of two stretches of an answer as those of one.
    #[must_use]
    pub fn joined(before: Option<Arc<Self>>, after: Option<Arc<Self>>) -> Option<Arc<Self>> {
        match (before, after) {
            (Some(mut before), Some(after)) => {
                Arc::make_mut(&mut before).go_on(&after);
                Some(before)
            }
            (before, after) => before.or(after),
        }
    }

    /// Adds what comes `after`, so that both can be told at once: a field of the whole answer as it was last, lists of
    /// a choice one after the other, and texts of a delta too.
    pub fn go_on(&mut self, after: &Self) {
        join(&mut self.chunk, &after.chunk, |_, _| false);
        join(&mut self.choice, &after.choice, lists_go_on);
        join(&mut self.delta, &after.delta, |before, after| match (before, after) {
            (Value::String(before), Value::String(after)) => {
                before.push_str(after);
                true
            }
            (before, after) => lists_go_on(before, after),
        });
    }
}

/// Puts a list behind the one before it, where both are lists.
fn lists_go_on(before: &mut Value, after: &Value) -> bool {
    let (Value::Array(before), Value::Array(after)) = (before, after) else { return false };
    before.extend_from_slice(after);
    true
}

/// Adds the fields `after` to those `before`. One that is in both goes on where `goes_on` makes it, and takes the other's
/// place otherwise.
fn join(
    before: &mut Map<String, Value>,
    after: &Map<String, Value>,
    goes_on: impl Fn(&mut Value, &Value) -> bool,
) {
    for (name, value) in after {
        match before.get_mut(name) {
            Some(there) => {
                if !goes_on(there, value) {
                    there.clone_from(value);
                }
            }
            None => {
                before.insert(name.clone(), value.clone());
            }
        }
    }
}

/// How probable a token was. Natural logarithms of what the model gave it, before anything that sampling does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token that was chosen.
    pub chosen: TokenCandidate,
    /// The most probable ones in its place, the best first.
    pub top: Vec<TokenCandidate>,
}

/// A token that might have been chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenCandidate {
    /// The token.
    pub token: i32,
    /// Its text; a part of a character may stand alone.
    pub bytes: Vec<u8>,
    /// The logarithm of its probability.
    pub logprob: f32,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended its turn, or a stop string was met.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
    /// It was canceled.
    Canceled,
    /// The engine could not go on.
    Failed(EngineError),
}

/// Why an engine could not go on with one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EngineError {
    /// The task asks for what this model or engine cannot do; the text names the field and the value.
    #[error("{0}")]
    Invalid(String),
    /// A decode step failed. The text is for the log.
    #[error("decode failed: {0}")]
    Decode(String),
    /// The engine says that it does not take work now (loading, overloaded, restarting). The task is not at
    /// fault: it goes back to its place in the queue, however often this happens. Only before the first token.
    #[error("not available: {0}")]
    Unavailable(String),
    /// The engine failed before the first token of the task, without saying whose fault that is (status 500, a
    /// connection closed before the response). The task is retried, and ends at the second such failure.
    #[error("failed before the first token: {0}")]
    Failed(String),
    /// The engine went away with the task in it.
    #[error("the engine went away")]
    Lost,
}

/// The last word on a task. Times are the engine's own measurements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndReport {
    /// How it ended.
    pub finish: Finish,
    /// Prompt tokens, the cached ones included.
    pub tokens_in: TokenCount,
    /// Of these, how many were found in the KV cache and not computed again.
    pub tokens_cached: TokenCount,
    /// Tokens of the output, reasoning included.
    pub tokens_out: TokenCount,
    /// Of these, tokens of reasoning, where the engine counts them; counted from the chunks otherwise.
    pub tokens_reasoning: Option<TokenCount>,
    /// From the job's arrival at the engine to its first token.
    pub prefill_ms: Millis,
    /// From the first token to the end.
    pub decode_ms: Millis,
    /// The stop text that ended the output, where one did and the engine says which.
    pub stop_text: Option<String>,
    /// As [`OutputChunk::extra`], behind the last chunk.
    #[serde(skip)]
    pub extra: Option<Arc<ExtraFields>>,
}

impl EndReport {
    /// Of a task for which nothing was computed. What was is put in by name.
    #[must_use]
    pub fn of(finish: Finish) -> Self {
        Self {
            finish,
            tokens_in: TokenCount(0),
            tokens_cached: TokenCount(0),
            tokens_out: TokenCount(0),
            tokens_reasoning: None,
            prefill_ms: Millis(0),
            decode_ms: Millis(0),
            stop_text: None,
            extra: None,
        }
    }

    /// Of a task that an engine could not begin.
    #[must_use]
    pub fn failed(error: EngineError) -> Self {
        Self::of(Finish::Failed(error))
    }

    /// Of a short task of one token in and `tokens_out` out, which took a millisecond for either.
    #[must_use]
    pub fn short(finish: Finish, tokens_out: u32) -> Self {
        Self {
            tokens_in: TokenCount(1),
            tokens_out: TokenCount(tokens_out),
            prefill_ms: Millis(1),
            decode_ms: Millis(1),
            ..Self::of(finish)
        }
    }
}

#[cfg(test)]
mod tests;
