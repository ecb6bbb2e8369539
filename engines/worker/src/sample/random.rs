//! Random numbers by counter: the number for a token is a function of seed, place and draw, with no state
//! between them. The mixing is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014).
//!
//! Rules: ORCH-DET-3

/// Which random number of a token is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The choice among all tokens.
    First,
    /// The choice after a grammar rejected the first: independent of it, so that the result is
    /// distributed as if the grammar had been applied before.
    AfterRejection,
    /// Whether the most probable tokens are left out.
    Exclusion,
}

/// A number from 0 up to, but not, 1.
pub fn unit(seed: u64, place: u64, draw: Draw) -> f64 {
    let counter = match draw {
        Draw::First => place.wrapping_mul(2).wrapping_add(1),
        Draw::AfterRejection => place.wrapping_mul(2).wrapping_add(2),
        // From the other end, which the places do not reach.
        Draw::Exclusion => u64::MAX - place,
    };
    let bits = mix(mix(seed).wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    // 53 bits: all that the fraction of a double holds.
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
