//! The queue's rules one by one, and the whole of it against a naive model.

use proptest::prelude::*;
use uuid::Uuid;

use super::model::Model;
use super::*;
use crate::TokenCount;

fn task(n: u32) -> TaskId {
    TaskId(Uuid::from_u128(u128::from(n)))
}

fn work(n: u32) -> Work {
    let max = (!n.is_multiple_of(3)).then_some(TokenCount(n * 7 % 4000));
    let expected = n.is_multiple_of(4).then_some(TokenCount(n % 90));
    Work::new(TokenCount(n % 1000), max, expected)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn limits(interactive: usize, batch: usize, full_policy: FullPolicy) -> QueueLimits {
    QueueLimits {
        interactive,
        batch,
        full_policy,
        batch_max_wait: Duration::from_millis(100),
        batch_one_in: 8,
        interactive_reserve: 0,
    }
}

fn fill(queue: &mut Queue, priority: Priority, tasks: std::ops::Range<u32>, now: Timestamp) -> Vec<Ticket> {
    tasks.map(|n| queue.push(priority, task(n), work(n), now).expect("there is room").ticket).collect()
}

/// Starts the first task of a lane.
fn take(queue: &mut Queue, lane: Priority) -> Option<TaskId> {
    let first = queue.waiting(lane).next()?;
    queue.start(first.ticket)
}

/// Takes everything, at one moment.
fn take_all(queue: &mut Queue, now: Timestamp) -> Vec<TaskId> {
    std::iter::from_fn(|| queue.turn(now).and_then(|lane| take(queue, lane))).collect()
}

/// ORCH-QUEUE-2
#[test]
fn q_1_interactive_goes_before_batch_and_each_lane_is_first_in_first_out() {
    let mut queue = Queue::new(limits(10, 10, FullPolicy::Reject));
    fill(&mut queue, Priority::Batch, 0..2, at(0));
    fill(&mut queue, Priority::Interactive, 2..4, at(1));
    assert_eq!(take_all(&mut queue, at(2)), [2, 3, 0, 1].map(task));
}

/// ORCH-QUEUE-3
#[test]
fn q_2_a_batch_task_goes_next_the_moment_its_wait_reaches_the_bound() {
    let mut queue = Queue::new(limits(10, 10, FullPolicy::Reject));
    fill(&mut queue, Priority::Batch, 0..1, at(0));
    fill(&mut queue, Priority::Interactive, 1..2, at(1));
    assert_eq!(queue.turn(at(99)), Some(Priority::Interactive));
    assert_eq!(queue.turn(at(100)), Some(Priority::Batch));
}

/// ORCH-QUEUE-3
#[test]
fn q_2_a_batch_task_never_passes_an_interactive_task_that_has_waited_longer() {
    let mut queue = Queue::new(limits(10, 10, FullPolicy::Reject));
    fill(&mut queue, Priority::Interactive, 0..2, at(0));
    fill(&mut queue, Priority::Batch, 2..3, at(1));
    fill(&mut queue, Priority::Interactive, 3..4, at(2));
    assert_eq!(take_all(&mut queue, at(500)), [0, 1, 2, 3].map(task));
}

/// ORCH-QUEUE-3
#[test]
fn q_3_a_flood_of_overdue_batch_gets_one_start_in_eight() {
    let mut queue = Queue::new(limits(20, 10, FullPolicy::Reject));
    fill(&mut queue, Priority::Batch, 0..3, at(0));
    fill(&mut queue, Priority::Interactive, 3..19, at(1));
    let started: Vec<TaskId> = take_all(&mut queue, at(500));
    let batch = started.iter().enumerate().filter(|(_, started)| (0..3).any(|n| task(n) == **started));
    assert_eq!(batch.map(|(place, _)| place).collect::<Vec<_>>(), [0, 8, 16]);
}

/// ORCH-QUEUE-7
#[test]
fn q_3_a_flood_of_interactive_never_starves_batch() {
    let mut queue = Queue::new(limits(10, 10, FullPolicy::Reject));
    fill(&mut queue, Priority::Batch, 0..5, at(0));
    fill(&mut queue, Priority::Interactive, 5..15, at(0));
    let mut starts = Vec::new();
    // The interactive lane is full before each start.
    for n in 15..80 {
        let lane = queue.turn(at(1000 + u64::from(n))).expect("somebody waits");
        take(&mut queue, lane).expect("it waits");
        starts.push(lane);
        let _full = queue.push(Priority::Interactive, task(n), work(n), at(1000 + u64::from(n)));
    }
    for eight in starts.chunks(8).take(5) {
        assert_eq!(eight.iter().filter(|lane| **lane == Priority::Batch).count(), 1, "{starts:?}");
    }
}

/// ORCH-QUEUE-1
#[test]
fn q_4_a_full_interactive_lane_refuses_under_either_policy_and_evicts_nobody() {
    for policy in [FullPolicy::Reject, FullPolicy::DropLru] {
        let mut queue = Queue::new(limits(1, 5, policy));
        fill(&mut queue, Priority::Batch, 0..5, at(0));
        fill(&mut queue, Priority::Interactive, 5..6, at(0));
        assert!(queue.refuses(Priority::Interactive));
        assert_eq!(queue.push(Priority::Interactive, task(6), work(6), at(1)), Err(LaneFull));
        assert_eq!((queue.len(Priority::Interactive), queue.len(Priority::Batch)), (1, 5));
    }
}

/// ORCH-QUEUE-4
#[test]
fn q_5_a_full_batch_lane_refuses_or_evicts_its_oldest_as_the_policy_says() {
    let mut queue = Queue::new(limits(1, 2, FullPolicy::Reject));
    fill(&mut queue, Priority::Batch, 0..2, at(0));
    assert_eq!(queue.push(Priority::Batch, task(2), work(2), at(1)), Err(LaneFull));

    let mut queue = Queue::new(limits(1, 2, FullPolicy::DropLru));
    fill(&mut queue, Priority::Batch, 0..2, at(0));
    assert!(!queue.refuses(Priority::Batch));
    let pushed = queue.push(Priority::Batch, task(2), work(2), at(1)).expect("somebody leaves");
    assert_eq!(pushed.evicted, Some(task(0)));
    assert_eq!(take_all(&mut queue, at(1)), [1, 2].map(task));
}

#[test]
fn q_5_a_lane_without_any_room_refuses_even_where_it_would_evict() {
    let mut queue = Queue::new(limits(1, 0, FullPolicy::DropLru));
    assert!(queue.refuses(Priority::Batch));
    assert_eq!(queue.push(Priority::Batch, task(0), work(0), at(0)), Err(LaneFull));
}

/// ORCH-QUEUE-6
#[test]
fn q_6_a_task_that_comes_back_goes_first_takes_no_place_and_is_not_evicted() {
    let mut queue = Queue::new(limits(1, 2, FullPolicy::DropLru));
    fill(&mut queue, Priority::Batch, 0..2, at(5));
    queue.push_front(Priority::Batch, task(9), work(9), at(0));
    assert_eq!(queue.len(Priority::Batch), 3);
    let pushed = queue.push(Priority::Batch, task(2), work(2), at(6)).expect("somebody leaves");
    assert_eq!(pushed.evicted, Some(task(0)));
    assert_eq!(take_all(&mut queue, at(6)), [9, 1, 2].map(task));
}

#[test]
fn a_ticket_is_good_once() {
    let mut queue = Queue::new(limits(5, 5, FullPolicy::Reject));
    let tickets = fill(&mut queue, Priority::Interactive, 0..2, at(0));
    assert_eq!(queue.remove(tickets[1]), Some(task(1)));
    let again = fill(&mut queue, Priority::Interactive, 2..3, at(0));
    assert_eq!(queue.remove(tickets[1]), None);
    assert_eq!(queue.ahead_of(tickets[1], at(0)), None);
    assert_eq!(queue.remove(again[0]), Some(task(2)));
}

#[test]
fn memory_follows_the_tasks_that_wait_and_not_those_that_went_by() {
    let mut lane = Lane::new();
    lane.push_back(task(0), work(0), at(0));
    for n in 1..200_000 {
        // Two in, the older one out: a hole is left each time, and the first never moves.
        let older = lane.push_back(task(n), work(n), at(0));
        let newer = lane.push_back(task(n), work(n), at(0));
        assert!(lane.remove(older).is_some());
        if !n.is_multiple_of(50_000) {
            assert!(lane.remove(newer).is_some());
        }
    }
    assert_eq!(lane.len(), 4);
    assert!(lane.places() <= 128, "{} places for 4 tasks", lane.places());
}

#[derive(Clone, Debug)]
enum Op {
    Push(Priority),
    Take,
    TakeFrom(Priority),
    Remove(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Pass(u64),
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::Interactive), Just(Priority::Batch)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => priority().prop_map(Op::Push),
        3 => Just(Op::Take),
        1 => priority().prop_map(Op::TakeFrom),
        3 => any::<prop::sample::Index>().prop_map(Op::Remove),
        1 => any::<prop::sample::Index>().prop_map(Op::GiveBack),
        2 => (0u64..40).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// ORCH-QUEUE-1, HOME-SCHED-1
    #[test]
    fn the_queue_does_what_two_lists_do(
        bounds in (0usize..150, 0usize..150),
        drops in any::<bool>(),
        batch_one_in in 1u32..10,
        ops in prop::collection::vec(op(), 1..400),
    ) {
        let policy = if drops { FullPolicy::DropLru } else { FullPolicy::Reject };
        let limits = QueueLimits { batch_one_in, ..limits(bounds.0, bounds.1, policy) };
        let mut queue = Queue::new(limits);
        let mut model = Model::new(limits);
        let mut tickets = std::collections::HashMap::new();
        let mut taken: Vec<(Priority, super::model::ModelEntry)> = Vec::new();
        let mut now = 0;
        for (n, op) in ops.iter().enumerate() {
            let n = u32::try_from(n).expect("a short list");
            match op {
                Op::Push(priority) => {
                    let got = queue.push(*priority, task(n), work(n), at(now));
                    let evicted = got.map(|pushed| pushed.evicted).map_err(|LaneFull| ());
                    prop_assert_eq!(evicted, model.push(*priority, n, now).map(|n| n.map(task)), "{:?}", model);
                    if let Ok(pushed) = got {
                        tickets.insert(n, pushed.ticket);
                    }
                }
                Op::Take | Op::TakeFrom(_) => {
                    prop_assert_eq!(queue.turn(at(now)), model.turn(now), "{:?}", model);
                    let lane = if let Op::TakeFrom(priority) = op { Some(*priority) } else { model.turn(now) };
                    if let Some(lane) = lane {
                        let got = take(&mut queue, lane);
                        let expected = model.take(lane);
                        prop_assert_eq!(got, expected.as_ref().map(|e| task(e.n)), "{:?}", model);
                        taken.extend(expected.map(|e| (lane, e)));
                    }
                }
                Op::Remove(which) => {
                    let all: Vec<(usize, usize)> = (0..2)
                        .flat_map(|lane| (0..model.lanes[lane].len()).map(move |place| (lane, place)))
                        .collect();
                    if !all.is_empty() {
                        let (lane, place) = *which.get(&all);
                        let entry = model.lanes[lane].remove(place);
                        prop_assert_eq!(queue.remove(tickets[&entry.n]), Some(task(entry.n)), "{:?}", model);
                        prop_assert_eq!(queue.remove(tickets[&entry.n]), None);
                    }
                }
                Op::GiveBack(which) => {
                    if !taken.is_empty() {
                        let (priority, entry) = taken.swap_remove(which.index(taken.len()));
                        let ticket = queue.push_front(priority, task(entry.n), work(entry.n), at(entry.admitted));
                        tickets.insert(entry.n, ticket);
                        model.give_back(priority, entry);
                    }
                }
                Op::Pass(ms) => now += ms,
            }
            for priority in Priority::ALL {
                prop_assert_eq!(queue.len(priority), model.lane(priority).len(), "{:?}", model);
            }
            if n % 8 == 0 {
                for (place, waiting) in model.order(now).into_iter().enumerate() {
                    let ahead = queue.ahead_of(tickets[&waiting], at(now)).expect("it waits");
                    prop_assert_eq!(ahead.tasks(), place, "task {} in {:?} at {}", waiting, model, now);
                    let lane = model.lane(tickets[&waiting].priority).clone();
                    let mut load = Load::default();
                    lane.iter().take_while(|e| e.n != waiting).for_each(|e| load.add(&work(e.n)));
                    prop_assert_eq!(ahead.own, load);
                }
            }
        }
        let order: Vec<TaskId> = model.order_at_once(now).into_iter().map(task).collect();
        prop_assert_eq!(take_all(&mut queue, at(now)), order, "{:?}", model);
    }
}

/// ORCH-CONF-9
#[test]
fn a_smaller_bound_lets_nobody_in_and_takes_nobody_out() {
    let mut queue = Queue::new(limits(4, 4, FullPolicy::Reject));
    fill(&mut queue, Priority::Interactive, 0..4, at(0));
    queue.set_limits(limits(2, 4, FullPolicy::Reject));
    assert_eq!(queue.push(Priority::Interactive, task(9), work(9), at(1)), Err(LaneFull));
    assert_eq!(take_all(&mut queue, at(2)), [0, 1, 2, 3].map(task));
    fill(&mut queue, Priority::Interactive, 4..6, at(3));
    assert_eq!(queue.push(Priority::Interactive, task(9), work(9), at(4)), Err(LaneFull));
}
