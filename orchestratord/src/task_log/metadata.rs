//! What an event of a log has beside its raw text: packed, the events that the text was parsed into and the
//! probabilities of its tokens; by ranges, the fields of the engine's own, since an engine sends the same ones around most
//! tokens. Most events have none of it, and one with the most alternatives to every token takes a hundred times more for
//! them than for its text.
//!
//! Rules: ORCH-OAI-13, ORCH-OAI-16

use std::ops::Range;
use std::sync::Arc;

use generation::{ExtraFields, OutputChunk, OutputEvent, TokenLogprob};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one event of a log has beside its raw text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct EventMetadata {
    /// What the raw text was parsed into.
    pub parsed: Parsed,
    /// Probabilities of the answer's tokens.
    pub logprobs: Vec<TokenLogprob>,
    /// Fields of the engine's own.
    #[serde(skip)]
    pub extra: Option<Arc<ExtraFields>>,
}

/// What the raw text of an event was parsed into.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Parsed<E = Vec<OutputEvent>> {
    /// All of it is text of the answer.
    #[default]
    Text,
    /// All of it is reasoning.
    Reasoning,
    /// These events.
    Events(E),
}

impl<'c> Parsed<&'c [OutputEvent]> {
    fn of(chunk: &'c OutputChunk) -> Self {
        match chunk.events.as_deref() {
            None => Self::Text,
            Some([OutputEvent::Reasoning(text)]) if *text == chunk.text => Self::Reasoning,
            Some(events) => Self::Events(events),
        }
    }
}

impl Parsed {
    /// The events of an event of the log whose raw text is `text`.
    #[must_use]
    pub fn into_events(self, text: String) -> Vec<OutputEvent> {
        match self {
            Self::Text => vec![OutputEvent::Text(text)],
            Self::Reasoning => vec![OutputEvent::Reasoning(text)],
            Self::Events(events) => events,
        }
    }
}

/// The same, to be packed.
#[derive(Serialize)]
struct Packing<'p> {
    parsed: Parsed<&'p [OutputEvent]>,
    logprobs: &'p [TokenLogprob],
}

/// Of each event, from the first on; events after the last that had something have nothing.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    packed: Vec<u8>,
    /// Where each event's end in `packed`.
    ends: Vec<u32>,
    /// The engine's own fields, of each event from the one that is named on.
    extra: Vec<(usize, Option<Arc<ExtraFields>>)>,
}

impl Metadata {
    /// Whether `chunk` has anything to be kept here.
    pub(super) fn is_in(chunk: &OutputChunk) -> bool {
        chunk.extra.is_some() || is_packed(chunk)
    }

    /// Adds what `chunk` has, which is event `at`. Returns whether there was room for it.
    pub(super) fn add(&mut self, at: usize, chunk: &OutputChunk) -> bool {
        self.go_on(at, chunk.extra.as_ref());
        !is_packed(chunk) || self.pack(at, chunk)
    }

    /// Notes the engine's own fields from event `at` on, where they differ from those before.
    pub(super) fn go_on(&mut self, at: usize, extra: Option<&Arc<ExtraFields>>) {
        let before = self.extra.last().and_then(|(_, extra)| extra.as_ref());
        let goes_on = match (before, extra) {
            (Some(before), Some(extra)) => Arc::ptr_eq(before, extra) || before == extra,
            (before, extra) => before.is_none() && extra.is_none(),
        };
        if !goes_on {
            self.extra.push((at, extra.cloned()));
        }
    }

    fn pack(&mut self, at: usize, chunk: &OutputChunk) -> bool {
        let before = self.packed.len();
        self.ends.resize(at, u32::try_from(before).unwrap_or(u32::MAX));
        let packed = std::mem::take(&mut self.packed);
        let packing = Packing { parsed: Parsed::of(chunk), logprobs: &chunk.logprobs };
        self.packed = postcard::to_extend(&packing, packed).expect(GROWS);
        let Ok(end) = u32::try_from(self.packed.len()) else {
            self.packed.truncate(before);
            return false;
        };
        self.ends.push(end);
        true
    }

    /// What each of `events` has; nothing at all where none of them has anything.
    pub(super) fn of(&self, events: Range<usize>) -> Vec<EventMetadata> {
        if self.packed_of_all(&events).is_empty() && self.has_no_extra(&events) {
            return Vec::new();
        }
        let metadata = |at| {
            let packed: EventMetadata = match self.packed_of(at) {
                [] => EventMetadata::default(),
                packed => postcard::from_bytes(packed).unwrap_or_default(),
            };
            EventMetadata { extra: self.extra_of(at), ..packed }
        };
        events.map(metadata).collect()
    }

    /// What is packed of all of `events`.
    fn packed_of_all(&self, events: &Range<usize>) -> &[u8] {
        let end_of = |events: usize| match events.min(self.ends.len()).checked_sub(1) {
            Some(last) => self.ends[last] as usize,
            None => 0,
        };
        &self.packed[end_of(events.start)..end_of(events.end).max(end_of(events.start))]
    }

    /// Whether none of `events` has fields of the engine's own.
    fn has_no_extra(&self, events: &Range<usize>) -> bool {
        let changes = self.extra.iter().any(|(from, extra)| events.contains(from) && extra.is_some());
        !changes && self.extra_of(events.start).is_none()
    }

    /// The raw text of an event whose output is no text: vectors and scores as JSON.
    pub(super) fn raw_text_of(&self, at: usize) -> String {
        let packed: EventMetadata = postcard::from_bytes(self.packed_of(at)).unwrap_or_default();
        let raw = |event: OutputEvent| match event {
            OutputEvent::Embedding(vector) => serde_json::to_string(&vector).unwrap_or_default(),
            OutputEvent::Score(score) => serde_json::to_string(&score).unwrap_or_default(),
            OutputEvent::Text(_) | OutputEvent::Reasoning(_) | OutputEvent::ToolCall(_) => String::new(),
        };
        let Parsed::Events(events) = packed.parsed else { return String::new() };
        events.into_iter().map(raw).collect()
    }

    fn extra_of(&self, at: usize) -> Option<Arc<ExtraFields>> {
        let after = self.extra.partition_point(|(from, _)| *from <= at);
        self.extra.get(after.checked_sub(1)?).and_then(|(_, extra)| extra.clone())
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        let extra = self.extra.iter().filter_map(|(_, extra)| extra.as_deref()).map(bytes_of).sum::<usize>();
        self.packed.capacity() + self.ends.capacity() * size_of::<u32>() + extra + size_of::<Self>()
    }

    pub(super) fn shrink(&mut self) {
        self.packed.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.extra.shrink_to_fit();
    }

    fn packed_of(&self, at: usize) -> &[u8] {
        let Some(end) = self.ends.get(at) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.packed[start as usize..*end as usize]
    }
}

fn is_packed(chunk: &OutputChunk) -> bool {
    chunk.events.is_some() || !chunk.logprobs.is_empty()
}

/// Bytes of memory that an engine's own fields take.
pub(super) fn bytes_of(extra: &ExtraFields) -> usize {
    let values = [&extra.chunk, &extra.choice, &extra.delta].into_iter().flatten();
    size_of::<ExtraFields>()
        + values.map(|(name, value)| name.capacity() + bytes_of_value(value)).sum::<usize>()
}

fn bytes_of_value(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.capacity(),
        Value::Array(values) => values.iter().map(bytes_of_value).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.capacity() + bytes_of_value(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

const GROWS: &str = "a buffer in memory takes everything, and metadata is plain data";
