//! Lines, lengths, timelines and grades.

use proptest::prelude::*;

use super::linear_fit::{FitShape, LinearFit};
use super::timeline::{Slot, kth_start};
use super::*;
use crate::work::Work;
use crate::{Millis, Priority, ReplicaProfile, TokenCount};

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-6 * right.abs().max(1.0)
}

/// What is known after a self-test of one stream.
fn tested(prefill_tps: Option<f64>, decode_tps: Option<f64>) -> Speed {
    Speed::from_self_test(&ReplicaProfile { prefill_tps, decode_tps, ..ReplicaProfile::default() })
}

#[test]
fn nothing_is_known_before_a_measurement() {
    assert_eq!(LinearFit::new(FitShape::Flat).at(1.0), None);
    assert_eq!(tested(None, None).task_ms(10.0, 10.0, 1.0), None);
    assert_eq!(tested(Some(0.0), Some(f64::NAN)).task_ms(10.0, 10.0, 1.0), None);
    assert_eq!(Grader::new().accuracy(), None);
}

#[test]
fn the_self_test_is_the_speed_until_tasks_say_more() {
    let speed = tested(Some(500.0), Some(50.0));
    let ms = speed.task_ms(100.0, 10.0, 1.0).expect("it was measured");
    assert!(close(ms, 200.0 + 200.0), "{ms}");
}

#[test]
fn more_streams_slow_each_other_down_as_they_were_seen_to() {
    let mut speed = tested(None, Some(100.0));
    for streams in [1.0, 4.0].repeat(20) {
        let decode_ms = 99.0 * (5.0 + 7.0 * streams);
        speed.learn(&Measurement { read: 0.0, prefill_ms: 0.0, written: 100.0, decode_ms, streams });
    }
    let ms = speed.token_ms(8.0).expect("it was measured");
    assert!((ms - 61.0).abs() < 1.0, "5 + 7 * 8 ms a token, got {ms}");
}

#[test]
fn a_replica_that_became_slower_is_known_to_be_after_a_few_tasks() {
    let mut speed = tested(Some(1000.0), Some(100.0));
    let slow =
        Measurement { read: 100.0, prefill_ms: 300.0, written: 101.0, decode_ms: 3000.0, streams: 1.0 };
    (0..30).for_each(|_| speed.learn(&slow));
    let ms = speed.task_ms(100.0, 100.0, 1.0).expect("it was measured");
    assert!((ms - 3300.0).abs() < 100.0, "{ms}");
}

#[test]
fn an_answer_is_expected_to_be_as_long_as_its_hint_then_as_its_class_has_been() {
    let mut lengths = Lengths::default();
    let hinted = Work::new(TokenCount(1), Some(TokenCount(50)), Some(TokenCount(80)));
    let small = Work::new(TokenCount(1), Some(TokenCount(30)), None);
    let open = Work::new(TokenCount(1), None, None);
    let lane = Priority::Interactive;
    assert!(close(lengths.output(lane, &hinted), 50.0));
    assert!(close(lengths.output(lane, &small), 32.0));
    assert!(close(lengths.output(lane, &open), f64::from(UNSEEN_OUTPUT.0)));
    (0..50).for_each(|_| lengths.learn(lane, &open, 0, 600));
    assert!(close(lengths.output(lane, &open), 600.0));
    assert!(close(lengths.output(lane, &small), 32.0), "a class not seen yet keeps its bound");
    assert!(close(lengths.output(Priority::Batch, &open), f64::from(UNSEEN_OUTPUT.0)));
    lengths.learn(lane, &small, 0, 10);
    assert!(close(lengths.output(lane, &small), 10.0));
}

/// ORCH-PRED-2
#[test]
fn grades_say_how_far_off_the_predictions_were() {
    let mut grader = Grader::new();
    for waited in [100.0, 200.0, 50.0] {
        grader.grade(&StartForecast { expected: Millis(100), late: Millis(150) }, waited);
    }
    let accuracy = grader.accuracy().expect("three were graded");
    assert_eq!(accuracy.graded, 3);
    assert!(close(accuracy.median_error, 0.5), "{accuracy:?}");
    assert!(close(accuracy.mean_error, 0.5), "{accuracy:?}");
    assert!(close(accuracy.late_coverage, 2.0 / 3.0), "{accuracy:?}");
}

