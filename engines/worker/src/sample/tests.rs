//! The sampler against plain, slow versions of the same rules.

use generation::{LogitBias, SamplingParams};
use proptest::prelude::*;

use super::*;

fn plain() -> SamplingParams {
    SamplingParams { temperature: Some(1.0), repeat_last_n: Some(64), ..SamplingParams::GREEDY }
}

fn sampler(how: &SamplingParams, logit_bias: &[LogitBias], seed: u64, prompt: &[i32]) -> Sampler {
    Sampler::new(Settings::new(how, [].into()), logit_bias.to_vec(), seed, prompt)
}

/// What may be chosen, by sorting everything.
fn allowed(logits: &[f32], how: &SamplingParams) -> Vec<i32> {
    let mut all: Vec<(i32, f64)> = (0..).zip(logits.iter().map(|l| f64::from(*l))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if how.top_k > Some(0) {
        all.truncate(how.top_k.unwrap() as usize);
    }
    let best = all[0].1;
    let total: f64 = all.iter().map(|(_, l)| (l - best).exp()).sum();
    let mut mass = 0.0;
    let mut kept = Vec::new();
    for (token, logit) in &all {
        kept.push((*token, (logit - best).exp()));
        mass += (logit - best).exp();
        if mass >= f64::from(how.top_p.unwrap()) * total {
            break;
        }
    }
    kept.retain(|(_, p)| *p >= f64::from(how.min_p.unwrap()) * (1.0 - 1e-6));
    kept.into_iter().map(|(token, _)| token).collect()
}

fn draws(logits: &[f32], how: &SamplingParams, count: u64) -> Vec<i32> {
    biased_draws(logits, how, &[], count)
}

fn biased_draws(logits: &[f32], how: &SamplingParams, bias: &[LogitBias], count: u64) -> Vec<i32> {
    let mut scratch = Scratch::default();
    (0..count)
        .map(|seed| sampler(how, bias, seed, &[]).pick(logits, &mut scratch).expect("a token"))
        .collect()
}

proptest! {
    #[test]
    fn only_what_top_k_top_p_and_min_p_leave_is_chosen(
        logits in prop::collection::vec(-30.0f32..30.0, 1..400),
        top_k in 0u32..50,
        top_p in prop::sample::select(vec![1.0f32, 0.95, 0.5, 0.1]),
        min_p in prop::sample::select(vec![0.0f32, 0.05, 0.5]),
    ) {
        let how = SamplingParams { top_k: Some(top_k), top_p: Some(top_p), min_p: Some(min_p), ..plain() };
        let allowed = allowed(&logits, &how);
        for token in draws(&logits, &how, 40) {
            prop_assert!(allowed.contains(&token), "{token} is not among {allowed:?}");
        }
    }

    #[test]
    fn greedy_takes_the_first_of_the_best(logits in prop::collection::vec(-5i8..5, 1..300)) {
        let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let wanted = logits.iter().position(|l| *l == best).expect("there is one") as i32;
        let how = SamplingParams { temperature: Some(0.0), ..plain() };
        prop_assert_eq!(draws(&logits, &how, 1)[0], wanted);
    }
}

#[test]
fn tokens_are_chosen_as_often_as_they_are_probable() {
    let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln()).collect();
    for how in [
        plain(),
        SamplingParams { top_k: Some(3), ..plain() },
        SamplingParams { top_p: Some(0.7), ..plain() },
    ] {
        let allowed = allowed(&logits, &how);
        let total: f32 = allowed.iter().map(|t| logits[*t as usize].exp()).sum();
        let drawn = draws(&logits, &how, 20_000);
        for token in allowed {
            let share = drawn.iter().filter(|t| **t == token).count() as f32 / 20_000.0;
            let wanted = logits[token as usize].exp() / total;
            assert!((share - wanted).abs() < 0.015, "{token}: {share} instead of {wanted} with {how:?}");
        }
    }
}

#[test]
fn a_lower_temperature_makes_the_best_token_more_frequent() {
    let logits = [1.0f32, 0.0];
    let share = |temperature| {
        let drawn = draws(&logits, &SamplingParams { temperature: Some(temperature), ..plain() }, 5_000);
        drawn.iter().filter(|t| **t == 0).count()
    };
    let (cold, warm, hot) = (share(0.25), share(1.0), share(4.0));
    assert!(cold > warm && warm > hot, "{cold} {warm} {hot}");
    assert!((4_800..5_000).contains(&cold), "e^4 to 1 is 98 percent, not {cold} of 5000");
}

#[test]
fn a_banned_token_is_never_chosen_and_a_favoured_one_always() {
    let logits = [5.0f32, 4.0, 3.0];
    let with = |token, bias| biased_draws(&logits, &plain(), &[LogitBias { token, bias }], 300);
    assert!(with(0, f32::NEG_INFINITY).iter().all(|t| *t != 0));
    assert!(with(2, 100.0).iter().all(|t| *t == 2));
    assert_eq!(with(77, 100.0), draws(&logits, &plain(), 300), "one that is not there changes nothing");
}

