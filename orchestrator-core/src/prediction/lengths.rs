//! How long answers turn out to be, and how much of a prompt is found in a cache.

use super::recent::{Length, Recent};
use crate::work::{CLASSES, Load, Output, OutputClass, Work};
use crate::{Priority, TokenCount};

/// What an answer is taken to be while no answer has been seen and neither `expected_tokens` nor
/// `max_tokens` says anything. It is a guess, not a measurement; the first answer that ends replaces it.
pub const UNSEEN_OUTPUT: TokenCount = TokenCount(256);

/// Fewer lengths than this say little of how they are spread.
const TELLING_LENGTHS: usize = 16;

/// Share of the mean that the newest answer makes, once there are a few.
const NEWEST_SHARE: f64 = 0.1;

/// A mean over the first few values, and one that follows the newest from then on.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    seen: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.seen += 1.0;
        self.value += (value - self.value) * (1.0 / self.seen).max(NEWEST_SHARE);
    }

    fn get(&self) -> Option<f64> {
        (self.seen > 0.0).then_some(self.value)
    }
}

/// Tokens to be computed: an average task, or one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tokens {
    /// Prompt tokens that are not found in a cache.
    pub(crate) read: f64,
    /// Tokens of the answer.
    pub(crate) write: f64,
}

/// What one lane's tasks have turned out to be.
#[derive(Clone, Debug, Default)]
struct LaneLengths {
    cached: Mean,
    recent: [Recent; CLASSES],
    recent_of_all: Recent,
}

impl LaneLengths {
    fn class(&self, class: OutputClass) -> f64 {
        let bound = class.bound().map(f64::from);
        self.recent[class.index()].mean().unwrap_or_else(|| match (self.recent_of_all.mean(), bound) {
            (Some(mean), Some(bound)) => mean.min(bound),
            (Some(mean), None) => mean,
            (None, bound) => bound.unwrap_or(f64::from(UNSEEN_OUTPUT.0)).min(f64::from(UNSEEN_OUTPUT.0)),
        })
    }

    fn fresh_share(&self) -> f64 {
        1.0 - self.cached.get().unwrap_or(0.0)
    }
}

/// Learned lengths, lane by lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lengths {
    interactive: LaneLengths,
    batch: LaneLengths,
    first: First,
}

/// The answers of both lanes up to the first few: how many ended, and their tokens.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    ended: f64,
    written: f64,
}

impl Lengths {
    /// Takes in an answer that was not cut short by its caller.
    pub(crate) fn learn(&mut self, priority: Priority, work: &Work, cached: u32, tokens_out: u32) {
        let lane = match priority {
            Priority::Interactive => &mut self.interactive,
            Priority::Batch => &mut self.batch,
        };
        if let Output::Learned(class) = work.output {
            lane.recent[class.index()].add(tokens_out);
        }
        lane.recent_of_all.add(tokens_out);
        self.first.ended += 1.0;
        self.first.written += f64::from(tokens_out);
        if work.tokens_in > 0 {
            lane.cached.add((f64::from(cached) / f64::from(work.tokens_in)).min(1.0));
        }
    }

    /// What one task is expected to write.
    pub(crate) fn output(&self, priority: Priority, work: &Work) -> f64 {
        match work.output {
            Output::Hinted(tokens) => f64::from(tokens),
            Output::Learned(class) => self.lane(priority).class(class),
        }
    }

    /// What one task may write. `running` are the tokens that are out of answers that have not ended.
    pub(crate) fn length(&self, priority: Priority, work: &Work, running: f64) -> Length<'_> {
        match work.output {
            Output::Hinted(tokens) => Length::Known(f64::from(tokens)),
            Output::Learned(class) => self.spread(priority, class, running),
        }
    }

    /// How the lengths of a class are spread: as the last ones of the class were, of the lane where the class
    /// has few, or of both lanes.
    fn spread(&self, priority: Priority, class: OutputClass, running: f64) -> Length<'_> {
        let most = class.bound().map_or(f64::INFINITY, f64::from);
        let (own, other) = match priority {
            Priority::Interactive => (&self.interactive, &self.batch),
            Priority::Batch => (&self.batch, &self.interactive),
        };
        let mut seen = &own.recent[class.index()];
        for next in [&own.recent_of_all, &other.recent_of_all] {
            if seen.len() < TELLING_LENGTHS && next.len() > seen.len() {
                seen = next;
            }
        }
        if seen.len() >= TELLING_LENGTHS {
            return Length::Seen { lengths: seen.sorted(), most };
        }
        // The first answers to end are the short ones: all that was written counts, also of those that run
        // (the mean of exponential lives that are cut off; B. Epstein, M. Sobel, "Life testing", 1953), with
        // the guess as if it had been seen once.
        let guess = f64::from(UNSEEN_OUTPUT.0).min(most);
        let mean = (guess + self.first.written + running) / (1.0 + self.first.ended);
        Length::Unseen { mean: mean.min(most), most }
    }

    /// Share of a prompt that is not found in a cache.
    pub(crate) fn fresh_share(&self, priority: Priority) -> f64 {
        self.lane(priority).fresh_share()
    }

    /// What a task of a lane may write, whose class is not known.
    pub(crate) fn any_length(&self, priority: Priority, load: &Load, running: f64) -> Length<'_> {
        let classes = load.learned.iter().enumerate();
        let most_frequent = classes.max_by_key(|(_, tasks)| **tasks).map_or(CLASSES - 1, |(index, _)| index);
        self.spread(priority, OutputClass::at(most_frequent), running)
    }

    /// The tokens of all tasks of `load`.
    pub(crate) fn sum(&self, priority: Priority, load: &Load) -> Tokens {
        let lane = self.lane(priority);
        #[expect(clippy::cast_precision_loss, reason = "sums of tokens stay far below 2^53")]
        let (tokens_in, hinted_out) = (load.tokens_in as f64, load.hinted_out as f64);
        let mut write = hinted_out;
        for (index, tasks) in load.learned.iter().enumerate().filter(|(_, tasks)| **tasks > 0) {
            write += f64::from(*tasks) * lane.class(OutputClass::at(index));
        }
        Tokens { read: tokens_in * lane.fresh_share(), write }
    }

    fn lane(&self, priority: Priority) -> &LaneLengths {
        match priority {
            Priority::Interactive => &self.interactive,
            Priority::Batch => &self.batch,
        }
    }
}
