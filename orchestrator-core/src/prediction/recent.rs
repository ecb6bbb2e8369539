//! The lengths of the last answers, as they lie: what an answer may be that has not ended yet.

use std::collections::VecDeque;

/// Lengths that are remembered.
const REMEMBERED: usize = 256;

/// So many of the newest lengths on one side of the middle of all are a change, not chance: by a sign test, it
/// happens to about 5 in 10,000 groups of that size that are like the others. The older ones are forgotten then.
const ONE_SIDED: [(usize, usize); 2] = [(12, 12), (24, 21)];

/// The last lengths, in the order they came and by size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    order: VecDeque<u32>,
    sorted: Vec<u32>,
    sum: u64,
}

impl Recent {
    pub(crate) fn add(&mut self, length: u32) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            let place = self.sorted.partition_point(|kept| *kept < oldest);
            self.sorted.remove(place);
            self.sum -= u64::from(oldest);
        }
        self.order.push_back(length);
        self.sum += u64::from(length);
        let place = self.sorted.partition_point(|kept| *kept < length);
        self.sorted.insert(place, length);
        if let Some(newest) = self.changed() {
            self.order = self.order.split_off(self.order.len() - newest);
            self.sorted.clear();
            self.sorted.extend(&self.order);
            self.sorted.sort_unstable();
            self.sum = self.order.iter().map(|length| u64::from(*length)).sum();
        }
    }

    /// How many of the newest lengths are unlike the older ones; nothing where they are alike.
    fn changed(&self) -> Option<usize> {
        let middle = *self.sorted.get(self.sorted.len() / 2)?;
        let (newest, _) = ONE_SIDED.into_iter().find(|(newest, one_sided)| {
            let of_newest = || self.order.iter().rev().take(*newest);
            let above = of_newest().filter(|length| **length > middle).count();
            let below = of_newest().filter(|length| **length < middle).count();
            self.order.len() >= 2 * newest && (above >= *one_sided || below >= *one_sided)
        })?;
        Some(newest)
    }

    /// Their mean; nothing before the first.
    pub(crate) fn mean(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a sum of tokens stays far below 2^53")]
        let sum = self.sum as f64;
        (!self.sorted.is_empty()).then(|| sum / small(self.sorted.len()))
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn sorted(&self) -> &[u32] {
        &self.sorted
    }
}

/// What an answer may be: one length, or a spread of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length<'a> {
    /// Its caller said so.
    Known(f64),
    /// One of these, which are sorted and not empty, and never more than so many tokens.
    Seen { lengths: &'a [u32], most: f64 },
    /// None has been seen: an exponential spread is as good a guess as any.
    Unseen { mean: f64, most: f64 },
}

/// An answer that is longer than every one seen goes on for this share of what it has, on average.
const LONGER_BY: f64 = 0.25;

impl Length<'_> {
    pub(crate) fn mean(&self) -> f64 {
        match self {
            Self::Known(tokens) => *tokens,
            Self::Seen { lengths, most } => {
                let sum: f64 = lengths.iter().map(|length| f64::from(*length).min(*most)).sum();
                sum / small(lengths.len())
            }
            Self::Unseen { mean, .. } => *mean,
        }
    }

    /// How far the mean may be off, as a share of it (its standard error).
    pub(crate) fn doubt(&self) -> f64 {
        match self {
            Self::Known(_) => 0.0,
            Self::Seen { lengths, .. } => {
                self.deviation() / self.mean().max(1.0) / small(lengths.len()).sqrt()
            }
            Self::Unseen { .. } => 0.5,
        }
    }

    /// Their standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        match self {
            Self::Known(_) => 0.0,
            Self::Seen { lengths, most } => {
                let mean = self.mean();
                let squares: f64 = lengths.iter().map(|l| (f64::from(*l).min(*most) - mean).powi(2)).sum();
                (squares / small(lengths.len())).sqrt()
            }
            Self::Unseen { mean, .. } => *mean,
        }
    }

    /// The length at a share of the spread, from 0 to 1.
    pub(crate) fn at(&self, share: f64) -> f64 {
        match self {
            Self::Known(tokens) => *tokens,
            Self::Seen { lengths, most } => f64::from(lengths[place(lengths.len(), share)]).min(*most),
            Self::Unseen { mean, most } => exponential(*mean, share).min(*most),
        }
    }

    /// What is left of an answer of which so many tokens are out: the spread of the longer ones (the residual
    /// life of renewal theory, D. R. Cox, "Renewal Theory", 1962).
    pub(crate) fn left(&self, out: f64, share: f64) -> f64 {
        let longer = match self {
            Self::Known(tokens) if *tokens > out => return *tokens - out,
            Self::Known(_) => 0,
            Self::Unseen { mean, most } => return exponential(*mean, share).min((*most - out).max(0.0)),
            Self::Seen { lengths, .. } => lengths.len() - lengths.partition_point(|l| f64::from(*l) <= out),
        };
        match self {
            Self::Seen { lengths, most } if longer > 0 => {
                let first = lengths.len() - longer;
                f64::from(lengths[first + place(longer, share)]).min(*most) - out
            }
            Self::Seen { most, .. } => exponential(out * LONGER_BY, share).min((*most - out).max(0.0)),
            Self::Known(_) | Self::Unseen { .. } => exponential(out * LONGER_BY, share),
        }
    }
}

/// The value at a share of an exponential spread.
pub(crate) fn exponential(mean: f64, share: f64) -> f64 {
    -mean * (1.0 - share).ln()
}

/// The place at a share of so many.
fn place(len: usize, share: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small number")]
    let place = (small(len) * share) as usize;
    place.min(len - 1)
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn small(len: usize) -> f64 {
    len as f64
}
