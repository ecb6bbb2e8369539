//! What a task is expected to cost, one by one and summed up over a stretch of the queue. Tokens only:
//! how long they take is each replica's own figure (see [`crate::prediction`]).

use std::ops::{AddAssign, SubAssign};

use crate::TokenCount;

/// Upper bounds of the output classes; a last class takes what has no bound or a larger one.
const CLASS_BOUNDS: [u32; 8] = [16, 32, 64, 128, 256, 512, 1024, 2048];

/// Number of output classes.
pub(crate) const CLASSES: usize = CLASS_BOUNDS.len() + 1;

/// Tasks whose `max_tokens` are alike: their answers' lengths are learned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputClass(u8);

impl OutputClass {
    pub(crate) fn of(max_tokens: Option<TokenCount>) -> Self {
        let class = max_tokens.map_or(CLASS_BOUNDS.len(), |max| CLASS_BOUNDS.partition_point(|b| *b < max.0));
        Self::at(class)
    }

    pub(crate) fn at(index: usize) -> Self {
        debug_assert!(index < CLASSES, "there is no class {index}");
        Self(u8::try_from(index).expect("there are fewer than 256 classes"))
    }

    /// The most tokens a task of this class may answer with, where there is a bound.
    pub(crate) fn bound(self) -> Option<u32> {
        CLASS_BOUNDS.get(self.index()).copied()
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How long a task's answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Its caller said so.
    Hinted(u32),
    /// As long as others of its class turn out to be.
    Learned(OutputClass),
}

/// What one task is expected to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) tokens_in: u32,
    pub(crate) output: Output,
}

impl Work {
    /// The hint where there is one, never more than `max_tokens`; otherwise the class.
    pub(crate) fn new(tokens_in: TokenCount, max: Option<TokenCount>, expected: Option<TokenCount>) -> Self {
        let output = match expected {
            Some(hint) => Output::Hinted(max.map_or(hint.0, |max| hint.0.min(max.0))),
            None => Output::Learned(OutputClass::of(max)),
        };
        Self { tokens_in: tokens_in.0, output }
    }
}

/// The work of several tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) tasks: u32,
    pub(crate) tokens_in: u64,
    pub(crate) hinted_out: u64,
    pub(crate) learned: [u32; CLASSES],
}

impl Load {
    pub(crate) fn add(&mut self, work: &Work) {
        self.tasks += 1;
        self.tokens_in += u64::from(work.tokens_in);
        match work.output {
            Output::Hinted(tokens) => self.hinted_out += u64::from(tokens),
            Output::Learned(class) => self.learned[class.index()] += 1,
        }
    }

    pub(crate) fn remove(&mut self, work: &Work) {
        self.tasks -= 1;
        self.tokens_in -= u64::from(work.tokens_in);
        match work.output {
            Output::Hinted(tokens) => self.hinted_out -= u64::from(tokens),
            Output::Learned(class) => self.learned[class.index()] -= 1,
        }
    }
}

impl AddAssign<&Load> for Load {
    fn add_assign(&mut self, other: &Load) {
        self.tasks += other.tasks;
        self.tokens_in += other.tokens_in;
        self.hinted_out += other.hinted_out;
        for (mine, theirs) in self.learned.iter_mut().zip(other.learned) {
            *mine += theirs;
        }
    }
}

impl SubAssign<&Load> for Load {
    fn sub_assign(&mut self, other: &Load) {
        self.tasks -= other.tasks;
        self.tokens_in -= other.tokens_in;
        self.hinted_out -= other.hinted_out;
        for (mine, theirs) in self.learned.iter_mut().zip(other.learned) {
            *mine -= theirs;
        }
    }
}
