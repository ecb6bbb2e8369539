//! What an engine says of a task while it runs and when it ends.

use std::sync::Arc;

use orchestrator_core::{Millis, TokenCount};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A stretch of the answer: whole UTF-8, never empty text except for an embedding's or rerank's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// The tokens it was made of, in order: more than one where bytes of a split character or the start
    /// of a stop string had to wait.
    pub tokens: Vec<i32>,
    /// Of each token that begins in `text`, where the job asks for them; otherwise none. A token without bytes goes with
    /// the one before it.
    pub logprobs: Vec<TokenLogprob>,
    /// What `text` is of, where the engine itself tells calls of tools from the rest: then it is the call as a
    /// model would write it, for people to read. Nothing of text that is no call.
    pub calls: Vec<CallEvent>,
    /// What the engine says with it in fields of its own, where the job asks for them. Only engines that are
    /// spoken to in JSON have any.
    #[serde(skip)]
    pub own: Option<Arc<OwnAnswer>>,
}

/// Fields of an answer that nobody here knows, of an engine that speaks the same endpoint itself: where it has
/// them in OpenAI's form of a streamed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAnswer {
    /// Beside `choices`.
    pub chunk: Map<String, Value>,
    /// In the choice.
    pub choice: Map<String, Value>,
    /// In the choice's `delta`.
    pub delta: Map<String, Value>,
}

impl OwnAnswer {
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

/// A step of a call that an engine tells apart from the text. Calls are numbered from 0, and come one after
/// the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEvent {
    /// A call begins.
    Start {
        /// Which call of the answer it is.
        index: u32,
        /// What the engine calls it; empty where it has no name for it.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of its arguments: JSON text, as the model wrote it.
    Arguments {
        /// The call.
        index: u32,
        /// What comes next.
        text: String,
    },
    /// Nothing more belongs to the call.
    End {
        /// The call.
        index: u32,
    },
}

/// How probable a token was. Natural logarithms of what the model gave it, before anything that sampling does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token that was chosen.
    pub chosen: Candidate,
    /// The most probable ones in its place, the best first.
    pub top: Vec<Candidate>,
}

/// A token that might have been chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
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
    /// Tokens of the answer.
    pub tokens_out: TokenCount,
    /// From the job's arrival at the engine to its first token.
    pub prefill_ms: Millis,
    /// From the first token to the end.
    pub decode_ms: Millis,
    /// As [`Piece::own`], behind the last piece.
    #[serde(skip)]
    pub own: Option<Arc<OwnAnswer>>,
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
            prefill_ms: Millis(0),
            decode_ms: Millis(0),
            own: None,
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
