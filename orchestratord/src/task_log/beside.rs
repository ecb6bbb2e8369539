//! What an event of a log has beside its text, packed: how probable its tokens were, and what it says of calls.
//! Most tasks have none of it, and one that asks for the most alternatives to every token says a hundred times
//! more in them than in its text.

use std::ops::Range;

use adapter_api::{CallEvent, Piece, TokenLogprob};
use serde::{Deserialize, Serialize};

/// What one event has beside its text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Beside {
    /// How probable its tokens were.
    pub logprobs: Vec<TokenLogprob>,
    /// What it says of calls; its text is for people then.
    pub calls: Vec<CallEvent>,
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
}

impl Besides {
    /// Whether `piece` has anything to be kept here.
    pub(super) fn are_in(piece: &Piece) -> bool {
        !(piece.logprobs.is_empty() && piece.calls.is_empty())
    }

    /// Adds what `piece` has, which is event `at`. Returns whether there was room for it.
    pub(super) fn add(&mut self, at: usize, piece: &Piece) -> bool {
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
        events.map(|at| postcard::from_bytes(self.packed_of(at)).unwrap_or_default()).collect()
    }

    /// Bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.packed.capacity() + self.ends.capacity() * size_of::<u32>() + size_of::<Self>()
    }

    pub(super) fn shrink(&mut self) {
        self.packed.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn packed_of(&self, at: usize) -> &[u8] {
        let Some(end) = self.ends.get(at) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.packed[start as usize..*end as usize]
    }
}

const GROWS: &str = "a buffer in memory takes everything, and what stands beside a text is plain data";
