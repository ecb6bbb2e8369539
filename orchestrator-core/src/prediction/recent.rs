//! The lengths of the last answers, as they lie: what an answer may be that has not ended yet.

use std::collections::VecDeque;

/// Lengths that are remembered.
const REMEMBERED: usize = 256;

/// The newest lengths are compared with the older ones in groups of these sizes.
const COMPARED: std::ops::RangeInclusive<usize> = 8..=32;

/// A difference of the mean logarithms that is so many times its standard error is a change, not chance. The older
/// lengths are forgotten then.
const CHANGED_SIGMAS: f64 = 4.0;

/// Lengths that differ by less than this share are taken to be as different as that: equal ones say nothing of chance.
const LEAST_DEVIATION: f64 = 0.25;

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
        let (mut newest, mut older) = (Logarithms::default(), Logarithms::default());
        for length in &self.order {
            older.add(*length, 1.0);
        }
        let mut best = None::<(f64, usize)>;
        for (count, length) in (1..=*COMPARED.end()).zip(self.order.iter().rev()) {
            newest.add(*length, 1.0);
            older.add(*length, -1.0);
            if older.count < newest.count {
                break;
            }
            let sigma = newest.difference(&older);
            if count >= *COMPARED.start() && sigma > best.map_or(CHANGED_SIGMAS, |(most, _)| most) {
                best = Some((sigma, count));
            }
        }
        best.map(|(_, count)| count)
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

/// Sums over the logarithms of lengths.
#[derive(Clone, Copy, Debug, Default)]
struct Logarithms {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Logarithms {
    fn add(&mut self, length: u32, weight: f64) {
        let value = (f64::from(length) + 1.0).ln();
        self.count += weight;
        self.sum += weight * value;
        self.squares += weight * value * value;
    }

    /// How many standard errors the mean is away from that of a larger group.
    fn difference(&self, larger: &Self) -> f64 {
        let mean = larger.sum / larger.count;
        let deviation = (larger.squares / larger.count - mean * mean).max(0.0).sqrt().max(LEAST_DEVIATION);
        let error = deviation * (1.0 / self.count + 1.0 / larger.count).sqrt();
        (self.sum / self.count - mean).abs() / error
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

    /// The length at a share of the spread, where answers are so much longer than those seen.
    pub(crate) fn scaled_at(&self, share: f64, longer: f64) -> f64 {
        match self {
            Self::Known(tokens) => *tokens,
            Self::Seen { lengths, most } => {
                (f64::from(lengths[place(lengths.len(), share)]) * longer).min(*most)
            }
            Self::Unseen { mean, most } => exponential(*mean * longer, share).min(*most),
        }
    }

    /// What is left of an answer, where answers are so much longer than those seen.
    pub(crate) fn scaled_left(&self, out: f64, share: f64, longer: f64) -> f64 {
        match self {
            Self::Known(_) => self.left(out, share),
            Self::Seen { most, .. } | Self::Unseen { most, .. } => {
                (self.left(out / longer, share) * longer).min((*most - out).max(0.0))
            }
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