#[test]
fn penalties_of_presence_and_frequency_look_at_the_answer_alone() {
    let how = SamplingParams { temperature: Some(0.0), presence_penalty: Some(1.0), ..plain() };
    let logits = [2.0f32, 1.5, 0.9];
    let mut answer = sampler(&how, &[], 1, &[0, 0]);
    let mut scratch = Scratch::default();
    let mut next = |how: &mut Sampler| {
        let token = how.pick(&logits, &mut scratch).expect("a token");
        how.accept(token);
        token
    };
    assert_eq!([0; 4].map(|_| next(&mut answer)), [0, 1, 0, 0], "presence is punished once");
    let how = SamplingParams { temperature: Some(0.0), frequency_penalty: Some(0.6), ..plain() };
    let mut answer = sampler(&how, &[], 1, &[0, 0]);
    assert_eq!([0; 5].map(|_| next(&mut answer)), [0, 1, 0, 1, 2], "frequency each time");
}

#[test]
fn top_choices_are_left_out_as_often_as_asked_but_for_the_last_of_them() {
    let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
    let how = |probability| SamplingParams {
        xtc_probability: Some(probability),
        xtc_threshold: Some(0.2),
        ..plain()
    };
    let always = draws(&logits, &how(1.0), 2_000);
    assert!(always.iter().all(|token| *token != 0), "the first of the two above the threshold");
    assert!(always.contains(&1) && always.contains(&2) && always.contains(&3));
    let first = draws(&logits, &how(0.5), 10_000).iter().filter(|token| **token == 0).count();
    assert!((2_300..2_700).contains(&first), "half of 50 percent, not {first} of 10000");
}

#[test]
fn typical_keeps_what_is_nearest_to_the_expected_information() {
    // The entropy is 1.21 nats; the surprises are 0.69, 1.39, 2.08 and 2.08: the second is nearest.
    let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln()).collect();
    let how = |typical_p| SamplingParams { typical_p: Some(typical_p), ..plain() };
    assert!(draws(&logits, &how(0.2), 200).iter().all(|token| *token == 1));
    let two = draws(&logits, &how(0.7), 2_000);
    assert!(two.iter().all(|token| *token < 2) && two.contains(&0) && two.contains(&1));
}

#[test]
fn a_repeated_sequence_is_left_where_it_would_go_on() {
    let how = SamplingParams { temperature: Some(0.0), dry_multiplier: Some(2.0), ..plain() };
    let logits = [0.0f32, 0.0, 0.0, 1.0, 0.5];
    let pick = |prompt| sampler(&how, &[], 1, prompt).pick(&logits, &mut Scratch::default());
    assert_eq!(pick(&[1, 2, 3, 0, 1, 2]), Some(4));
    assert_eq!(pick(&[1, 2, 3, 0, 2, 1]), Some(3));
}

#[test]
fn the_penalty_sees_prompt_and_answer_within_its_window_only() {
    let how = SamplingParams {
        temperature: Some(0.0),
        repeat_penalty: Some(2.0),
        repeat_last_n: Some(2),
        ..plain()
    };
    let mut sampler = sampler(&how, &[], 1, &[0, 0, 1]);
    let mut scratch = Scratch::default();
    let logits = [4.0f32, 3.9, 3.0, -1.0];
    assert_eq!(sampler.pick(&logits, &mut scratch), Some(2), "0 and 1 are in the window and halved");
    sampler.accept(2);
    assert_eq!(sampler.pick(&logits, &mut scratch), Some(0), "0 has left the window of 2");
}

#[test]
fn negative_logits_are_pushed_down_by_the_penalty() {
    let how = SamplingParams { temperature: Some(0.0), repeat_penalty: Some(3.0), ..plain() };
    let sampler = sampler(&how, &[], 1, &[0]);
    assert_eq!(sampler.pick(&[-1.0, -2.0], &mut Scratch::default()), Some(1));
}

/// ORCH-DET-3
#[test]
fn the_number_for_a_token_depends_on_seed_and_place_alone() {
    let logits: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();
    let answer = |seed, rejected: bool| {
        let mut sampler = sampler(&plain(), &[], seed, &[]);
        let mut scratch = Scratch::default();
        (0..20)
            .map(|_| {
                if rejected {
                    scratch.load(&logits);
                    sampler.pick_edited(Draw::AfterRejection, &mut scratch);
                }
                let token = sampler.pick(&logits, &mut scratch).expect("a token");
                sampler.accept(token);
                token
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(answer(7, false), answer(7, true), "a second draw moves no later token");
    assert_ne!(answer(7, false), answer(8, false));
}

#[test]
fn logits_that_are_no_numbers_give_no_token() {
    let mut scratch = Scratch::default();
    for how in [plain(), SamplingParams { temperature: Some(0.0), ..plain() }] {
        let sampler = sampler(&how, &[], 1, &[]);
        assert_eq!(sampler.pick(&[f32::NAN; 4], &mut scratch), None);
        assert_eq!(sampler.pick(&[f32::NEG_INFINITY; 4], &mut scratch), None);
        assert_eq!(sampler.pick(&[], &mut scratch), None);
    }
}
