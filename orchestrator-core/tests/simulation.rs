//! What the placement is worth beside simpler ones, and how good the predictions are, in simulated pools.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a simulation are small numbers"
)]

#[path = "simulation/pools.rs"]
mod pools;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/replay.rs"]
mod replay;
#[path = "simulation/watched.rs"]
mod watched;

use std::time::Duration;

use orchestrator_core::Priority;
use pools::{Comparison, Machine, compare, jobs, play};
use replay::figures::figures;
use replay::retry::{Retries, herd, open_loop};
use replay::trace::{generated, recorded};
use watched::Watched;

/// ORCH-PLACE-2
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

/// ORCH-PLACE-2
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

/// The gate of the replay; its figures come from `cargo bench -p orchestrator-core --bench replay`.
/// ORCH-PRED-3
#[test]
fn replayed_starts_are_predicted_nearly_as_well_as_who_knows_the_distributions_could() {
    let traces = generated(0, 400.0);
    let trace = traces.iter().find(|trace| trace.name == "poisson 1.0").expect("it is generated");
    let predictions = replay::play::play(trace, true);
    for priority in Priority::ALL {
        let figures = figures(&predictions, priority).expect("many tasks waited");
        assert!(figures.graded >= 40, "{priority}: {figures:?}");
        assert!(figures.beside_bound <= 1.6 * figures.bound, "{priority}: {figures:?}");
        assert!(figures.ours <= 1.2 * figures.naive, "{priority}: {figures:?}");
        assert!((0.7..=0.99).contains(&figures.covered), "{priority}: {figures:?}");
        assert!(figures.quarters[3] < figures.quarters[0], "{priority}: {figures:?}");
    }
}

/// ORCH-PRED-3
#[test]
fn where_callers_name_the_lengths_their_starts_are_known_and_the_late_forecast_is_no_later() {
    let traces = generated(0, 400.0);
    let trace = traces.iter().find(|trace| trace.name == "exact hints 1.0").expect("it is generated");
    let predictions = replay::play::play(trace, false);
    let figures = figures(&predictions, Priority::Interactive).expect("many tasks waited");
    assert!(figures.ours < 0.01 && figures.late_beside_expected < 1.02, "{figures:?}");
}

/// ORCH-PRED-4
#[test]
fn callers_who_come_back_when_they_were_told_to_find_their_place_though_newcomers_come() {
    for (run, least) in [(herd as fn(u64) -> Retries, 0.85), (open_loop, 0.8)] {
        let retries = (0..3).map(run).fold(Retries::default(), Retries::and);
        let share = |part: usize| part as f64 / retries.refused as f64;
        assert!(retries.refused > 100 && share(retries.admitted) >= least, "{retries:?}");
        assert!(share(retries.not_too_long) >= 0.3, "{retries:?}");
    }
}

#[test]
fn a_recorded_trace_is_brought_to_a_load() {
    let csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,4808,10\n2023-11-16 18:15:50.5,300,20\n";
    let trace = recorded(csv, 1.0, 0);
    let read: Vec<_> = trace.jobs.iter().map(|job| (job.tokens_in, job.tokens_out)).collect();
    assert_eq!(read, [(4808, 10), (300, 20)]);
    assert!(trace.jobs[0].arrives_ms < trace.jobs[1].arrives_ms);
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

/// ORCH-QUEUE-7
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
