//! The scheduler's rules, one by one.

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::{BatchedThroughput, FullPolicy, Millis, TaskSpec};

fn task(n: u128) -> TaskId {
    TaskId(Uuid::from_u128(n))
}

/// 100 tokens in and 100 out.
fn spec(n: u128, priority: Priority) -> TaskSpec {
    TaskSpec {
        id: task(n),
        priority,
        session: None,
        ctx: None,
        cells: TokenCount(0),

        tokens_in: TokenCount(100),
        max_tokens: Some(TokenCount(100)),
        expected_tokens: Some(TokenCount(100)),
    }
}

fn replica(index: u16) -> ReplicaId {
    ReplicaId { pool: crate::PoolId::new("p").expect("a valid name"), index }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Reads 1,000 tokens a second: a task of [`spec`] takes 0.1 s, and 100 tokens at this speed.
fn profile(slots: u16, decode_tps: f64) -> ReplicaProfile {
    ReplicaProfile {
        ctx: None,
        kv_cells: None,
        slots,
        prefill_tps: Some(1000.0),
        decode_tps: Some(decode_tps),
        batched: None,
        free_vram: None,
    }
}

fn limits(interactive: usize, batch: usize) -> QueueLimits {
    QueueLimits {
        interactive,
        batch,
        full_policy: FullPolicy::Reject,
        batch_max_wait: Duration::from_secs(10),
        batch_one_in: 8,
        interactive_reserve: 0,
    }
}

fn pool(limits: QueueLimits, profiles: &[ReplicaProfile]) -> PoolScheduler {
    let mut pool = PoolScheduler::new(limits, SessionLimits::default());
    for (index, profile) in (0..).zip(profiles) {
        assert_eq!(pool.replica_ready(replica(index), *profile, at(0)), vec![]);
    }
    pool
}

fn admit(pool: &mut PoolScheduler, tasks: std::ops::Range<u128>, priority: Priority, now: Timestamp) {
    for n in tasks {
        let admission = pool.admit(spec(n, priority), 0, now);
        assert!(matches!(admission, Admission::Queued { .. }), "{n}: {admission:?}");
    }
}

/// Everything that can go now, and where.
fn hand_out(pool: &mut PoolScheduler, now: Timestamp) -> Vec<(u128, u16)> {
    std::iter::from_fn(|| pool.next(now)).map(|d| (d.task.0.as_u128(), d.replica.index)).collect()
}

fn refusal(pool: &mut PoolScheduler, caller: u64, now: Timestamp) -> Millis {
    pool.refuse(Priority::Interactive, caller, now).expect_err("the lane is full").retry_after
}

/// ORCH-PRED-1
#[test]
fn a_task_knows_its_place_and_its_start_from_admission_to_dispatch() {
    let mut pool = pool(limits(9, 9), &[profile(1, 100.0)]);
    for n in 0..3 {
        let admission = pool.admit(spec(n, Priority::Interactive), 0, at(0));
        let Admission::Queued { position, evicted } = admission else { panic!("there is room") };
        let start = pool.first_forecast(task(n), at(0)).expect("it waits");
        assert_eq!((position as u128, start.expected.0 as u128, evicted), (n, n * 1090, None));
    }
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    assert_eq!(pool.predicted_start(task(1), at(0)).expect("it waits").expected, Millis(1090));
    pool.first_token(task(0), at(300));
    assert_eq!(pool.predicted_start(task(1), at(400)).expect("it waits").expected, Millis(890));
    assert_eq!(pool.predicted_start(task(2), at(400)).expect("it waits").expected, Millis(1980));
    assert_eq!(pool.predicted_start(task(0), at(400)), None);
    assert!(pool.finished(task(0), None, at(1000)));
    assert_eq!(pool.next(at(1000)).expect("a slot is free").queue_time, Millis(1000));
}

/// ORCH-PRED-5
#[test]
fn one_pass_over_a_lane_tells_each_task_what_it_is_told_alone() {
    let mut pool = pool(limits(99, 99), &[profile(2, 100.0), profile(1, 30.0)]);
    admit(&mut pool, 0..30, Priority::Interactive, at(0));
    admit(&mut pool, 30..50, Priority::Batch, at(0));
    hand_out(&mut pool, at(0));
    for lane in Priority::ALL {
        let starts = pool.predicted_starts(lane, 20, at(300));
        assert_eq!(starts.len(), 20);
        for (task, forecast) in starts {
            assert_eq!(pool.predicted_start(task, at(300)), Some(forecast), "{task}");
        }
    }
}

#[test]
fn a_name_that_is_there_already_is_not_admitted_twice() {
    let mut pool = pool(limits(9, 9), &[]);
    admit(&mut pool, 0..1, Priority::Batch, at(0));
    let Admission::Rejected(rejection) = pool.admit(spec(0, Priority::Interactive), 0, at(1)) else {
        panic!("it is there already")
    };
    assert_eq!(rejection.reason, RejectionReason::Duplicate);
    assert_eq!((pool.depth(Priority::Interactive), pool.depth(Priority::Batch)), (0, 1));
}

/// ORCH-ERR-3
#[test]
fn a_refusal_names_the_time_when_a_place_is_free_and_each_caller_gets_a_place_of_its_own() {
    let mut pool = pool(limits(3, 3), &[profile(1, 100.0)]);
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    admit(&mut pool, 1..4, Priority::Interactive, at(0));
    assert_eq!(pool.check(Priority::Batch, 0, at(0)), Ok(()));
    let asked =
        [(); 3].map(|()| pool.check(Priority::Interactive, 0, at(0)).expect_err("it is full").retry_after);
    assert_eq!(asked, [asked[0]; 3], "asking changes nothing");
    assert!((1100..1600).contains(&asked[0].0), "a task takes 1,100 ms: {asked:?}");
    let told = [1, 2, 3].map(|caller| {
        pool.refuse(Priority::Interactive, caller, at(0)).expect_err("the lane is full").retry_after
    });
    assert!(told.is_sorted() && told[0] >= asked[0] && told[2].0 >= 3 * 1100, "{told:?}");
}

/// ORCH-PRED-4
#[test]
fn a_newcomer_does_not_take_a_promised_place_and_the_one_it_was_promised_to_does() {
    let mut pool = pool(limits(3, 3), &[profile(1, 100.0)]);
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    admit(&mut pool, 1..4, Priority::Interactive, at(0));
    let (promised, newcomer) = (7, 8);
    let wait = pool.refuse(Priority::Interactive, promised, at(0)).expect_err("it is full").retry_after;
    assert!(pool.finished(task(0), None, at(1100)));
    assert_eq!(hand_out(&mut pool, at(1100)), [(1, 0)]);
    assert!(pool.check(Priority::Interactive, newcomer, at(1101)).is_err(), "the place is promised");
    let back = at(wait.0.max(1101));
    assert_eq!(pool.check(Priority::Interactive, promised, back), Ok(()));
    let late = at(wait.0 + 60_000);
    assert_eq!(pool.check(Priority::Interactive, newcomer, late), Ok(()), "the promise has lapsed");
    let spec = spec(9, Priority::Interactive);
    assert!(matches!(pool.admit(spec, promised, back), Admission::Queued { .. }));
    assert!(pool.check(Priority::Interactive, newcomer, back).is_err(), "the lane is full again");
}

/// ORCH-PRED-4
#[test]
fn a_promise_nobody_comes_for_leaves_no_slot_idle() {
    let mut pool = pool(limits(1, 1), &[profile(1, 100.0)]);
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    admit(&mut pool, 1..2, Priority::Interactive, at(0));
    for caller in 10..40 {
        assert!(pool.refuse(Priority::Interactive, caller, at(1)).is_err());
    }
    assert!(pool.finished(task(0), None, at(1100)));
    assert_eq!(hand_out(&mut pool, at(1100)), [(1, 0)]);
    assert_eq!(pool.check(Priority::Interactive, 99, at(1100)), Ok(()), "nobody waits");
}

/// ORCH-PRED-4
#[test]
fn a_caller_whose_place_is_more_than_a_minute_away_keeps_it_when_it_asks_again() {
    let mut pool = pool(limits(1, 1), &[profile(1, 1.25)]);
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    admit(&mut pool, 1..2, Priority::Interactive, at(0));
    assert_eq!(refusal(&mut pool, 1, at(0)), Millis(60_000));
    let rest = refusal(&mut pool, 1, at(60_000));
    assert!((30_000..60_000).contains(&rest.0), "80 s and a reserve, of which 60 are over: {rest}");
    assert_eq!(refusal(&mut pool, 2, at(60_000)), Millis(60_000), "somebody else comes after it");
}

/// ORCH-ERR-4
#[test]
fn nine_in_ten_callers_who_come_back_when_they_were_told_to_are_admitted() {
    let mut pool = pool(limits(4, 4), &[profile(2, 100.0)]);
    let open = |n| TaskSpec { max_tokens: None, expected_tokens: None, ..spec(n, Priority::Interactive) };
    let (mut retries, mut admitted) = (0, 0);
    let mut callers: std::collections::BTreeSet<(u64, u128, bool)> = std::collections::BTreeSet::new();
    let mut ends: std::collections::BTreeSet<(u64, u128, u32)> = std::collections::BTreeSet::new();
    // Every 10 s, twelve callers at once, at a pool that takes six; answers of 40 to 160 tokens.
    for n in 0..1200u64 {
        callers.insert((n / 12 * 10_000, u128::from(n), false));
    }
    while let Some(now) =
        [callers.first().map(|c| c.0), ends.first().map(|e| e.0)].into_iter().flatten().min()
    {
        if let Some((_, n, out)) = ends.first().copied().filter(|(end, ..)| *end <= now) {
            ends.pop_first();
            let (tokens_in, tokens_out) = (TokenCount(100), TokenCount(out));
            let (prefill, decode) = (Millis(100), Millis(u64::from(out) * 10));
            let figures = EndFigures { tokens_in, tokens_out, prefill, decode, tokens_cached: TokenCount(0) };
            assert!(pool.finished(task(n), Some(figures), at(now)));
        } else if let Some((_, n, again)) = callers.pop_first() {
            retries += u32::from(again);
            match pool.admit(open(n), u64::try_from(n).expect("small"), at(now)) {
                Admission::Queued { .. } => admitted += u32::from(again),
                Admission::Rejected(rejection) => {
                    callers.insert((now + rejection.retry_after.0, n, true));
                }
            }
        }
        for (n, _) in hand_out(&mut pool, at(now)) {
            let out = 40 + u32::try_from(n * 7919 % 120).expect("small");
            ends.insert((now + 100 + 10 * u64::from(out), n, out));
        }
    }
    assert!(retries >= 500, "{retries} came back");
    assert!(admitted * 10 >= retries * 9, "{admitted} of {retries} were admitted");
}

/// ORCH-PLACE-3
#[test]
fn s_4_a_slot_is_kept_for_interactive_tasks_but_the_last_one_never() {
    let reserve = QueueLimits { interactive_reserve: 1, ..limits(9, 9) };
    let mut two = pool(reserve, &[profile(2, 100.0)]);
    admit(&mut two, 0..3, Priority::Batch, at(0));
    assert_eq!(hand_out(&mut two, at(0)), [(0, 0)]);
    assert_eq!(hand_out(&mut two, at(60_000)), [], "not even overdue ones take it");
    admit(&mut two, 3..4, Priority::Interactive, at(60_000));
    assert_eq!(hand_out(&mut two, at(60_000)), [(3, 0)]);
    let mut one = pool(reserve, &[profile(1, 100.0)]);
    admit(&mut one, 0..1, Priority::Batch, at(0));
    assert_eq!(hand_out(&mut one, at(0)), [(0, 0)]);
}

#[test]
fn a_task_waits_for_the_fast_replica_and_not_longer_than_it_is_worth() {
    let mut pool = pool(limits(9, 9), &[profile(1, 100.0), profile(1, 30.0)]);
    admit(&mut pool, 0..2, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)], "one runs on the fast one, one waits for it");
    let start = pool.predicted_start(task(1), at(0)).expect("it waits").expected;
    assert_eq!(start, Millis(1090));
    // The fast one does not come free.
    let mut now = at(0);
    while let Some(wake) = pool.next_wake(now) {
        assert!(wake > now && wake < at(10_000), "woken at {wake:?}");
        now = wake;
        if let Some(dispatch) = pool.next(now) {
            assert_eq!((dispatch.task, dispatch.replica.index), (task(1), 1));
        }
    }
    assert_eq!(pool.running(), 2);
}

