//! Cuts a row of logits down to the tokens that may be chosen, and chooses one by weight. All passes over
//! the vocabulary are plain loops over blocks, which the compiler turns into vector code.

use std::cmp::Ordering;

/// Elements looked at together.
const BLOCK: usize = 64;

/// How far below the best logit the first search for candidates looks; doubled until enough are found.
const FIRST_REACH: f32 = 4.0;

/// One token that may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The token.
    pub token: i32,
    /// Its logit.
    pub logit: f32,
}

/// What is left out.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Keeps this many; 0 keeps all.
    pub top_k: usize,
    /// Keeps those of this probability whose information is nearest to what is expected; 1 keeps all.
    pub typical_p: f32,
    /// Keeps the smallest set of this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps what is at least this fraction as probable as the best; 0 keeps all.
    pub min_p: f32,
}

impl Cut {
    /// Whether nothing is left out of `vocabulary` tokens.
    pub fn keeps_all(&self, vocabulary: usize) -> bool {
        !self.cuts_k(vocabulary) && self.typical_p >= 1.0 && self.top_p >= 1.0 && self.min_p <= 0.0
    }

    const fn cuts_k(&self, vocabulary: usize) -> bool {
        self.top_k > 0 && self.top_k < vocabulary
    }
}

/// The largest logit; minus infinity when there is none. What is not a number is passed over.
pub fn max(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = if *logit > *lane { *logit } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |best, logit| if *logit > best { *logit } else { best })
}

/// Fills `kept` with the tokens that `cut` leaves.
pub fn keep(logits: &[f32], max: f32, cut: Cut, kept: &mut Vec<Candidate>) {
    let floor = if cut.min_p > 0.0 { max + cut.min_p.ln() } else { f32::NEG_INFINITY };
    if cut.typical_p < 1.0 {
        keep_typical(logits, max, cut, kept);
        return;
    }
    if cut.cuts_k(logits.len()) {
        gather_top_k(logits, max, cut.top_k, kept);
        keep_top_p(kept, max, cut.top_p);
    } else if cut.top_p < 1.0 {
        gather_mass(logits, max, cut.top_p, kept);
    } else {
        gather(logits, floor, kept);
        return;
    }
    let end = kept.partition_point(|candidate| candidate.logit >= floor);
    kept.truncate(end.max(1));
}

/// As [`keep`], with the tokens that are not typical left out before `top_p` and `min_p` (Meister and others, "Locally
/// Typical Sampling", 2023).
fn keep_typical(logits: &[f32], max: f32, cut: Cut, kept: &mut Vec<Candidate>) {
    if cut.cuts_k(logits.len()) {
        gather_top_k(logits, max, cut.top_k, kept);
    } else {
        gather(logits, f32::NEG_INFINITY, kept);
    }
    let total = total_weight(kept, max);
    let share = |candidate: &Candidate| f64::from(exp(candidate.logit - max)) / total;
    let surprise = |share: f64| if share > 0.0 { -share.ln() } else { f64::INFINITY };
    let expected: f64 =
        kept.iter().map(share).filter(|share| *share > 0.0).map(|share| share * surprise(share)).sum();
    let distance = |candidate: &Candidate| (surprise(share(candidate)) - expected).abs();
    kept.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token)));
    let mut mass = 0.0;
    let end = kept.iter().position(|candidate| {
        mass += share(candidate);
        mass >= f64::from(cut.typical_p)
    });
    kept.truncate(end.map_or(kept.len(), |last| last + 1));
    kept.sort_unstable_by(best_first);
    let best = kept.first().map_or(max, |candidate| candidate.logit);
    keep_top_p(kept, best, cut.top_p);
    if cut.min_p > 0.0 {
        let floor = best + cut.min_p.ln();
        let end = kept.partition_point(|candidate| candidate.logit >= floor);
        kept.truncate(end.max(1));
    }
}

/// The smallest set of the best of `kept`, which is sorted, with this share of their probability.
fn keep_top_p(kept: &mut Vec<Candidate>, max: f32, top_p: f32) {
    if top_p < 1.0 {
        let total = total_weight(kept, max);
        keep_mass(kept, max, f64::from(top_p) * total);
    }
}

fn total_weight(kept: &[Candidate], max: f32) -> f64 {
    kept.iter().map(|candidate| f64::from(exp(candidate.logit - max))).sum()
}

/// Leaves out all tokens at least as probable as `threshold`, but for the least probable of them.
pub fn exclude_top(kept: &mut Vec<Candidate>, max: f32, threshold: f32) {
    let total = total_weight(kept, max);
    let is_top =
        |candidate: &Candidate| f64::from(exp(candidate.logit - max)) >= f64::from(threshold) * total;
    kept.sort_unstable_by(best_first);
    let top = kept.partition_point(is_top);
    let surplus = top.saturating_sub(1);
    kept.rotate_left(surplus);
    kept.truncate(kept.len() - surplus);
}

