//! The punishment of a token that would go on repeating a sequence: for each place at which the last tokens stood
//! before, the token that followed there loses `multiplier × base^(length − allowed_length)`, the longest such sequence
//! counting. No sequence goes over a breaker.

use std::collections::HashMap;

use super::settings::Dry;

/// Past this the punishment of any token is that of a ban, and the power would be no number.
const MOST_EXPONENT: usize = 64;

/// The tokens so far, and what repeating them costs.
#[derive(Debug)]
pub struct Repeats {
    how: Dry,
    tokens: Vec<i32>,
}

impl Repeats {
    /// After `prompt`.
    #[must_use]
    pub fn new(how: Dry, prompt: &[i32]) -> Self {
        let tokens = prompt[prompt.len().saturating_sub(how.last_n)..].to_vec();
        Self { how, tokens }
    }

    /// Notes that `token` is the next one.
    pub fn accept(&mut self, token: i32) {
        self.tokens.push(token);
        // Cut seldom, so that a token costs the same on average.
        if self.tokens.len() / 2 >= self.how.last_n {
            let surplus = self.tokens.len() - self.how.last_n;
            self.tokens.copy_within(surplus.., 0);
            self.tokens.truncate(self.how.last_n);
        }
    }

    /// Takes from `logits` what a repetition costs.
    pub fn punish(&self, logits: &mut [f32]) {
        for (token, length) in self.followers() {
            let exponent = (length - self.how.allowed_length).min(MOST_EXPONENT);
            let exponent = i32::try_from(exponent).expect("it is bounded");
            if let Some(logit) = usize::try_from(token).ok().and_then(|token| logits.get_mut(token)) {
                *logit -= self.how.multiplier * self.how.base.powi(exponent);
            }
        }
    }

    /// The tokens that followed a sequence that stands at the end now, with its length.
    fn followers(&self) -> HashMap<i32, usize> {
        let window = &self.tokens[self.tokens.len().saturating_sub(self.how.last_n)..];
        let longest = window.iter().rev().take_while(|token| !self.breaks(**token)).count();
        let mut followers = HashMap::new();
        if longest < self.how.allowed_length.max(1) {
            return followers;
        }
        for (back, length) in common_with_end(window).into_iter().enumerate().skip(1) {
            let length = length.min(longest);
            if length >= self.how.allowed_length.max(1) {
                let follower = window[window.len() - back];
                let most = followers.entry(follower).or_insert(length);
                *most = length.max(*most);
            }
        }
        followers
    }

    fn breaks(&self, token: i32) -> bool {
        self.how.breakers.binary_search(&token).is_ok()
    }
}

/// For each number of tokens back from the end, how many tokens before that place are those at the end: the Z function
/// of the tokens read backwards (Gusfield, "Algorithms on Strings, Trees, and Sequences", 1997), in linear time.
fn common_with_end(tokens: &[i32]) -> Vec<usize> {
    let count = tokens.len();
    let at = |back: usize| tokens[count - 1 - back];
    let mut common = vec![0; count];
    let (mut left, mut right) = (0, 0);
    for back in 1..count {
        let mut length = if back < right { common[back - left].min(right - back) } else { 0 };
        while back + length < count && at(length) == at(back + length) {
            length += 1;
        }
        if back + length > right {
            (left, right) = (back, back + length);
        }
        common[back] = length;
    }
    common
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn repeats(tokens: &[i32], last_n: usize, breakers: &[i32]) -> Repeats {
        let breakers = Arc::from(breakers);
        Repeats::new(Dry { multiplier: 1.0, base: 2.0, allowed_length: 2, last_n, breakers }, tokens)
    }

    #[test]
    fn what_followed_the_longest_repetition_loses_most() {
        let mut logits = [0.0f32; 6];
        // `1 2` was followed by 3 and by 4, before 4 also by a longer run.
        repeats(&[1, 2, 3, 0, 1, 2, 4, 0, 1, 2], usize::MAX, &[]).punish(&mut logits);
        assert_eq!(logits, [0.0, 0.0, 0.0, -1.0, -2.0, 0.0]);
    }

    #[test]
    fn no_sequence_goes_over_a_breaker_nor_out_of_the_window() {
        let mut logits = [0.0f32; 6];
        repeats(&[1, 2, 3, 1, 2], usize::MAX, &[2]).punish(&mut logits);
        repeats(&[1, 2, 3, 1, 2], 4, &[]).punish(&mut logits);
        assert_eq!(logits, [0.0; 6]);
        repeats(&[1, 2, 3, 1, 2], 5, &[]).punish(&mut logits);
        assert_eq!(logits[3], -1.0);
    }

    #[test]
    fn tokens_that_come_one_by_one_count_as_those_of_the_prompt() {
        let tokens: Vec<i32> = (0..500).map(|i| i % 7).collect();
        for last_n in [5, 50, usize::MAX] {
            let mut grown = repeats(&tokens[..3], last_n, &[]);
            tokens[3..].iter().for_each(|token| grown.accept(*token));
            assert_eq!(grown.followers(), repeats(&tokens, last_n, &[]).followers(), "{last_n}");
        }
    }

    proptest! {
        #[test]
        fn lengths_are_those_of_comparing_token_by_token(tokens in prop::collection::vec(0i32..3, 0..60)) {
            for (back, length) in common_with_end(&tokens).into_iter().enumerate().skip(1) {
                let end = tokens.iter().rev();
                let plain = end.clone().zip(end.skip(back)).take_while(|(a, b)| a == b).count();
                prop_assert_eq!(length, plain, "{} back", back);
            }
        }
    }
}
