//! What an engine's events say, on its way into the sink of a task.
//!
//! Rules: ORCH-ENG-15

use std::sync::Arc;

use engine_api::TaskSink;
use generation::{
    ExtraFields, GenerateRequest, InlineReasoningParser, Input, OutputChunk, OutputEvent, PendingOutput,
    RawTextWriter, ToolCallDelta,
};
use orchestrator_core::TokenCount;
use tokio::time::Instant;

use crate::backend::{Event, UNKNOWN_TOKEN};
use crate::clock;
use crate::progress::EventsRead;
use crate::shape::TextKind;

/// Tokens by which the count of an engine may differ from the one here.
const SLACK_TOKENS: u32 = 16;

/// The output of one task so far.
///
/// Reasoning and tool calls that the engine sends apart stay apart. A chat's text may still hold reasoning, of engines
/// that do not parse it: that is parsed here.
pub(crate) struct Delivery {
    pub(crate) sink: Box<dyn TaskSink>,
    /// When the first chunk was delivered.
    pub(crate) first: Option<Instant>,
    /// Tokens counted.
    pub(crate) tokens: u32,
    /// Tokens beyond which the answer is cut.
    most: Option<u32>,
    /// Parses reasoning out of the text, as long as there may be some.
    inline: Option<InlineReasoningParser>,
    raw: RawTextWriter,
    /// What was not delivered yet: tokens and fields that came without text, text that may be a tag.
    pending: PendingOutput,
    /// Whether the request offers tools; calls of others are text.
    may_call: bool,
    pub(crate) read: EventsRead,
}

impl Delivery {
    /// Nothing so far; what is read is counted in `read`.
    pub(crate) fn new(sink: Box<dyn TaskSink>, read: EventsRead) -> Self {
        Self {
            sink,
            first: None,
            tokens: 0,
            most: None,
            inline: None,
            raw: RawTextWriter::default(),
            pending: PendingOutput::default(),
            may_call: true,
            read,
        }
    }

    /// The same for `request`, of an engine that may write more than `most` tokens. What an engine holds back and sends
    /// with its last event may be counted again.
    pub(crate) fn of(self, request: &GenerateRequest, most: TokenCount) -> Self {
        let chats = matches!(*request.input, Input::Messages(_));
        Self {
            most: Some(most.0.saturating_add(SLACK_TOKENS)),
            inline: chats.then(InlineReasoningParser::default),
            may_call: request.tools.are_shown(),
            ..self
        }
    }

    /// Begins within reasoning: the chat template wrote the tag.
    pub(crate) fn prefill_reasoning(&mut self) {
        self.inline = Some(InlineReasoningParser::new(true));
    }

    /// Whether more tokens came than the request asks for.
    pub(crate) fn is_beyond(&self) -> bool {
        self.most.is_some_and(|most| self.tokens > most)
    }

    /// Whether text of the answer needs neither parsing nor tags.
    fn is_plain(&self) -> bool {
        self.inline.is_none() && self.raw.is_plain() && self.pending.is_empty()
    }

    /// Delivers one token of an event that has nothing else: nearly all of them.
    pub(crate) fn token(&mut self, kind: TextKind, text: &str, extra: Option<Arc<ExtraFields>>) {
        let tokens = vec![UNKNOWN_TOKEN];
        if kind == TextKind::Answer && self.is_plain() {
            self.tokens = self.tokens.saturating_add(1);
            let chunk =
                OutputChunk { text: text.to_owned(), events: None, tokens, logprobs: Vec::new(), extra };
            return self.deliver(chunk);
        }
        let event = Event { tokens, extra, ..Event::default() };
        self.event(match kind {
            TextKind::Answer => Event { text: text.into(), ..event },
            TextKind::Reasoning => Event { reasoning: text.into(), ..event },
        });
    }

    /// Delivers what an event says.
    pub(crate) fn event(&mut self, event: Event<'_>) {
        let Event { reasoning, text, tool_calls, tokens, logprobs, extra, .. } = event;
        self.tokens = self.tokens.saturating_add(u32::try_from(tokens.len()).unwrap_or(u32::MAX));
        let is_text = !text.is_empty() && reasoning.is_empty() && tool_calls.is_empty();
        if is_text && self.is_plain() {
            return self.deliver(OutputChunk {
                text: text.into_owned(),
                events: None,
                tokens,
                logprobs,
                extra,
            });
        }
        let is_reasoning = !reasoning.is_empty() && text.is_empty() && tool_calls.is_empty();
        if is_reasoning && self.raw.is_reasoning() && self.pending.is_empty() {
            let text = reasoning.into_owned();
            let events = Some(vec![OutputEvent::Reasoning(text.clone())]);
            return self.deliver(OutputChunk { text, events, tokens, logprobs, extra });
        }
        let (raw, events) = self.parsed(&reasoning, text.into_owned(), tool_calls);
        let chunk = OutputChunk { text: raw, events: None, tokens, logprobs, extra };
        self.pending.push(chunk);
        if let Some(chunk) = self.pending.take(events) {
            self.deliver(chunk);
        }
    }

    /// Delivers a result that is no text.
    pub(crate) fn result(&mut self, result: OutputEvent) {
        self.deliver(OutputChunk::result(result));
    }

    /// Delivers what is pending, and `text` that the engine held back: nothing more comes.
    pub(crate) fn finish(&mut self, text: String) {
        let (mut raw, mut events) = self.parsed("", text, Vec::new());
        events.extend(self.inline.take().and_then(|mut inline| inline.finish()));
        let end = self.raw.finish();
        if !self.may_call && !end.is_empty() {
            events.push(OutputEvent::Text(end.clone()));
        }
        raw.push_str(&end);
        self.pending.push(OutputChunk::text(raw, Vec::new()));
        if let Some(chunk) = self.pending.finish(events) {
            self.deliver(chunk);
        }
    }

    /// The engine's own fields behind the last chunk.
    pub(crate) fn take_extra(&mut self) -> Option<Arc<ExtraFields>> {
        self.pending.take_extra()
    }

    /// The raw text and the events of what an engine sent.
    fn parsed(
        &mut self,
        reasoning: &str,
        text: String,
        tool_calls: Vec<ToolCallDelta>,
    ) -> (String, Vec<OutputEvent>) {
        let (mut raw, mut events) = (String::new(), Vec::new());
        let mut apart = Vec::with_capacity(1);
        if !reasoning.is_empty() {
            // The engine parses it: tags in its text are text.
            self.inline = None;
            apart.push(OutputEvent::Reasoning(reasoning.to_owned()));
        }
        match &mut self.inline {
            Some(inline) => {
                events = inline.push(&text);
                raw = text;
            }
            None if !text.is_empty() => apart.push(OutputEvent::Text(text)),
            None => {}
        }
        if !tool_calls.is_empty() || self.inline.as_ref().is_some_and(InlineReasoningParser::is_done) {
            events.extend(self.inline.take().and_then(|mut inline| inline.finish()));
        }
        apart.extend(tool_calls.into_iter().map(OutputEvent::ToolCall));
        for event in apart {
            let written = self.raw.write(std::slice::from_ref(&event));
            raw.push_str(&written);
            let is_offered = self.may_call || !matches!(event, OutputEvent::ToolCall(_));
            events.push(if is_offered { event } else { OutputEvent::Text(written) });
        }
        (raw, events)
    }

    fn deliver(&mut self, chunk: OutputChunk) {
        if self.first.is_none() {
            self.first = Some(clock::now());
        }
        self.sink.output(chunk);
    }
}

#[cfg(test)]
mod tests;
