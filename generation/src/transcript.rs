//! A whole output, put together from its events.

use crate::output::{OutputChunk, OutputEvent, ToolCallDelta};
use crate::tools::ToolCall;

/// What an output came to so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The answer.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The tool calls, in order.
    pub tool_calls: Vec<ToolCall>,
    /// The vectors of an embedding.
    pub vectors: Vec<Vec<f32>>,
    /// The scores of a rerank.
    pub scores: Vec<f32>,
}

impl Transcript {
    /// Of an output in these chunks.
    #[must_use]
    pub fn of(chunks: impl IntoIterator<Item = OutputChunk>) -> Self {
        let mut transcript = Self::default();
        chunks.into_iter().flat_map(OutputChunk::into_events).for_each(|event| transcript.add(event));
        transcript
    }

    /// Adds what comes next.
    pub fn add(&mut self, event: OutputEvent) {
        match event {
            OutputEvent::Text(text) => self.text.push_str(&text),
            OutputEvent::Reasoning(text) => self.reasoning.push_str(&text),
            OutputEvent::ToolCall(ToolCallDelta { start, arguments, .. }) => {
                if let Some(start) = start {
                    let (id, name) = (start.id, start.name);
                    self.tool_calls.push(ToolCall { id, name, arguments: String::new() });
                }
                if let Some(call) = self.tool_calls.last_mut() {
                    call.arguments.push_str(&arguments);
                }
            }
            OutputEvent::Embedding(vector) => self.vectors.push(vector),
            OutputEvent::Score(score) => self.scores.push(score),
        }
    }
}