/// ORCH-PRED-2
#[test]
fn a_task_that_did_not_wait_and_was_not_told_to_is_not_graded() {
    let mut grader = Grader::new();
    grader.grade(&StartForecast::default(), 0.2);
    assert_eq!(grader.accuracy(), None);
}

/// ORCH-PRED-3
#[test]
fn nine_in_ten_tasks_start_before_they_would_be_late() {
    // The computed margin is a third of the true one, or three times it.
    for margin in [330.0, 3000.0] {
        let mut grader = Grader::new();
        // Waits from half to one and a half times the middle, in an order without a pattern.
        for step in 0..3000u32 {
            let forecast = grader.forecast(1000.0, 1000.0 + margin);
            assert_eq!(forecast.expected, Millis(1000), "only the margin is corrected");
            grader.grade(&forecast, 500.0 + f64::from(step * 7919 % 1000));
        }
        let covered = grader.accuracy().expect("many were graded").late_coverage;
        assert!((0.85..=0.95).contains(&covered), "{covered}");
    }
}

#[test]
fn what_is_left_of_an_answer_is_what_longer_ones_had_left() {
    let mut recent = recent::Recent::default();
    (0..100u32).for_each(|step| recent.add((step * 37 % 100 + 1) * 10));
    let length = Length::Seen { lengths: recent.sorted(), most: 800.0 };
    assert!(close(length.at(0.5), 510.0));
    assert!(close(length.left(700.0, 0.0), 10.0));
    assert!(close(length.left(700.0, 0.9), 100.0), "no answer is longer than it may be");
    assert!(close(Length::Known(50.0).left(20.0, 0.5), 30.0));
    assert!(Length::Known(50.0).left(60.0, 0.5) > 0.0, "longer than its caller said");
}

/// ORCH-PRED-3
#[test]
fn lengths_that_change_are_known_within_a_dozen_answers_and_chance_forgets_nothing() {
    let mut recent = recent::Recent::default();
    // From 1 to 200 in an order without a pattern, then three times as long.
    let length = |step: u32| 1 + step * 7919 % 200;
    (0..600).for_each(|step| recent.add(length(step)));
    assert_eq!(recent.len(), 256);
    (600..612).for_each(|step| recent.add(300 + length(step)));
    assert!(recent.len() <= 16, "{}", recent.len());
    let mean = recent.mean().expect("many were seen");
    assert!((300.0..500.0).contains(&mean), "{mean}");
}

/// ORCH-PRED-3
#[test]
fn a_speed_that_halves_or_doubles_is_known_after_four_tasks() {
    for factor in [2.0, 0.5] {
        let mut speed = tested(Some(1000.0), Some(100.0));
        let seen = |factor: f64| Measurement {
            read: 100.0,
            prefill_ms: 100.0 * factor,
            written: 101.0,
            decode_ms: 1000.0 * factor,
            streams: 2.0,
        };
        (0..50).for_each(|_| speed.learn(&seen(1.0)));
        (0..4).for_each(|_| speed.learn(&seen(factor)));
        let ms = speed.task_ms(100.0, 100.0, 2.0).expect("it was measured");
        assert!((ms / (1100.0 * factor) - 1.0).abs() < 0.1, "{ms} at {factor}");
    }
}

/// The k-th start by handing the tasks out one after the other.
fn by_hand(slots: &[Slot], k: usize) -> f64 {
    let mut slots = slots.to_vec();
    let mut start = 0.0;
    for _ in 0..=k {
        let next = slots.iter_mut().min_by(|a, b| a.ready.total_cmp(&b.ready)).expect("there are slots");
        start = next.ready;
        next.ready += next.task;
    }
    start
}

proptest! {
    /// ORCH-PRED-1
    #[test]
    fn the_kth_start_is_where_handing_out_one_by_one_gets(
        slots in prop::collection::vec((0u32..500, 1u32..300), 1..9),
        k in 0usize..200,
    ) {
        let mut slots: Vec<Slot> = slots
            .iter()
            .map(|(ready, task)| Slot { ready: f64::from(*ready), task: f64::from(*task) })
            .collect();
        let expected = by_hand(&slots, k);
        let got = kth_start(&mut slots, k).expect("there are slots");
        prop_assert!((got - expected).abs() < 1e-6, "{} for {} in {:?}", got, expected, slots);
    }
}
