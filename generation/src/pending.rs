//! Raw text that waits until it is decided what it is, so that both are sent together.

use std::sync::Arc;

use crate::output::{ExtraFields, OutputChunk, OutputEvent};

/// The raw text of one output that was not sent yet.
#[derive(Debug, Default)]
pub struct PendingOutput(OutputChunk);

impl PendingOutput {
    /// Adds raw text with its tokens.
    pub fn push(&mut self, raw: OutputChunk) {
        self.0.append(raw);
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let OutputChunk { text, tokens, logprobs, extra, .. } = &self.0;
        text.is_empty() && tokens.is_empty() && logprobs.is_empty() && extra.is_none()
    }

    /// The engine's own fields that came with what is pending.
    pub fn take_extra(&mut self) -> Option<Arc<ExtraFields>> {
        self.0.extra.take()
    }

    /// What is pending, with the `events` it was parsed into; nothing while there are none.
    pub fn take(&mut self, events: Vec<OutputEvent>) -> Option<OutputChunk> {
        if events.is_empty() { None } else { Some(self.parsed_into(events)) }
    }

    /// As [`take`](Self::take) at the end of the output: what is pending without an event is markup.
    pub fn finish(&mut self, events: Vec<OutputEvent>) -> Option<OutputChunk> {
        if events.is_empty() && self.0.text.is_empty() { None } else { Some(self.parsed_into(events)) }
    }

    fn parsed_into(&mut self, mut events: Vec<OutputEvent>) -> OutputChunk {
        let mut chunk = std::mem::take(&mut self.0);
        events.dedup_by(|next, before| match (before, next) {
            (OutputEvent::Text(before), OutputEvent::Text(next))
            | (OutputEvent::Reasoning(before), OutputEvent::Reasoning(next)) => {
                before.push_str(next);
                true
            }
            _ => false,
        });
        let is_text = matches!(&*events, [OutputEvent::Text(text)] if *text == chunk.text);
        chunk.events = (!is_text).then_some(events);
        chunk
    }
}

#[cfg(test)]
mod tests;
