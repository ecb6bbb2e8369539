use proptest::prelude::*;

use fastrand::Rng;

use super::*;

fn policy() -> RestartPolicy {
    RestartPolicy {
        min: Duration::from_secs(1),
        max: Duration::from_secs(20),
        waiting_max: Duration::from_secs(3),
        stable_after: Duration::from_secs(60),
        breaker_after: 6,
    }
}

/// The bounds of the delay after `failures` in a row, written down by hand, in seconds.
fn bounds(failures: u32) -> (u64, u64) {
    match failures {
        1 => (1, 2),
        2 => (1, 4),
        3 => (1, 8),
        4 => (1, 16),
        5 => (1, 20),
        _ => (13, 20),
    }
}

proptest! {
    /// ORCH-REPL-2
    #[test]
    fn every_delay_is_within_its_bounds_and_a_stable_run_starts_afresh(
        seed: u64,
        runs in proptest::collection::vec(prop_oneof![3 => 0_u64..60, 1 => 60_u64..1000], 1..40),
    ) {
        let mut backoff = Backoff::new(policy(), Rng::with_seed(seed));
        let mut in_a_row = 0;
        for ready_for_s in runs {
            in_a_row = if ready_for_s >= 60 { 1 } else { in_a_row + 1 };
            let retry = backoff.failed(Duration::from_secs(ready_for_s));
            let (low, high) = bounds(in_a_row);
            prop_assert_eq!(retry.attempt, in_a_row);
            prop_assert_eq!(retry.breaker == Breaker::Open, in_a_row >= 6);
            prop_assert!(retry.delay >= Duration::from_secs(low), "{:?}", retry);
            prop_assert!(retry.delay <= Duration::from_secs(high), "{:?}", retry);
        }
    }
}

/// ORCH-REPL-2
#[test]
fn delays_spread_over_the_whole_of_their_range() {
    for failures in [1, 4, 7] {
        let delays: Vec<_> = (0..200)
            .map(|seed| {
                let mut backoff = Backoff::new(policy(), Rng::with_seed(seed));
                let delays: Vec<_> = (0..failures).map(|_| backoff.failed(Duration::ZERO).delay).collect();
                delays.last().expect("one at least").as_secs_f64()
            })
            .collect();
        let (low, high) = bounds(failures);
        let quarter = (high - low) as f64 / 4.0;
        assert!(delays.iter().any(|delay| *delay < low as f64 + quarter), "{failures}: none is short");
        assert!(delays.iter().any(|delay| *delay > high as f64 - quarter), "{failures}: none is long");
    }
}

#[test]
fn absurd_settings_neither_overflow_nor_panic() {
    let huge = RestartPolicy { min: Duration::from_secs(9), max: Duration::from_secs(3), ..policy() };
    let mut backoff = Backoff::new(RestartPolicy { breaker_after: u32::MAX, ..huge }, Rng::with_seed(1));
    for _ in 0..100 {
        assert!(backoff.failed(Duration::ZERO).delay <= Duration::from_secs(3));
    }
}

/// ORCH-REPL-2
#[test]
fn a_broken_model_is_tried_again_after_the_longest_delay() {
    let mut backoff = Backoff::new(policy(), Rng::with_seed(1));
    let retry = backoff.failed_for_good();
    assert_eq!(retry, Retry { delay: policy().max, attempt: 1, breaker: Breaker::Open });
}

/// ORCH-REPL-2
#[test]
fn a_start_that_finds_no_memory_is_tried_again_within_the_longest_delay() {
    for seed in 0..200 {
        let retry = Backoff::new(policy(), Rng::with_seed(seed)).no_room();
        assert!(retry.delay <= policy().max, "{retry:?}");
    }
}

/// ORCH-REPL-10
#[test]
fn the_first_failure_of_one_that_was_ready_costs_those_who_wait_no_time() {
    const SECOND: Duration = Duration::from_secs(1);
    let fresh = || Backoff::new(policy(), Rng::with_seed(1));
    let mut backoff = fresh();
    backoff.failed(SECOND);
    assert_eq!(backoff.waiting_delay(), Duration::ZERO);
    backoff.failed(SECOND);
    assert!(backoff.waiting_delay() > Duration::ZERO, "it failed twice within a minute");
    backoff.failed(Duration::from_secs(3600));
    assert_eq!(backoff.waiting_delay(), Duration::ZERO, "it was well in between");
    let mut never_ready = fresh();
    never_ready.failed(Duration::ZERO);
    assert!(never_ready.waiting_delay() > Duration::ZERO);
}
