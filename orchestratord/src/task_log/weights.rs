//! How probable the tokens of a log were, packed: most tasks have none, and one that asks for the most
//! alternatives to every token says a hundred times more in them than in its text.

use std::ops::Range;

use adapter_api::TokenLogprob;

/// Of each event, from the first on; events after the last that had some have none.
#[derive(Debug, Default)]
pub(super) struct Weights {
    packed: Vec<u8>,
    /// Where each event's end in `packed`.
    ends: Vec<u32>,
}

impl Weights {
    /// Adds those of event `at`. Returns whether there was room for them.
    pub(super) fn add(&mut self, at: usize, logprobs: &[TokenLogprob]) -> bool {
        let before = self.packed.len();
        self.ends.resize(at, u32::try_from(before).unwrap_or(u32::MAX));
        let packed = std::mem::take(&mut self.packed);
        self.packed = postcard::to_extend(logprobs, packed).expect(GROWS);
        let Ok(end) = u32::try_from(self.packed.len()) else {
            self.packed.truncate(before);
            return false;
        };
        self.ends.push(end);
        true
    }

    /// Those of each of `events`.
    pub(super) fn of(&self, events: Range<usize>) -> Vec<Vec<TokenLogprob>> {
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

const GROWS: &str = "a buffer in memory takes everything, and probabilities are plain data";
