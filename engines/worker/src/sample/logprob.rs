//! How probable a token was by the model's own logits, before anything that sampling does to them.
//!
//! Rules: ORCH-ENG-12

use generation::{TokenCandidate, TokenLogprob};

use super::select;
use crate::vocabulary::Vocabulary;

/// The most alternatives that are named: what OpenAI's API takes.
pub const MAX_TOP: u8 = 20;

/// The logarithms of the probabilities of `token` and of the `most` most probable tokens.
#[must_use]
pub fn logprob(logits: &[f32], token: i32, most: u8, vocabulary: &Vocabulary) -> TokenLogprob {
    let (chosen, top) = of(logits, token, usize::from(most));
    let named = |(token, logprob)| TokenCandidate { token, bytes: vocabulary.name(token).to_vec(), logprob };
    TokenLogprob { chosen: named((token, chosen)), top: top.into_iter().map(named).collect() }
}

fn of(logits: &[f32], token: i32, most: usize) -> (f32, Vec<(i32, f32)>) {
    let max = select::max(logits);
    let all = (select::weight_of_all(logits, max).ln() as f32) + max;
    let chosen = usize::try_from(token).ok().and_then(|token| logits.get(token));
    let mut best = Vec::new();
    if most > 0 {
        select::gather_top_k(logits, max, most, &mut best);
    }
    let top = best.iter().map(|candidate| (candidate.token, candidate.logit - all)).collect();
    // A banned token has no logarithm that JSON could write; it is never chosen.
    (chosen.map_or(f32::MIN, |logit| (logit - all).max(f32::MIN)), top)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-ENG-12
    #[test]
    fn probabilities_are_those_of_the_softmax_and_the_best_come_first() {
        let logits: Vec<f32> = (0..5000).map(|at| ((at * 37) % 101) as f32 / 10.0).collect();
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let expected = |token: i32| f64::from(logits[token as usize]) - sum.ln();
        let (chosen, top) = of(&logits, 7, 20);
        assert!((f64::from(chosen) - expected(7)).abs() < 1e-4, "{chosen}");
        assert_eq!(top.len(), 20);
        for (token, logprob) in &top {
            assert!((f64::from(*logprob) - expected(*token)).abs() < 1e-4, "{token}: {logprob}");
        }
        assert!(top.is_sorted_by(|a, b| a.1 >= b.1));
        assert_eq!(logits[top[0].0 as usize], 10.0);
        assert!(of(&logits, 7, 0).1.is_empty());
    }
}
