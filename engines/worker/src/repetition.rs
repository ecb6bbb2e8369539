//! Finds answers that go round in a loop: the same few tokens over and over, up to the last one. It knows tokens only,
//! and ends nothing by itself.
//!
//! Rules: ORCH-WORKER-8

use std::collections::VecDeque;

use generation::LoopLimit;

/// The longest sequence whose repetition is looked for.
const LONGEST_PERIOD: usize = 64;

/// How often a sequence has to be there at least, however few tokens are allowed.
const LEAST_REPETITIONS: usize = 4;

/// Models of fewer parameters are looked after where the pool does not say. They fall into loops often, larger ones seldom.
const SMALL_MODEL_PARAMETERS: u64 = 4_000_000_000;

/// Tokens that a loop of theirs may have.
const SMALL_MODEL_TOKENS: usize = 512;

/// The last tokens of an answer, and how long they have repeated those before them. A token costs a comparison for each
/// period.
#[derive(Debug)]
pub struct Repetition {
    /// Tokens that a loop has to have.
    limit: usize,
    /// As many as the longest period.
    last: VecDeque<i32>,
    /// At `p - 1`: how many tokens in a row were the same as the one `p` before them.
    same: Vec<usize>,
}

impl Repetition {
    /// What ends the loops of a model of so many parameters; nothing where they may go on.
    #[must_use]
    pub fn new(limit: LoopLimit, parameters: u64) -> Option<Self> {
        let limit = match limit {
            LoopLimit::Off => return None,
            LoopLimit::ByModel if parameters < SMALL_MODEL_PARAMETERS => SMALL_MODEL_TOKENS,
            LoopLimit::ByModel => return None,
            LoopLimit::Tokens(tokens) => tokens.0 as usize,
        };
        let periods = (limit / LEAST_REPETITIONS).clamp(1, LONGEST_PERIOD);
        Some(Self { limit, last: VecDeque::with_capacity(periods), same: vec![0; periods] })
    }

    /// Adds the next token. The length of the sequence that all of the last tokens repeat, once they are as many as a
    /// loop has to have.
    pub fn push(&mut self, token: i32) -> Option<usize> {
        let mut found = None;
        for (at, same) in self.same.iter_mut().enumerate() {
            let is_same = self.last.get(at) == Some(&token);
            *same = if is_same { *same + 1 } else { 0 };
            let period = at + 1;
            if found.is_none() && is_same && *same + period >= self.limit {
                found = Some(period);
            }
        }
        self.last.truncate(self.same.len() - 1);
        self.last.push_front(token);
        found
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::TokenCount;

    use super::*;

    fn of(limit: u32) -> Repetition {
        Repetition::new(LoopLimit::Tokens(TokenCount(limit)), u64::MAX).expect("it is on")
    }

    /// How many tokens are taken before a loop is found, and its period.
    fn found(limit: u32, tokens: impl IntoIterator<Item = i32>) -> Option<(usize, usize)> {
        let mut repetition = of(limit);
        tokens.into_iter().enumerate().find_map(|(at, token)| Some((at + 1, repetition.push(token)?)))
    }

    /// ORCH-WORKER-8
    #[test]
    fn a_loop_is_found_with_the_token_that_makes_it_long_enough() {
        for period in [1, 2, 3, 7, 63, 64] {
            let sequence = || (0..period).cycle();
            let whole = usize::try_from(period).unwrap();
            assert_eq!(found(512, sequence().take(511)), None, "period {period}");
            assert_eq!(found(512, sequence().take(600)), Some((512, whole)), "period {period}");
            // What comes before it is no part of it.
            let late = (1000..1100).chain(sequence());
            assert_eq!(found(512, late.take(700)), Some((612, whole)), "period {period}");
        }
    }

    /// ORCH-WORKER-8
    #[test]
    fn one_other_token_begins_the_count_anew() {
        let round = [1, 2, 3];
        let broken = round.iter().copied().cycle().take(99).chain([9]).chain(round.into_iter().cycle());
        assert_eq!(found(100, broken.take(400)), Some((200, 3)));
        assert_eq!(found(100, (0..400).map(|at| if at % 99 == 98 { -1 } else { 5 })), None);
    }

    /// ORCH-WORKER-8
    #[test]
    fn what_counts_or_repeats_a_long_passage_is_no_loop() {
        assert_eq!(found(64, 0..10_000), None);
        assert_eq!(found(512, (0..65).cycle().take(10_000)), None, "longer than the longest period");
        let rows = (0..2_000).flat_map(|row| [1, 2, 3, 1000 + row, 4]);
        assert_eq!(found(64, rows), None, "each row has a number of its own");
        assert_eq!(found(64, (0..17).cycle().take(10_000)), None, "64 tokens hold it fewer than four times");
        assert_eq!(found(64, (0..16).cycle().take(64)), Some((64, 16)));
    }

    /// ORCH-WORKER-8
    #[test]
    fn small_models_are_looked_after_by_themselves_and_a_number_holds_for_all() {
        let limit = |limit, parameters| Repetition::new(limit, parameters).map(|one| one.limit);
        assert_eq!(limit(LoopLimit::ByModel, 135_000_000), Some(512));
        assert_eq!(limit(LoopLimit::ByModel, 3_999_999_999), Some(512));
        assert_eq!(limit(LoopLimit::ByModel, 4_000_000_000), None);
        assert_eq!(limit(LoopLimit::Off, 135_000_000), None);
        assert_eq!(limit(LoopLimit::Tokens(TokenCount(100)), 70_000_000_000), Some(100));
    }
}
