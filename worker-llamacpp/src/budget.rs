//! How many prompt tokens one step may read. While nothing decodes: as many as fit a bound of time, so
//! that a cancel or a more urgent prompt never waits longer than that. While sequences decode: so many
//! that the step stays within a multiple of what it takes without them, so that reading a long prompt
//! never stalls a running stream. Everything is measured; the clock is the caller's.

use std::time::Duration;

/// A step that decodes and reads takes at most this many times the step that only decodes. The promise is
/// twice; the rest is for what cannot be foreseen.
const STRETCH: f64 = 1.7;

/// The longest step while nothing decodes.
const ALONE: Duration = Duration::from_millis(250);

/// Prompt tokens of a step as long as nothing is known about their cost.
const FIRST_CHUNK: usize = 2;

/// The smallest chunk while nothing decodes: below it the work of a step itself would show.
const LEAST_ALONE: usize = 32;

/// After so many steps with prompt tokens one goes without, to measure what decoding alone takes.
const REFRESH: u32 = 24;

/// How much one measurement moves what is known.
const WEIGHT: f64 = 0.2;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Sequences that decoded a token.
    pub decoding: usize,
    /// Prompt tokens read.
    pub reading: usize,
}

/// Follows the step times and says how much to read.
#[derive(Debug)]
pub struct StepBudget {
    most: usize,
    /// Milliseconds of a step that only decodes, by the number of sequences; index 0 is not used.
    quiet: Vec<Option<f64>>,
    /// Prompt tokens of the next mixed step, by the number of sequences.
    mixed: Vec<f64>,
    /// Milliseconds a prompt token takes while nothing decodes.
    alone: Option<f64>,
    since_quiet: u32,
}

impl StepBudget {
    /// For at most `slots` sequences and `most` prompt tokens a step.
    #[must_use]
    pub fn new(slots: usize, most: usize) -> Self {
        Self {
            most: most.max(1),
            quiet: vec![None; slots + 1],
            mixed: vec![FIRST_CHUNK as f64; slots + 1],
            alone: None,
            since_quiet: 0,
        }
    }

    /// Prompt tokens the next step may read beside `decoding` sequences.
    #[must_use]
    pub fn reading(&self, decoding: usize) -> usize {
        if decoding == 0 {
            let fits = self.alone.map_or(LEAST_ALONE as f64, |cost| ALONE.as_secs_f64() * 1e3 / cost);
            return (fits as usize).clamp(1, self.most);
        }
        let decoding = decoding.min(self.mixed.len() - 1);
        if self.quiet[decoding].is_none() || self.since_quiet >= REFRESH {
            return 0;
        }
        (self.mixed[decoding] as usize).clamp(1, self.most)
    }

    /// Learns from a step that took `took`.
    pub fn observe(&mut self, shape: StepShape, took: Duration) {
        let took = took.as_secs_f64() * 1e3;
        let decoding = shape.decoding.min(self.mixed.len() - 1);
        match (decoding, shape.reading) {
            (0, 0) => {}
            (0, tokens) => move_towards(&mut self.alone, took / tokens as f64),
            (_, 0) => {
                move_towards(&mut self.quiet[decoding], took);
                self.since_quiet = 0;
            }
            (_, tokens) => {
                self.since_quiet += 1;
                let Some(quiet) = self.quiet[decoding] else { return };
                let room = quiet * (STRETCH - 1.0);
                let used = (took - quiet).max(room / 8.0);
                // What would have filled the room, if the cost of the tokens alone decided.
                let fitting = (tokens as f64 * room / used).min(tokens as f64 * 2.0);
                let next = &mut self.mixed[decoding];
                *next += (fitting - *next) * if fitting < *next { 2.0 * WEIGHT } else { WEIGHT };
                *next = next.clamp(1.0, self.most as f64);
            }
        }
    }
}

fn move_towards(known: &mut Option<f64>, measured: f64) {
    *known = Some(known.map_or(measured, |known| known + (measured - known) * WEIGHT));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` steps on a pretend engine and returns the times of those that decoded.
    fn run(
        budget: &mut StepBudget,
        decoding: usize,
        steps: usize,
        engine: impl Fn(StepShape) -> f64,
    ) -> Vec<f64> {
        (0..steps)
            .map(|_| {
                let shape = StepShape { decoding, reading: budget.reading(decoding) };
                let took = engine(shape);
                budget.observe(shape, Duration::from_secs_f64(took / 1e3));
                took
            })
            .collect()
    }

    fn p95(mut times: Vec<f64>) -> f64 {
        times.sort_by(f64::total_cmp);
        times[times.len() * 95 / 100]
    }

    #[test]
    fn a_running_stream_keeps_within_twice_its_quiet_step() {
        for (step, token) in [(8.0, 4.0), (50.0, 4.0), (8.0, 0.2), (8.0, 0.01)] {
            let engine = |shape: StepShape| {
                step + if shape.reading > 0 { 0.3 * step } else { 0.0 } + token * shape.reading as f64
            };
            let mut budget = StepBudget::new(4, 512);
            let times = run(&mut budget, 2, 400, engine);
            assert!(p95(times) <= 2.0 * step + token, "step {step} ms, token {token} ms");
            let reading = budget.reading(2).max(run(&mut budget, 2, 2, engine).len());
            assert!(reading >= 1, "reading must go on");
        }
    }

    #[test]
    fn reading_uses_the_room_there_is() {
        let engine = |shape: StepShape| 50.0 + 4.0 * shape.reading as f64;
        let mut budget = StepBudget::new(4, 512);
        let times = run(&mut budget, 1, 200, engine);
        let mean = times.iter().sum::<f64>() / 200.0;
        assert!(mean > 50.0 * 1.5, "mean step {mean} ms leaves room unused");
    }

    #[test]
    fn an_engine_slower_than_any_budget_still_reads_one_token_a_step() {
        let engine = |shape: StepShape| 8.0 + 100.0 * shape.reading as f64;
        let mut budget = StepBudget::new(4, 512);
        run(&mut budget, 1, 100, engine);
        let read: usize = (0..50)
            .map(|_| {
                let shape = StepShape { decoding: 1, reading: budget.reading(1) };
                budget.observe(shape, Duration::from_secs_f64(engine(shape) / 1e3));
                shape.reading
            })
            .sum();
        assert!((40..=50).contains(&read), "{read} tokens in 50 steps");
    }

    #[test]
    fn alone_a_step_is_bounded_in_time_and_in_tokens() {
        let mut slow = StepBudget::new(4, 512);
        assert_eq!(slow.reading(0), LEAST_ALONE, "nothing known: a small first chunk");
        run(&mut slow, 0, 20, |shape| 4.0 * shape.reading as f64);
        assert!((55..=64).contains(&slow.reading(0)), "250 ms of 4 ms a token: {}", slow.reading(0));
        let mut fast = StepBudget::new(4, 512);
        run(&mut fast, 0, 20, |shape| 0.1 * shape.reading as f64);
        assert_eq!(fast.reading(0), 512);
    }

    #[test]
    fn decoding_alone_is_measured_again_from_time_to_time() {
        let mut budget = StepBudget::new(2, 64);
        let shapes: Vec<usize> = (0..100)
            .map(|_| {
                let shape = StepShape { decoding: 1, reading: budget.reading(1) };
                budget.observe(shape, Duration::from_millis(10 + shape.reading as u64));
                shape.reading
            })
            .collect();
        let quiet = shapes.iter().filter(|reading| **reading == 0).count();
        assert!((4..=5).contains(&quiet), "{quiet} quiet steps in 100");
    }
}
