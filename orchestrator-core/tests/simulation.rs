//! What the placement is worth beside simpler ones, and how good the predictions are, in simulated pools.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a simulation are small numbers"
)]

#[path = "simulation/pools.rs"]
mod pools;

use std::time::Duration;

use orchestrator_core::Priority;
use pools::{Comparison, Machine, Watched, compare, jobs, play, scheduler};

#[test]
fn an_old_card_beside_a_fast_one_never_makes_tasks_slower_than_the_fast_one_alone() {
    for load in [0.1, 0.3, 0.5, 0.7, 0.9] {
        for spread in [0.0, 0.5, 0.9] {
            let Comparison { ours, alone, .. } = compare(1, load, spread);
            let (ours, alone) = (ours.end_ms, alone.end_ms);
            assert!(ours <= alone * 1.01, "load {load}, spread {spread}: {ours:.0} against {alone:.0} ms");
        }
    }
}

#[test]
fn one_to_three_cards_end_tasks_sooner_than_with_least_connections() {
    for load in [0.1, 0.3, 0.5, 0.7, 0.9] {
        for spread in [0.0, 0.5, 0.9] {
            let Comparison { ours, least, .. } = compare(1, load, spread);
            let (ours, least) = (ours.end_ms, least.end_ms);
            assert!(ours < least, "load {load}, spread {spread}: {ours:.0} against {least:.0} ms");
        }
    }
}

#[test]
fn a_load_that_is_too_much_for_the_fast_card_is_carried_by_both() {
    let Comparison { ours, least, alone, .. } = compare(1, 1.2, 0.5);
    let (ours, least, alone) = (ours.end_ms, least.end_ms, alone.end_ms);
    assert!(ours < alone / 5.0, "{ours:.0} against {alone:.0} ms");
    assert!(ours < least * 1.01, "both are always busy: {ours:.0} against {least:.0} ms");
}

#[test]
fn predicted_starts_are_within_a_fifth_and_nine_in_ten_tasks_start_before_they_would_be_late() {
    let machines = [Machine { slots: 4, prefill_tps: 1000.0, decode_tps: 30.0 }];
    for (load, spread) in [(0.9, 0.3), (1.0, 0.6), (1.05, 0.9)] {
        let task_ms = 200.0 + 100.0 / 30.0 * 1000.0;
        let jobs = jobs(3000, task_ms / 4.0 / load, spread, 0.0);
        let mut pool = scheduler(&machines, Duration::from_secs(3600));
        play(&mut pool, &machines, &jobs);
        let accuracy = pool.accuracy(Priority::Interactive).expect("tasks waited");
        assert!(accuracy.median_error <= 0.2, "load {load}, spread {spread}: {accuracy:?}");
        assert!(
            (0.85..=0.95).contains(&accuracy.late_coverage),
            "load {load}, spread {spread}: {accuracy:?}"
        );
    }
}

#[test]
fn first_tokens_come_a_fifth_sooner_than_with_least_connections_while_the_cards_have_room() {
    for (slots, loads) in [(4, [0.1, 0.2, 0.3]), (8, [0.1, 0.3, 0.5])] {
        for load in loads {
            let Comparison { ours, least, proxy, .. } = compare(slots, load, 0.5);
            let best = least.first_token_ms.min(proxy.first_token_ms);
            assert!(
                ours.first_token_ms <= 0.8 * best,
                "{slots} slots, load {load}: {ours:?}, {least:?}, {proxy:?}"
            );
        }
    }
}

#[test]
fn first_tokens_never_come_later_than_from_the_fast_card_alone_while_there_is_little_to_do() {
    for slots in [1, 4, 8] {
        for load in [0.05, 0.1, 0.2] {
            let Comparison { ours, alone, .. } = compare(slots, load, 0.5);
            let (ours, alone) = (ours.first_token_ms, alone.first_token_ms);
            assert!(ours <= alone * 1.01, "{slots} slots, load {load}: {ours} against {alone} ms");
        }
    }
}

#[test]
fn at_any_load_batch_waits_at_least_as_long_as_interactive_and_every_batch_task_starts() {
    let machines = [Machine { slots: 4, prefill_tps: 1000.0, decode_tps: 30.0 }];
    let task_ms = 200.0 + 100.0 / 30.0 * 1000.0;
    for load in [0.7, 1.0, 1.3, 1.6] {
        for batch_share in [0.1, 0.5, 0.8] {
            for reserve in [0, 1] {
                let jobs = jobs(800, task_ms / 4.0 / load, 0.5, batch_share);
                let mut pool = Watched::new(&machines, Duration::from_secs(30), reserve);
                play(&mut pool, &machines, &jobs);
                let [interactive, batch] = Priority::ALL.map(|lane| pool.wait_ms(lane, 0.95));
                assert!(
                    interactive <= batch,
                    "load {load}, {batch_share} batch: {interactive:.0} ms against {batch:.0} ms"
                );
            }
        }
    }
}
