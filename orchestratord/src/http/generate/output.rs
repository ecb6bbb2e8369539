//! The output of one generation, read from the log of its task.
//!
//! Rules: ORCH-ENG-13, ORCH-OAI-10, ORCH-OAI-13, ORCH-OAI-16, ORCH-OAI-17

use std::sync::Arc;

use engine_api::EngineKind;
use generation::{ExtraFields, GenerateRequest, OutputEvent, RawTextWriter, TokenLogprob};

use super::ReasoningPlace;
use super::refused::failed;
use crate::handle::Subscription;
use crate::http::answer::Refused;
use crate::task_log::{Chunk, EventMetadata, LogReader, TaskEnd};

/// What is new of a generation.
#[derive(Debug)]
pub(in crate::http) enum Update {
    /// Texts of its answer, in order: nothing but text was written.
    Texts(Vec<String>),
    /// Segments of its output, in order.
    Segments(Vec<OutputSegment>),
    /// It has ended well.
    End(TaskEnd),
    /// It has failed.
    Failed(Refused),
}

/// A part of an output, with what it has beside its text.
#[derive(Debug)]
pub(in crate::http) struct OutputSegment {
    pub(in crate::http) event: OutputEvent,
    pub(in crate::http) metadata: SegmentMetadata,
}

/// What a segment has beside its text.
#[derive(Debug, Default)]
pub(in crate::http) struct SegmentMetadata {
    /// Probabilities of the tokens of its text; nothing where the request did not ask for them.
    pub(in crate::http) logprobs: Option<Vec<TokenLogprob>>,
    /// Fields of the engine's own.
    pub(in crate::http) extra: Option<Arc<ExtraFields>>,
}

/// One task's log, as segments.
pub(in crate::http) struct OutputReader {
    reader: LogReader,
    engine: EngineKind,
    /// The last event of the log, once it was read.
    end: Option<TaskEnd>,
    /// Of segments that are still to come; probabilities where the request asks for them.
    pending: SegmentMetadata,
    include_extra: bool,
    /// The stop texts of the request. Those that a chat template adds are no affair of its client.
    stops: Vec<String>,
    reasoning: ReasoningPlace,
    /// Writes reasoning into the text.
    raw: RawTextWriter,
}

impl OutputReader {
    /// Of the task that `request` became.
    pub(in crate::http) fn new(
        subscription: Subscription,
        request: &GenerateRequest,
        reasoning: ReasoningPlace,
    ) -> Self {
        let Subscription { engine, reader, .. } = subscription;
        let logprobs = request.logprobs.map(|_| Vec::new());
        let pending = SegmentMetadata { logprobs, extra: None };
        Self {
            reader: reader.typed(),
            engine,
            end: None,
            pending,
            include_extra: request.include_extra,
            stops: request.sampling.stop.clone(),
            reasoning,
            raw: RawTextWriter::default(),
        }
    }

    /// What is new. Nothing after the end. Safe to drop and call again.
    pub(in crate::http) async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(end) = self.end.take() {
                return Some(self.ended(end));
            }
            match self.reader.next().await? {
                Chunk::Tokens { first, texts } => {
                    let after = first.saturating_add(u32::try_from(texts.len()).unwrap_or(u32::MAX));
                    let metadata = self.reader.metadata(first..after);
                    if metadata.is_empty() && self.is_plain() {
                        return Some(Update::Texts(texts));
                    }
                    let segments = self.segments(texts, metadata);
                    if !segments.is_empty() {
                        return Some(Update::Segments(segments));
                    }
                }
                Chunk::End(mut end) => {
                    end.extra = ExtraFields::joined(self.pending.extra.take(), end.extra);
                    self.end = Some(end);
                }
            }
        }
    }

    /// Whether text of the answer needs nothing beside it.
    fn is_plain(&self) -> bool {
        self.pending.logprobs.is_none() && self.pending.extra.is_none() && self.raw.is_plain()
    }

    /// Segments of `texts`, each of which has the metadata at the same place; none has any where there is none.
    fn segments(&mut self, texts: Vec<String>, metadata: Vec<EventMetadata>) -> Vec<OutputSegment> {
        let mut segments = Vec::with_capacity(texts.len());
        let mut metadata = metadata.into_iter();
        for text in texts {
            let EventMetadata { parsed, logprobs, extra } = metadata.next().unwrap_or_default();
            if let Some(pending) = &mut self.pending.logprobs {
                pending.extend(logprobs);
            }
            if self.include_extra {
                self.pending.extra = ExtraFields::joined(self.pending.extra.take(), extra);
            }
            for event in parsed.into_events(text) {
                segments.extend(self.placed(event).map(|event| self.segment(event)));
            }
        }
        segments
    }

    /// The event as the request wants it.
    fn placed(&mut self, event: OutputEvent) -> Option<OutputEvent> {
        match (self.reasoning, event) {
            (ReasoningPlace::Omitted, OutputEvent::Reasoning(_)) => None,
            (ReasoningPlace::InText, event @ (OutputEvent::Reasoning(_) | OutputEvent::Text(_))) => {
                Some(OutputEvent::Text(self.raw.write(&[event])))
            }
            (_, event) => Some(event),
        }
    }

    fn segment(&mut self, event: OutputEvent) -> OutputSegment {
        let is_text = matches!(event, OutputEvent::Text(_));
        let logprobs = self.pending.logprobs.as_mut().filter(|_| is_text).map(std::mem::take);
        OutputSegment { event, metadata: SegmentMetadata { logprobs, extra: self.pending.extra.take() } }
    }

    fn ended(&self, mut end: TaskEnd) -> Update {
        end.stop_text = end.stop_text.filter(|text| self.stops.contains(text));
        match &end.failure {
            Some(failure) => Update::Failed(failed(failure, self.engine)),
            None => Update::End(end),
        }
    }
}
