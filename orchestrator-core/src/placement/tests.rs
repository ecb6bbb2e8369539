//! The placement's rules, one by one.

use super::*;

fn free(replica: usize, task_ms: f64) -> ReplicaCandidate {
    ReplicaCandidate { replica, ready_ms: 0.0, task_ms, warm: false, free_slots: 1, free_vram: 0 }
}

fn busy(replica: usize, ready_ms: f64, task_ms: f64) -> ReplicaCandidate {
    ReplicaCandidate { free_slots: 0, ready_ms, ..free(replica, task_ms) }
}

const MAY: WaitPolicy = WaitPolicy::May { waited_ms: 0.0 };

fn waiting(waiting: usize) -> Competing {
    Competing { waiting, arriving_per_ms: 0.0 }
}

/// Places among replicas of one slot each.
fn decide(candidates: &[ReplicaCandidate], wait_policy: WaitPolicy, competing: Competing) -> Placement {
    place(candidates, wait_policy, competing, |faster| {
        let slots = candidates.iter().filter(|candidate| faster.contains(&candidate.replica));
        slots.map(|candidate| Slot { ready: candidate.ready_ms, task: candidate.task_ms }).collect()
    })
}

/// ORCH-PLACE-1
#[test]
fn p_1_a_task_goes_where_it_will_be_finished_first() {
    let candidates = [free(0, 300.0), free(1, 100.0), free(2, 200.0)];
    assert_eq!(decide(&candidates, MAY, waiting(1)), Placement::Go(1));
}

/// ORCH-PLACE-1
#[test]
fn p_1_free_slots_then_free_vram_then_the_name_decide_between_alike_replicas() {
    let roomy = ReplicaCandidate { free_slots: 3, ..free(1, 102.0) };
    assert_eq!(decide(&[free(0, 100.0), roomy], MAY, waiting(1)), Placement::Go(1));
    let large = ReplicaCandidate { free_vram: 8, ..free(1, 102.0) };
    assert_eq!(decide(&[free(0, 100.0), large], MAY, waiting(1)), Placement::Go(1));
    assert_eq!(decide(&[free(0, 100.0), free(1, 100.0)], MAY, waiting(1)), Placement::Go(0));
    let slower = ReplicaCandidate { free_slots: 9, free_vram: 9, ..free(1, 110.0) };
    assert_eq!(decide(&[free(0, 100.0), slower], MAY, waiting(1)), Placement::Go(0));
}

#[test]
fn p_2_a_task_waits_for_a_faster_replica_while_the_queue_is_short() {
    let candidates = [busy(0, 50.0, 100.0), free(1, 300.0)];
    assert!(matches!(decide(&candidates, MAY, waiting(1)), Placement::Wait { .. }));
    assert!(matches!(decide(&candidates, MAY, waiting(2)), Placement::Wait { .. }));
    assert_eq!(decide(&candidates, MAY, waiting(3)), Placement::Go(1));
}

#[test]
fn p_2_those_that_keep_arriving_compete_as_well() {
    let candidates = [busy(0, 50.0, 100.0), free(1, 300.0)];
    let rush = Competing { waiting: 2, arriving_per_ms: 0.008 };
    assert_eq!(decide(&candidates, MAY, rush), Placement::Go(1));
    let flood = Competing { waiting: 1, arriving_per_ms: 0.02 };
    assert_eq!(decide(&candidates, MAY, flood), Placement::Go(1));
}

#[test]
fn p_2_nobody_waits_for_a_replica_that_is_no_faster() {
    let candidates = [busy(0, 1.0, 100.0), free(1, 100.0)];
    assert_eq!(decide(&candidates, MAY, waiting(1)), Placement::Go(1));
}

/// ORCH-SESS-2
#[test]
fn p_3_a_warm_session_waits_until_waiting_costs_more_than_reading_again() {
    let warm = |ready_ms| ReplicaCandidate { warm: true, ..busy(0, ready_ms, 100.0) };
    let cold = free(1, 400.0);
    assert!(matches!(decide(&[warm(250.0), cold], MAY, waiting(9)), Placement::Wait { .. }));
    assert_eq!(decide(&[warm(350.0), cold], MAY, waiting(9)), Placement::Go(1));
}

/// ORCH-SESS-2
#[test]
fn p_3_what_a_warm_session_has_waited_counts_against_what_it_saves() {
    let candidates = [ReplicaCandidate { warm: true, ..busy(0, 50.0, 100.0) }, free(1, 400.0)];
    let decide = |waited_ms| decide(&candidates, WaitPolicy::May { waited_ms }, waiting(9));
    assert_eq!(decide(100.0), Placement::Wait { ms: 200.0, warm: Some(candidates[0]) }, "it saves 300 ms");
    assert_eq!(decide(250.0), Placement::Go(1));
}

#[test]
fn p_4_an_overdue_task_takes_any_free_slot() {
    let candidates = [busy(0, 1.0, 100.0), free(1, 900.0)];
    assert_eq!(decide(&candidates, WaitPolicy::Overdue, waiting(1)), Placement::Go(1));
}

#[test]
fn without_a_free_slot_there_is_nothing_to_decide() {
    assert_eq!(decide(&[busy(0, 1.0, 1.0)], MAY, waiting(1)), Placement::Full);
    assert_eq!(decide(&[], WaitPolicy::Overdue, waiting(1)), Placement::Full);
}
