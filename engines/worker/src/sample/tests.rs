//! The sampler against plain, slow versions of the same rules.

use generation::LogitBias;
use proptest::prelude::*;

use super::*;

fn plain() -> Sampling {
    Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_last_n: 64,
        stop: Vec::new(),
        logit_bias: Vec::new(),
        constraint: None,
    }
}

/// What may be chosen, by sorting everything.
fn allowed(logits: &[f32], how: &Sampling) -> Vec<i32> {
    let mut all: Vec<(i32, f64)> = (0..).zip(logits.iter().map(|l| f64::from(*l))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if how.top_k > 0 {
        all.truncate(how.top_k as usize);
    }
    let best = all[0].1;
    let total: f64 = all.iter().map(|(_, l)| (l - best).exp()).sum();
    let mut mass = 0.0;
    let mut kept = Vec::new();
    for (token, logit) in &all {
        kept.push((*token, (logit - best).exp()));
        mass += (logit - best).exp();
        if mass >= f64::from(how.top_p) * total {
            break;
        }
    }
    kept.retain(|(_, p)| *p >= f64::from(how.min_p) * (1.0 - 1e-6));
    kept.into_iter().map(|(token, _)| token).collect()
}

fn draws(logits: &[f32], how: &Sampling, count: u64) -> Vec<i32> {
    let mut scratch = Scratch::default();
    (0..count)
        .map(|seed| Sampler::new(how.clone(), seed, &[]).pick(logits, &mut scratch).expect("a token"))
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
        let how = Sampling { top_k, top_p, min_p, ..plain() };
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
        let how = Sampling { temperature: 0.0, ..plain() };
        prop_assert_eq!(draws(&logits, &how, 1)[0], wanted);
    }
}

#[test]
fn tokens_are_chosen_as_often_as_they_are_probable() {
    let logits: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln()).collect();
    for how in [plain(), Sampling { top_k: 3, ..plain() }, Sampling { top_p: 0.7, ..plain() }] {
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
        let drawn = draws(&logits, &Sampling { temperature, ..plain() }, 5_000);
        drawn.iter().filter(|t| **t == 0).count()
    };
    let (cold, warm, hot) = (share(0.25), share(1.0), share(4.0));
    assert!(cold > warm && warm > hot, "{cold} {warm} {hot}");
    assert!((4_800..5_000).contains(&cold), "e^4 to 1 is 98 percent, not {cold} of 5000");
}

#[test]
fn a_banned_token_is_never_chosen_and_a_favoured_one_always() {
    let logits = [5.0f32, 4.0, 3.0];
    let bias = |token, bias| Sampling { logit_bias: vec![LogitBias { token, bias }], ..plain() };
    assert!(draws(&logits, &bias(0, f32::NEG_INFINITY), 300).iter().all(|t| *t != 0));
    assert!(draws(&logits, &bias(2, 100.0), 300).iter().all(|t| *t == 2));
    let out_of_range = bias(77, 100.0);
    assert_eq!(draws(&logits, &out_of_range, 50), draws(&logits, &plain(), 50));
}

#[test]
fn the_penalty_sees_prompt_and_answer_within_its_window_only() {
    let how = Sampling { temperature: 0.0, repeat_penalty: 2.0, repeat_last_n: 2, ..plain() };
    let mut sampler = Sampler::new(how, 1, &[0, 0, 1]);
    let mut scratch = Scratch::default();
    let logits = [4.0f32, 3.9, 3.0, -1.0];
    assert_eq!(sampler.pick(&logits, &mut scratch), Some(2), "0 and 1 are in the window and halved");
    sampler.accept(2);
    assert_eq!(sampler.pick(&logits, &mut scratch), Some(0), "0 has left the window of 2");
}

#[test]
fn negative_logits_are_pushed_down_by_the_penalty() {
    let how = Sampling { temperature: 0.0, repeat_penalty: 3.0, ..plain() };
    let sampler = Sampler::new(how, 1, &[0]);
    assert_eq!(sampler.pick(&[-1.0, -2.0], &mut Scratch::default()), Some(1));
}

/// ORCH-DET-3
#[test]
fn the_number_for_a_token_depends_on_seed_and_place_alone() {
    let logits: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();
    let answer = |seed, rejected: bool| {
        let mut sampler = Sampler::new(plain(), seed, &[]);
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
    for how in [plain(), Sampling { temperature: 0.0, ..plain() }] {
        let sampler = Sampler::new(how, 1, &[]);
        assert_eq!(sampler.pick(&[f32::NAN; 4], &mut scratch), None);
        assert_eq!(sampler.pick(&[f32::NEG_INFINITY; 4], &mut scratch), None);
        assert_eq!(sampler.pick(&[], &mut scratch), None);
    }
}