/// One of `kept`, by its weight at `temperature`; `point` runs from 0 to 1.
pub fn by_weight(kept: &[Candidate], max: f32, temperature: f32, point: f64) -> Option<i32> {
    let weight = |candidate: &Candidate| f64::from(exp((candidate.logit - max) / temperature));
    let total: f64 = kept.iter().map(weight).sum();
    let mut left = point * total;
    for candidate in kept {
        left -= weight(candidate);
        if left < 0.0 {
            return Some(candidate.token);
        }
    }
    // Rounding may leave a trifle over; it belongs to the last one that has any weight.
    kept.iter().rev().find(|candidate| weight(candidate) > 0.0).map(|candidate| candidate.token)
}

/// One of all tokens, by its weight at `temperature`; `point` runs from 0 to 1.
pub fn by_weight_of_all(logits: &[f32], max: f32, temperature: f32, point: f64) -> Option<i32> {
    let total: f64 = logits.chunks(BLOCK).map(|block| block_weight(block, max, temperature)).sum();
    let mut left = point * total;
    let mut last = None;
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        let weight = block_weight(block, max, temperature);
        if left >= weight {
            left -= weight;
            continue;
        }
        for (offset, logit) in block.iter().enumerate() {
            let weight = f64::from(exp((logit - max) / temperature));
            if weight > 0.0 {
                last = i32::try_from(index * BLOCK + offset).ok();
                left -= weight;
                if left < 0.0 {
                    return last;
                }
            }
        }
    }
    last.or_else(|| logits.iter().position(|logit| *logit == max).and_then(|at| i32::try_from(at).ok()))
}

/// The `count` best, sorted.
pub fn gather_top_k(logits: &[f32], max: f32, count: usize, kept: &mut Vec<Candidate>) {
    let mut reach = FIRST_REACH;
    loop {
        gather(logits, max - reach, kept);
        if kept.len() >= count {
            break;
        }
        if reach.is_infinite() {
            break;
        }
        reach = wider(reach);
    }
    if kept.len() > count {
        kept.select_nth_unstable_by(count, best_first);
        kept.truncate(count);
    }
    kept.sort_unstable_by(best_first);
}

/// The smallest set of the best with the share `top_p` of all probability, sorted.
fn gather_mass(logits: &[f32], max: f32, top_p: f32, kept: &mut Vec<Candidate>) {
    let total = weight_of_all(logits, max);
    let wanted = f64::from(top_p) * total;
    let mut reach = FIRST_REACH;
    loop {
        gather(logits, max - reach, kept);
        let mass: f64 = kept.iter().map(|candidate| f64::from(exp(candidate.logit - max))).sum();
        if mass >= wanted || reach.is_infinite() {
            break;
        }
        reach = wider(reach);
    }
    kept.sort_unstable_by(best_first);
    keep_mass(kept, max, wanted);
}

/// The weight of all tokens.
pub fn weight_of_all(logits: &[f32], max: f32) -> f64 {
    logits.chunks(BLOCK).map(|block| block_weight(block, max, 1.0)).sum()
}

fn keep_mass(kept: &mut Vec<Candidate>, max: f32, wanted: f64) {
    let mut mass = 0.0;
    let end = kept.iter().position(|candidate| {
        mass += f64::from(exp(candidate.logit - max));
        mass >= wanted
    });
    kept.truncate(end.map_or(kept.len(), |last| last + 1));
}

/// All tokens whose logit is at least `floor`, in order of their ids.
fn gather(logits: &[f32], floor: f32, kept: &mut Vec<Candidate>) {
    kept.clear();
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        if max(block) < floor {
            continue;
        }
        for (offset, logit) in block.iter().enumerate() {
            if *logit >= floor
                && *logit > f32::NEG_INFINITY
                && let Ok(token) = i32::try_from(index * BLOCK + offset)
            {
                kept.push(Candidate { token, logit: *logit });
            }
        }
    }
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// Beyond 64 below the best nothing has weight, so that the next step is everything.
fn wider(reach: f32) -> f32 {
    if reach >= 64.0 { f32::INFINITY } else { reach * 2.0 }
}

fn block_weight(block: &[f32], max: f32, temperature: f32) -> f64 {
    let mut lanes = [0.0f32; 8];
    let (chunks, rest) = block.as_chunks::<8>();
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane += exp((logit - max) / temperature);
        }
    }
    let rest: f32 = rest.iter().map(|logit| exp((logit - max) / temperature)).sum();
    f64::from(lanes.iter().sum::<f32>() + rest)
}

/// `e` to the power of `x`, for `x` up to 0, to about two units in the last place, without a branch: the
/// nearest power of two by the usual rounding constant, and a polynomial for the rest.
#[inline]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Below this the result is not a normal number any more; NaN goes here too.
    let x = if x > -87.0 { x } else { -104.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = sum * rest + coefficient;
    }
    let value = sum * rest * rest + rest + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let scaled = value * f32::from_bits(exponent << 23);
    if x > -87.0 { scaled } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_a_few_units_in_the_last_place() {
        for step in 0..87_000 {
            let x = -(step as f32) / 1000.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours - theirs).abs() <= theirs * 4e-7, "exp({x}) = {ours}, should be {theirs}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::NAN), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }
}