#[test]
fn interactive_waiting_for_the_fast_replica_leaves_the_slow_one_to_batch() {
    let wait = QueueLimits { batch_max_wait: Duration::from_millis(500), ..limits(9, 9) };
    let mut pool = pool(wait, &[profile(1, 100.0), profile(1, 30.0)]);
    admit(&mut pool, 0..2, Priority::Interactive, at(0));
    admit(&mut pool, 2..3, Priority::Batch, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    assert_eq!(pool.next_wake(at(0)), Some(at(500)));
    assert_eq!(hand_out(&mut pool, at(500)), [(2, 1)], "an overdue batch task takes any slot");
    assert!(pool.finished(task(0), None, at(1100)));
    assert_eq!(hand_out(&mut pool, at(1100)), [(1, 0)]);
}

/// ORCH-SESS-2
#[test]
fn the_next_turn_of_a_session_goes_where_its_cache_is() {
    let mut pool = pool(limits(9, 9), &[profile(1, 50.0), profile(1, 50.0)]);
    let session = SessionId(Uuid::from_u128(1));
    let turn = |n| TaskSpec {
        session: Some(session),
        tokens_in: TokenCount(1000),
        ..spec(n, Priority::Interactive)
    };
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    assert!(matches!(pool.admit(turn(1), 0, at(0)), Admission::Queued { .. }));
    assert_eq!(hand_out(&mut pool, at(0)), [(1, 1)]);
    let figures = EndFigures {
        tokens_in: TokenCount(1000),
        tokens_cached: TokenCount(0),
        tokens_out: TokenCount(100),
        prefill: Millis(1000),
        decode: Millis(2000),
    };
    assert!(pool.finished(task(0), None, at(3000)));
    assert!(pool.finished(task(1), Some(figures), at(3000)));
    assert!(matches!(pool.admit(turn(2), 0, at(3000)), Admission::Queued { .. }));
    assert_eq!(hand_out(&mut pool, at(3000)), [(2, 1)], "replica 0 is free as well, and the first by name");
    assert_eq!(pool.sessions().get(session, at(3000)).map(crate::Session::turns), Some(1));
    assert_eq!(pool.replica_gone(&replica(1)), [task(2)]);
    assert!(pool.requeue(task(2), at(3001)));
    assert_eq!(hand_out(&mut pool, at(3001)), [(2, 0)]);
}

/// ORCH-QUEUE-6
#[test]
fn a_lost_replicas_tasks_go_again_in_their_old_order_and_before_the_others() {
    let mut pool = pool(limits(3, 3), &[profile(3, 50.0)]);
    for n in 0..3 {
        admit(&mut pool, n..n + 1, Priority::Interactive, at(u64::try_from(n).expect("small")));
    }
    assert_eq!(hand_out(&mut pool, at(5)), [(0, 0), (1, 0), (2, 0)]);
    admit(&mut pool, 3..6, Priority::Interactive, at(6));
    for lost in pool.replica_gone(&replica(0)) {
        assert!(pool.requeue(lost, at(7)), "a full lane takes back what it gave");
    }
    assert_eq!(pool.depth(Priority::Interactive), 6);
    assert_eq!(pool.replica_ready(replica(0), profile(6, 50.0), at(8)), vec![]);
    assert_eq!(hand_out(&mut pool, at(8)).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

/// ORCH-REPL-5
#[test]
fn a_retiring_replica_finishes_what_it_has_and_takes_nothing() {
    let mut pool = pool(limits(9, 9), &[profile(2, 50.0)]);
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    pool.replica_retiring(&replica(0));
    admit(&mut pool, 1..2, Priority::Interactive, at(1));
    assert_eq!((hand_out(&mut pool, at(1)), pool.next_wake(at(1))), (vec![], None));
    let snapshot = pool.replicas().next().expect("it is there");
    assert_eq!((snapshot.availability, snapshot.busy, snapshot.slots), (Availability::Retiring, 1, 2));
    assert!(pool.finished(task(0), None, at(2)));
    assert_eq!(pool.replica_gone(&replica(0)), vec![]);
}

#[test]
fn a_canceled_task_teaches_nothing_of_lengths() {
    let mut pool = pool(limits(9, 9), &[profile(1, 100.0)]);
    let open = |n| TaskSpec { max_tokens: None, expected_tokens: None, ..spec(n, Priority::Interactive) };
    for n in 0..2 {
        assert!(matches!(pool.admit(open(n), 0, at(0)), Admission::Queued { .. }));
    }
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    let before = pool.predicted_start(task(1), at(0));
    assert_eq!(pool.cancel(task(0)), CancelOutcome::Running(replica(0)));
    assert_eq!(pool.cancel(task(0)), CancelOutcome::Running(replica(0)));
    assert!(pool.finished(
        task(0),
        Some(EndFigures { tokens_out: TokenCount(1), ..EndFigures::default() }),
        at(1)
    ));
    assert!(matches!(pool.admit(open(2), 0, at(1)), Admission::Queued { .. }));
    assert_eq!(hand_out(&mut pool, at(1)), [(1, 0)]);
    assert_eq!(pool.predicted_start(task(2), at(1)), before);
    assert_eq!(pool.cancel(task(2)), CancelOutcome::Queued);
    assert_eq!(pool.cancel(task(2)), CancelOutcome::Unknown);
    assert_eq!(pool.ended(), EndedTasks { ran: 1, withdrawn: 1 });
}

/// ORCH-PLACE-4
#[test]
fn tasks_spread_over_equal_replicas_though_the_test_of_one_of_them_was_luckier() {
    // Four streams at a time are each a third as fast as one alone.
    let together = |alone_tps: f64| ReplicaProfile {
        batched: Some(BatchedThroughput { streams: 4, decode_tps: alone_tps / 3.0 }),
        ..profile(4, alone_tps)
    };
    let mut pool = pool(limits(9, 9), &[together(100.0), together(110.0)]);
    admit(&mut pool, 0..4, Priority::Interactive, at(0));
    let mut at_each = [0, 0];
    for (_, replica) in hand_out(&mut pool, at(0)) {
        at_each[usize::from(replica)] += 1;
    }
    assert_eq!(at_each, [2, 2]);
}

#[test]
fn a_task_goes_to_a_replica_whose_context_holds_it_while_there_is_one() {
    let small = ReplicaProfile { ctx: Some(TokenCount(2048)), ..profile(2, 200.0) };
    let large = ReplicaProfile { ctx: Some(TokenCount(4096)), ..profile(1, 50.0) };
    let mut pool = pool(limits(9, 9), &[small, large]);
    let needs = |n, ctx| TaskSpec { ctx: Some(TokenCount(ctx)), ..spec(n, Priority::Interactive) };
    let _ = pool.admit(needs(1, 3000), 1, at(0));
    assert_eq!(pool.next(at(0)).map(|next| next.replica), Some(replica(1)), "though the other is faster");
    let _ = pool.admit(needs(2, 2048), 2, at(1));
    assert_eq!(pool.next(at(1)).map(|next| next.replica), Some(replica(0)));
    let _ = pool.admit(needs(3, 3000), 3, at(2));
    assert_eq!(pool.next(at(2)), None, "the only replica that holds it is busy");
    let lost = pool.replica_gone(&replica(1));
    assert_eq!(
        pool.next(at(3)).map(|next| next.task),
        Some(task(3)),
        "there is none any more: the other says so"
    );
    assert_eq!(lost, [task(1)]);
}

/// ORCH-PLACE-5
#[test]
fn s_3_a_task_whose_context_no_free_replica_holds_is_overtaken_by_those_that_fit() {
    let small = ReplicaProfile { ctx: Some(TokenCount(2048)), ..profile(1, 50.0) };
    let large = ReplicaProfile { ctx: Some(TokenCount(4096)), ..profile(1, 50.0) };
    let mut pool = pool(limits(9, 9), &[small, large]);
    let needs = |n, ctx| TaskSpec { ctx: Some(TokenCount(ctx)), ..spec(n, Priority::Interactive) };
    for (n, ctx) in [(1, 3000), (2, 3000), (3, 1000), (4, 1000)] {
        assert!(matches!(pool.admit(needs(n, ctx), 0, at(0)), Admission::Queued { .. }));
    }
    assert_eq!(hand_out(&mut pool, at(0)), [(1, 1), (3, 0)], "2 needs the replica that 1 has");
    assert!(pool.finished(task(1), None, at(2000)));
    assert_eq!(hand_out(&mut pool, at(2000)), [(2, 1)], "and has it before 4");
}

/// ORCH-PLACE-6
#[test]
fn s_5_a_long_task_waits_for_the_cells_it_needs_and_is_not_overtaken_by_short_ones() {
    let shared = ReplicaProfile { kv_cells: Some(TokenCount(8000)), ..profile(4, 50.0) };
    let mut pool = pool(limits(9, 9), &[shared]);
    let needs = |n, cells| TaskSpec { cells: TokenCount(cells), ..spec(n, Priority::Interactive) };
    for (n, cells) in [(1, 2000), (2, 2000), (3, 7000), (4, 1000)] {
        assert!(matches!(pool.admit(needs(n, cells), 0, at(0)), Admission::Queued { .. }));
    }
    let batch = TaskSpec { priority: Priority::Batch, ..needs(5, 1000) };
    assert!(matches!(pool.admit(batch, 0, at(0)), Admission::Queued { .. }));
    assert_eq!(hand_out(&mut pool, at(0)), [(1, 0), (2, 0)], "short ones run beside each other");
    assert!(pool.finished(task(1), None, at(1000)));
    assert_eq!(
        hand_out(&mut pool, at(1000)),
        [],
        "there would be room for 4 and 5, but not for 3 before them"
    );
    assert!(pool.finished(task(2), None, at(2000)));
    assert_eq!(hand_out(&mut pool, at(2000)), [(3, 0), (4, 0)], "most of the cache is its own now");
    assert!(pool.finished(task(3), None, at(3000)));
    assert_eq!(hand_out(&mut pool, at(3000)), [(5, 0)]);
}

/// ORCH-PLACE-6
#[test]
fn a_task_that_needs_more_cells_than_there_are_goes_alone() {
    let shared = ReplicaProfile { kv_cells: Some(TokenCount(1000)), ..profile(4, 50.0) };
    let mut pool = pool(limits(9, 9), &[shared]);
    let needs = |n, cells| TaskSpec { cells: TokenCount(cells), ..spec(n, Priority::Interactive) };
    let _ = pool.admit(needs(1, 2000), 0, at(0));
    let _ = pool.admit(needs(2, 10), 0, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(1, 0)]);
    assert!(pool.finished(task(1), None, at(1000)));
    assert_eq!(hand_out(&mut pool, at(1000)), [(2, 0)]);
}

/// ORCH-PLACE-6
#[test]
fn the_start_of_a_task_is_predicted_from_the_cells_that_come_free() {
    let shared = |kv_cells| ReplicaProfile { kv_cells, ..profile(4, 100.0) };
    let start = |kv_cells| {
        let mut pool = pool(limits(99, 9), &[shared(kv_cells)]);
        let needs = |n| TaskSpec {
            cells: TokenCount(2000),
            expected_tokens: Some(TokenCount(100)),
            ..spec(n, Priority::Interactive)
        };
        for n in 1..=16 {
            let _ = pool.admit(needs(n), 0, at(0));
        }
        hand_out(&mut pool, at(0));
        pool.predicted_start(task(16), at(0)).expect("it waits").expected.0
    };
    let (private, halved) = (start(None), start(Some(TokenCount(4000))));
    assert!(halved > private * 3 / 2, "two at a time take longer than four: {halved} ms, not {private} ms");
}

/// Two replicas of one slot, the first with the KV cache of two sessions and with a task that runs until `at(2200)`.
fn pool_with_two_warm_sessions() -> (PoolScheduler, impl Fn(u128, u128) -> TaskSpec) {
    let mut pool = pool(limits(9, 9), &[profile(1, 100.0), profile(1, 100.0)]);
    let turn = |n, session| TaskSpec {
        session: Some(SessionId(Uuid::from_u128(session))),
        tokens_in: TokenCount(4000),
        ..spec(n, Priority::Interactive)
    };
    let figures = EndFigures {
        tokens_in: TokenCount(4000),
        tokens_cached: TokenCount(0),
        tokens_out: TokenCount(100),
        prefill: Millis(4000),
        decode: Millis(1000),
    };
    for session in [1, 2] {
        assert!(matches!(pool.admit(turn(100 + session, session), 0, at(0)), Admission::Queued { .. }));
        assert_eq!(hand_out(&mut pool, at(0)), [(100 + session, 0)]);
        assert!(pool.finished(task(100 + session), Some(figures), at(0)));
    }
    admit(&mut pool, 0..1, Priority::Interactive, at(0));
    assert_eq!(hand_out(&mut pool, at(0)), [(0, 0)]);
    pool.first_token(task(0), at(100));
    (pool, turn)
}

/// ORCH-PLACE-5
#[test]
fn s_3_those_behind_a_task_that_waits_for_its_cache_take_the_slot_that_it_leaves() {
    let (mut pool, turn) = pool_with_two_warm_sessions();
    for n in [1, 2] {
        assert!(matches!(pool.admit(turn(n, n), 0, at(200)), Admission::Queued { .. }));
    }
    assert_eq!(hand_out(&mut pool, at(200)), [], "reading 4,000 tokens again takes longer than both turns");
    admit(&mut pool, 3..5, Priority::Interactive, at(300));
    assert_eq!(hand_out(&mut pool, at(300)), [(3, 1)], "the first of those that have nothing to wait for");
    assert!(pool.finished(task(0), None, at(1100)));
    assert_eq!(hand_out(&mut pool, at(1100)), [(1, 0)], "the warm ones keep their places");
}

/// ORCH-SESS-2
#[test]
fn p_3_a_warm_task_takes_any_slot_once_it_has_waited_as_long_as_it_saves() {
    let (mut pool, turn) = pool_with_two_warm_sessions();
    assert!(matches!(pool.admit(turn(1, 1), 0, at(200)), Admission::Queued { .. }));
    assert_eq!(hand_out(&mut pool, at(200)), []);
    admit(&mut pool, 2..3, Priority::Interactive, at(200));
    assert_eq!(hand_out(&mut pool, at(200)), [(2, 1)]);
    admit(&mut pool, 3..4, Priority::Interactive, at(200));
    // Its replica does not come free, and the other does when the time that it saves is over.
    assert!(pool.finished(task(2), None, at(4300)));
    assert_eq!(hand_out(&mut pool, at(4300)), [(1, 1)], "before the one behind it");
}

#[test]
fn a_refused_caller_is_told_to_wait_for_as_long_as_the_task_that_runs_says_it_takes() {
    let told = |expected: u32| {
        let mut pool = pool(limits(1, 1), &[profile(1, 100.0)]);
        let runs = TaskSpec {
            max_tokens: None,
            expected_tokens: Some(TokenCount(expected)),
            ..spec(1, Priority::Interactive)
        };
        let _ = pool.admit(runs, 1, at(0));
        assert!(pool.next(at(0)).is_some());
        let short = |n| TaskSpec {
            max_tokens: Some(TokenCount(4)),
            expected_tokens: None,
            ..spec(n, Priority::Interactive)
        };
        let _ = pool.admit(short(2), 2, at(1));
        let Admission::Rejected(rejection) = pool.admit(short(3), 3, at(1)) else {
            panic!("the lane is full")
        };
        rejection.retry_after.0
    };
    assert!(told(3000) > 20_000, "{} ms for 30 s of work", told(3000));
    assert!(told(100) < 5_000, "{} ms for 1 s of work", told(100));
}
