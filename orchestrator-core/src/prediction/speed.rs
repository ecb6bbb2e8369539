//! How fast one replica reads and writes, learned from what it reports.
//!
//! Rules: ORCH-PLACE-4

use std::collections::VecDeque;

use super::linear_fit::{FitShape, LinearFit};
use crate::ReplicaProfile;

/// Prompt length that the self-test's figure is taken to speak of. The line is proportional until there
/// are measurements of other lengths, so that the figure holds for any length.
const SELF_TEST_PROMPT: f64 = 256.0;

/// Answers of this length or longer have full weight; a shorter one says less of the speed.
const TELLING_TOKENS: f64 = 16.0;

/// One replica's speed: prefill time over prompt tokens, and time a token over the number of streams.
#[derive(Clone, Debug)]
pub(crate) struct Speed {
    prefill_ms: LinearFit,
    token_ms: LinearFit,
    /// How the last measurements of a token compare with what was believed.
    surprises: VecDeque<f64>,
}

/// So many measurements in a row that are all off to the same side by this share are no noise: the speed is
/// another one now.
const SURPRISES: usize = 4;
const SURPRISING: f64 = 1.15;

/// The figures of one task, from which its replica's speed is learned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Prompt tokens that were computed.
    pub(crate) read: f64,
    pub(crate) prefill_ms: f64,
    pub(crate) written: f64,
    pub(crate) decode_ms: f64,
    /// Streams that ran on the replica meanwhile, on average, its own included.
    pub(crate) streams: f64,
}

impl Speed {
    /// Knows what the self-test measured, and nothing else.
    pub(crate) fn from_self_test(profile: &ReplicaProfile) -> Self {
        let mut speed = Self {
            prefill_ms: LinearFit::new(FitShape::Proportional),
            token_ms: LinearFit::new(FitShape::Flat),
            surprises: VecDeque::with_capacity(SURPRISES),
        };
        let sound = |tps: &f64| tps.is_finite() && *tps > 0.0;
        if let Some(tps) = profile.prefill_tps.filter(sound) {
            speed.prefill_ms.add(SELF_TEST_PROMPT, SELF_TEST_PROMPT / tps * 1000.0, 1.0);
        }
        if let Some(tps) = profile.decode_tps.filter(sound) {
            speed.token_ms.add(1.0, 1000.0 / tps, 1.0);
        }
        if let Some(batched) = profile.batched.filter(|batched| sound(&batched.decode_tps)) {
            speed.token_ms.add(f64::from(batched.streams), 1000.0 / batched.decode_tps, 1.0);
        }
        speed
    }

    pub(crate) fn learn(&mut self, seen: &Measurement) {
        if seen.read > 0.0 {
            self.prefill_ms.add(seen.read, seen.prefill_ms, (seen.read / TELLING_TOKENS).min(1.0));
        }
        // The first token belongs to the prefill.
        let steps = seen.written - 1.0;
        if steps >= 1.0 && seen.decode_ms > 0.0 {
            self.note_surprise(seen.decode_ms / steps, seen.streams);
            self.token_ms.add(seen.streams, seen.decode_ms / steps, (steps / TELLING_TOKENS).min(1.0));
        }
    }

    /// Follows a jump of the speed at once, instead of by and by. What was measured at other numbers of streams
    /// keeps its proportion, and the prefill jumps with it.
    fn note_surprise(&mut self, token_ms: f64, streams: f64) {
        let Some(believed) = self.token_ms.at(streams).filter(|ms| *ms > 0.0) else { return };
        if self.surprises.len() == SURPRISES {
            self.surprises.pop_front();
        }
        self.surprises.push_back(token_ms / believed);
        let all =
            |test: fn(&f64) -> bool| self.surprises.len() == SURPRISES && self.surprises.iter().all(test);
        if all(|ratio| *ratio > SURPRISING) || all(|ratio| *ratio < 1.0 / SURPRISING) {
            let newest = token_ms / believed;
            self.token_ms.scale(newest);
            self.prefill_ms.scale(newest);
            self.surprises.clear();
        }
    }

    pub(crate) fn prefill_ms(&self, tokens: f64) -> Option<f64> {
        if tokens <= 0.0 { Some(0.0) } else { self.prefill_ms.at(tokens) }
    }

    pub(crate) fn token_ms(&self, streams: f64) -> Option<f64> {
        self.token_ms.at(streams)
    }

    /// How long one task takes among so many streams. A part of the speed that is not known counts for
    /// nothing beside one that is; nothing when neither is known.
    pub(crate) fn task_ms(&self, read: f64, write: f64, streams: f64) -> Option<f64> {
        match (self.prefill_ms.at(read), self.token_ms.at(streams)) {
            (None, None) => None,
            (prefill, token) => {
                let prefill = if read > 0.0 { prefill.unwrap_or(0.0) } else { 0.0 };
                Some(prefill + write * token.unwrap_or(0.0))
            }
        }
    }
}
