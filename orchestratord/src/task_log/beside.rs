//! What an event of a log has beside its text: packed, how probable its tokens were and what it says of calls, and by
//! stretches, what its engine says in fields of its own, since an engine says the same around most tokens. Most tasks
//! have none of it, and one that asks for the most alternatives to every token says a hundred times more in them than
//! in its text.

use std::ops::Range;
use std::sync::Arc;

use generation::{CallEvent, OwnAnswer, Piece, TokenLogprob};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one event has beside its text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Beside {
    /// How probable its tokens were.
    pub logprobs: Vec<TokenLogprob>,
    /// What it says of calls; its text is for people then.
    pub calls: Vec<CallEvent>,
    /// What the engine says in fields of its own.
    #[serde(skip)]
    pub own: Option<Arc<OwnAnswer>>,
}

/// The same, to be packed.
#[derive(Serialize)]
struct Packing<'p> {
    logprobs: &'p [TokenLogprob],
    calls: &'p [CallEvent],
}

/// Of each event, from the first on; events after the last that had something have nothing.
#[derive(Debug, Default)]
pub(super) struct Besides {
    packed: Vec<u8>,
    /// Where each event's end in `packed`.
    ends: Vec<u32>,
    /// The engine's own fields, of each event from the one that is named on.
    own: Vec<(usize, Option<Arc<OwnAnswer>>)>,
}

impl Besides {
    /// Whether `piece` has anything to be kept here.
    pub(super) fn are_in(piece: &Piece) -> bool {
        piece.own.is_some() || is_packed(piece)
    }

    /// Adds what `piece` has, which is event `at`. Returns whether there was room for it.
    pub(super) fn add(&mut self, at: usize, piece: &Piece) -> bool {
        self.go_on(at, piece.own.as_ref());
        !is_packed(piece) || self.pack(at, piece)
    }

    /// Notes the engine's own fields from event `at` on, where they differ from those before.
    pub(super) fn go_on(&mut self, at: usize, own: Option<&Arc<OwnAnswer>>) {
        let before = self.own.last().and_then(|(_, own)| own.as_ref());
        let goes_on = match (before, own) {
            (Some(before), Some(own)) => Arc::ptr_eq(before, own) || before == own,
            (before, own) => before.is_none() && own.is_none(),
        };
        if !goes_on {
            self.own.push((at, own.cloned()));
        }
    }

    fn pack(&mut self, at: usize, piece: &Piece) -> bool {
        let before = self.packed.len();
        self.ends.resize(at, u32::try_from(before).unwrap_or(u32::MAX));
        let packed = std::mem::take(&mut self.packed);
        let packing = Packing { logprobs: &piece.logprobs, calls: &piece.calls };
        self.packed = postcard::to_extend(&packing, packed).expect(GROWS);
        let Ok(end) = u32::try_from(self.packed.len()) else {
            self.packed.truncate(before);
            return false;
        };
        self.ends.push(end);
        true
    }

    /// What each of `events` has.
    pub(super) fn of(&self, events: Range<usize>) -> Vec<Beside> {
        let beside = |at| {
            let packed: Beside = postcard::from_bytes(self.packed_of(at)).unwrap_or_default();
            Beside { own: self.own_of(at), ..packed }
        };
        events.map(beside).collect()
    }

    fn own_of(&self, at: usize) -> Option<Arc<OwnAnswer>> {
        let after = self.own.partition_point(|(from, _)| *from <= at);
        self.own.get(after.checked_sub(1)?).and_then(|(_, own)| own.clone())
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        let own = self.own.iter().filter_map(|(_, own)| own.as_deref()).map(bytes_of).sum::<usize>();
        self.packed.capacity() + self.ends.capacity() * size_of::<u32>() + own + size_of::<Self>()
    }

    pub(super) fn shrink(&mut self) {
        self.packed.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.own.shrink_to_fit();
    }

    fn packed_of(&self, at: usize) -> &[u8] {
        let Some(end) = self.ends.get(at) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.packed[start as usize..*end as usize]
    }
}

fn is_packed(piece: &Piece) -> bool {
    !(piece.logprobs.is_empty() && piece.calls.is_empty())
}

/// Bytes of memory that an engine's own fields take.
pub(super) fn bytes_of(own: &OwnAnswer) -> usize {
    let values = [&own.chunk, &own.choice, &own.delta].into_iter().flatten();
    size_of::<OwnAnswer>()
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

const GROWS: &str = "a buffer in memory takes everything, and what stands beside a text is plain data";
