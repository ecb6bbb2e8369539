//! The scheduler against a naive model, under random operations (S-1 to S-5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::queue::model::{Model, ModelEntry};
use crate::{FullPolicy, Millis, TaskSpec};

fn task(n: u32) -> TaskId {
    TaskId(Uuid::from_u128(u128::from(n)))
}

fn number(task: TaskId) -> u32 {
    u32::try_from(task.0.as_u128()).expect("made by `task`")
}

fn replica(index: u16) -> ReplicaId {
    ReplicaId { pool: crate::PoolId::new("p").expect("a valid name"), index }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

#[derive(Clone, Debug)]
enum Op {
    Admit(Priority, u8),
    Finish(prop::sample::Index, bool),
    FirstToken(prop::sample::Index),
    Cancel(prop::sample::Index),
    Ready(u16, u16, u16, Option<u32>),
    Retire(u16),
    Gone(u16, bool),
    Requeue(prop::sample::Index),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let priority = prop_oneof![Just(Priority::Interactive), Just(Priority::Batch)];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        12 => (priority, any::<u8>()).prop_map(|(priority, shape)| Op::Admit(priority, shape)),
        6 => (index(), any::<bool>()).prop_map(|(which, figures)| Op::Finish(which, figures)),
        2 => index().prop_map(Op::FirstToken),
        3 => index().prop_map(Op::Cancel),
        2 => (0u16..4, 0u16..4, 0u16..200, prop::option::of(200u32..3000))
            .prop_map(|(index, slots, tps, cells)| Op::Ready(index, slots, tps, cells)),
        1 => (0u16..4).prop_map(Op::Retire),
        1 => (0u16..4, any::<bool>()).prop_map(|(index, again)| Op::Gone(index, again)),
        1 => index().prop_map(Op::Requeue),
        4 => (0u64..400).prop_map(Op::Pass),
    ]
}

#[derive(Clone, Debug)]
struct ModelReplica {
    slots: usize,
    cells: Option<u32>,
    open: bool,
    tasks: BTreeSet<u32>,
}

impl ModelReplica {
    /// Whether it has a slot and the cells for a task more.
    fn takes(&self, cells: u32, of: &BTreeMap<u32, u32>) -> bool {
        let kept: u32 = self.tasks.iter().map(|n| of[n]).sum();
        let needs_none = cells == 0 || self.tasks.is_empty();
        let has_room = needs_none || self.cells.is_none_or(|all| kept + cells <= all);
        self.open && self.tasks.len() < self.slots && has_room
    }
}

#[derive(Clone, Debug)]
struct World {
    queue: Model,
    replicas: BTreeMap<u16, ModelReplica>,
    running: BTreeMap<u32, (Priority, ModelEntry)>,
    lost: BTreeMap<u32, (Priority, ModelEntry)>,
    /// What each task needs of a KV cache.
    cells: BTreeMap<u32, u32>,
    admitted: u64,
    ended: u64,
    /// Until when places may be promised to those who were refused.
    promised_until: u64,
    now: u64,
}

impl World {
    fn lose(&mut self, index: u16) -> BTreeSet<u32> {
        let Some(gone) = self.replicas.remove(&index) else { return BTreeSet::new() };
        for n in &gone.tasks {
            let entry = self.running.remove(n).expect("it ran there");
            self.lost.insert(*n, entry);
        }
        gone.tasks
    }

    fn stop(&mut self, n: u32) -> (Priority, ModelEntry) {
        for replica in self.replicas.values_mut() {
            replica.tasks.remove(&n);
        }
        self.running.remove(&n).expect("it runs")
    }

    fn batch_is_capped(&self) -> bool {
        let open = || self.replicas.values().filter(|replica| replica.open);
        let slots: usize = open().map(|replica| replica.slots).sum();
        let busy = open()
            .flat_map(|replica| &replica.tasks)
            .filter(|n| self.running[*n].0 == Priority::Batch)
            .count();
        busy >= slots.saturating_sub(usize::from(self.queue.limits.interactive_reserve)).max(1)
    }

    /// Whether a waiting task's KV cache is at a replica that is full.
    fn waits_for_its_cache(&self, pool: &PoolScheduler, n: u32) -> bool {
        let Some(Task::Waiting(waiting)) = pool.tasks.get(&task(n)) else { return false };
        let session = waiting.spec.session.and_then(|session| pool.sessions.get(session, at(self.now)));
        let home = session.and_then(|session| self.replicas.get(&session.home()?.replica.index));
        home.is_some_and(|home| home.open && !home.takes(self.cells[&n], &self.cells))
    }

    /// The cells that are kept for the first task that may go, where that is sure: those behind it go only after it.
    fn first_needs(&mut self) -> Option<u32> {
        let turn = self.queue.turn(self.now)?;
        let other = if turn == Priority::Batch { Priority::Interactive } else { Priority::Batch };
        let capped = self.batch_is_capped();
        let lanes = [turn, other].into_iter().filter(|lane| *lane == Priority::Interactive || !capped);
        let first =
            lanes.filter_map(|lane| self.queue.clone().lane(lane).first().map(|entry| entry.n)).next()?;
        Some(self.cells[&first])
    }

    fn has_room_for(&self, cells: u32) -> bool {
        self.replicas.values().any(|replica| replica.takes(cells, &self.cells))
    }
}

fn limits(interactive: usize, batch: usize, full_policy: FullPolicy, reserve: u16) -> QueueLimits {
    let batch_max_wait = Duration::from_millis(500);
    QueueLimits {
        interactive,
        batch,
        full_policy,
        batch_max_wait,
        batch_one_in: 4,
        interactive_reserve: reserve,
    }
}

fn cells_of(shape: u8) -> u32 {
    u32::from(shape) * 5
}

fn spec(n: u32, priority: Priority, shape: u8) -> TaskSpec {
    TaskSpec {
        id: task(n),
        priority,
        session: shape.is_multiple_of(3).then(|| SessionId(Uuid::from_u128(u128::from(shape % 5)))),
        ctx: None,
        cells: TokenCount(cells_of(shape)),

        tokens_in: TokenCount(u32::from(shape) * 4),
        max_tokens: shape.is_multiple_of(2).then_some(TokenCount(u32::from(shape) + 1)),
        expected_tokens: shape.is_multiple_of(7).then_some(TokenCount(u32::from(shape))),
    }
}

/// Hands out whatever there is to hand out, and checks every choice.
fn hand_out(pool: &mut PoolScheduler, world: &mut World) -> Result<(), TestCaseError> {
    while let Some(Dispatch { task, replica, queue_time }) = pool.next(at(world.now)) {
        let n = number(task);
        let place = Priority::ALL
            .into_iter()
            .find_map(|lane| Some((lane, world.queue.lane(lane).iter().position(|entry| entry.n == n)?)));
        prop_assert!(place.is_some(), "{} does not wait in {:?}", n, world);
        let (lane, place) = place.expect("just checked");
        for before in 0..place {
            let other = world.queue.lane(lane)[before].n;
            let waits = world.waits_for_its_cache(pool, other);
            prop_assert!(waits, "S-3: {} overtakes {} in {:?}", n, other, world);
        }
        let turn = world.queue.turn(world.now);
        if lane == Priority::Interactive && turn == Some(Priority::Batch) {
            prop_assert!(world.batch_is_capped(), "Q-2: an overdue batch task was passed in {:?}", world);
        }
        prop_assert!(lane == Priority::Interactive || !world.batch_is_capped(), "S-4 in {:?}", world);
        let entry = world.queue.take_at(lane, place).expect("it was found there");
        prop_assert_eq!(queue_time, Millis(world.now - entry.admitted));
        world.running.insert(n, (lane, entry));
        let at = world.replicas.get_mut(&replica.index);
        prop_assert!(at.is_some(), "S-2: {} went to {}, which is gone", n, replica);
        let at = at.expect("just checked");
        let takes = at.takes(world.cells[&n], &world.cells);
        at.tasks.insert(n);
        prop_assert!(at.open && at.tasks.len() <= at.slots, "S-2: {} went to {} in {:?}", n, replica, world);
        prop_assert!(takes, "S-5: {} went to {}, which has no room, in {:?}", n, replica, world);
    }
    let first = world.first_needs();
    match pool.next_wake(at(world.now)) {
        Some(wake) => {
            prop_assert!(wake > at(world.now), "a wake that changes nothing in {:?}", world);
            prop_assert!(first.is_some(), "a wake for nobody in {:?}", world);
        }
        None => {
            let goes = first.is_some_and(|cells| world.has_room_for(cells));
            prop_assert!(!goes, "nobody goes, nobody waits in {:?}", world);
        }
    }
    Ok(())
}

fn check(pool: &PoolScheduler, world: &World) -> Result<(), TestCaseError> {
    let mut copy = world.queue.clone();
    for lane in Priority::ALL {
        prop_assert_eq!(pool.depth(lane), copy.lane(lane).len(), "{:?}", world);
        let new = copy.lane(lane).iter().filter(|entry| !entry.returned).count();
        let bound = [world.queue.limits.interactive, world.queue.limits.batch][lane as usize];
        prop_assert!(new <= bound, "the {} lane holds {} in {:?}", lane, new, world);
    }
    prop_assert_eq!(pool.running(), world.running.len());
    let ended = pool.ended();
    prop_assert_eq!(ended.ran + ended.withdrawn, world.ended, "S-1 in {:?}", world);
    let inside =
        pool.depth(Priority::Interactive) + pool.depth(Priority::Batch) + pool.running() + world.lost.len();
    prop_assert_eq!(world.admitted, world.ended + inside as u64, "S-1 in {:?}", world);
    for (place, n) in world.queue.order(world.now).into_iter().enumerate() {
        prop_assert_eq!(pool.position(task(n), at(world.now)), Some(place), "task {} in {:?}", n, world);
        if place == 0 && world.now.is_multiple_of(8) {
            prop_assert!(pool.predicted_start(task(n), at(world.now)).is_some());
        }
    }
    Ok(())
}

fn apply(pool: &mut PoolScheduler, world: &mut World, n: u32, op: &Op) -> Result<(), TestCaseError> {
    let now = at(world.now);
    match op {
        Op::Admit(priority, shape) => {
            let checked = pool.check(*priority, u64::from(n), now);
            let promised = world.promised_until > world.now;
            if checked.is_err() && promised && world.queue.clone().push(*priority, n, world.now).is_ok() {
                // The place is promised to somebody who was refused before.
                prop_assert!(matches!(
                    pool.admit(spec(n, *priority, *shape), u64::from(n), now),
                    Admission::Rejected(_)
                ));
                return Ok(());
            }
            world.cells.insert(n, cells_of(*shape));
            let expected = world.queue.push(*priority, n, world.now);
            prop_assert_eq!(checked.is_ok(), expected.is_ok(), "{:?}", world);
            match (pool.admit(spec(n, *priority, *shape), u64::from(n), now), expected) {
                (Admission::Queued { position, evicted, .. }, Ok(victim)) => {
                    prop_assert_eq!(evicted, victim.map(task), "{:?}", world);
                    prop_assert_eq!(pool.position(task(n), now), Some(position));
                    world.admitted += 1;
                    world.ended += u64::from(victim.is_some());
                }
                (Admission::Rejected(rejection), Err(())) => {
                    prop_assert_eq!(rejection.reason, RejectionReason::QueueFull);
                    prop_assert!(rejection.retry_after >= Millis(1));
                    world.promised_until = u64::MAX;
                    prop_assert_eq!(pool.cancel(task(n)), CancelOutcome::Unknown);
                }
                (answer, expected) => prop_assert!(false, "{:?}, not {:?} in {:?}", answer, expected, world),
            }
        }
        Op::Finish(which, figures) if !world.running.is_empty() => {
            let n = *which.get(&world.running.keys().copied().collect::<Vec<_>>());
            let figures = figures.then_some(EndFigures {
                tokens_in: TokenCount(n % 500),
                tokens_cached: TokenCount(n % 30),
                tokens_out: TokenCount(n % 90),
                prefill: Millis(u64::from(n % 100)),
                decode: Millis(u64::from(n % 1000)),
            });
            prop_assert!(pool.finished(task(n), figures, now));
            prop_assert!(!pool.finished(task(n), None, now), "S-1: {} ended twice", n);
            world.stop(n);
            world.ended += 1;
        }
        Op::FirstToken(which) if !world.running.is_empty() => {
            pool.first_token(task(*which.get(&world.running.keys().copied().collect::<Vec<_>>())), now);
        }
        Op::Cancel(which) if n > 0 => {
            cancel(pool, world, u32::try_from(which.index(n as usize)).expect("a list"))?
        }
        Op::Requeue(which) if !world.running.is_empty() => {
            let n = *which.get(&world.running.keys().copied().collect::<Vec<_>>());
            prop_assert!(pool.requeue(task(n), now));
            prop_assert!(!pool.requeue(task(n), now), "it waits already");
            let (priority, entry) = world.stop(n);
            world.queue.give_back(priority, entry);
        }
        Op::Ready(index, slots, tps, cells) => {
            let tps = (*tps > 0).then_some(f64::from(*tps));
            let profile = ReplicaProfile {
                ctx: None,
                kv_cells: cells.map(TokenCount),
                slots: *slots,
                prefill_tps: tps,
                decode_tps: tps,
                batched: None,
                free_vram: None,
            };
            let lost = pool.replica_ready(replica(*index), profile, now);
            prop_assert_eq!(lost.into_iter().map(number).collect::<BTreeSet<_>>(), world.lose(*index));
            let ready = ModelReplica {
                slots: usize::from(*slots),
                cells: *cells,
                open: true,
                tasks: BTreeSet::new(),
            };
            world.replicas.insert(*index, ready);
            try_again(pool, world);
        }
        Op::Retire(index) => {
            pool.replica_retiring(&replica(*index));
            if let Some(retiring) = world.replicas.get_mut(index) {
                retiring.open = false;
            }
        }
        Op::Gone(index, again) => {
            let lost: Vec<u32> = pool.replica_gone(&replica(*index)).into_iter().map(number).collect();
            prop_assert_eq!(lost.iter().copied().collect::<BTreeSet<_>>(), world.lose(*index));
            let admitted: Vec<u64> = lost.iter().map(|n| world.lost[n].1.admitted).collect();
            prop_assert!(admitted.is_sorted_by(|a, b| a >= b), "the youngest first, not {:?}", lost);
            if *again {
                for n in lost {
                    prop_assert!(pool.requeue(task(n), now));
                    let (priority, entry) = world.lost.remove(&n).expect("it was lost");
                    world.queue.give_back(priority, entry);
                }
            } else {
                try_again(pool, world);
            }
        }
        Op::Pass(ms) => world.now += ms,
        Op::Finish(..) | Op::FirstToken(_) | Op::Cancel(_) | Op::Requeue(_) => {}
    }
    Ok(())
}

/// Gives every lost task up but each third, which stays lost.
fn try_again(pool: &mut PoolScheduler, world: &mut World) {
    for n in world.lost.keys().copied().filter(|n| n % 3 != 0).collect::<Vec<_>>() {
        assert!(pool.finished(task(n), None, at(world.now)), "a lost task can be given up");
        world.lost.remove(&n);
        world.ended += 1;
    }
}

fn cancel(pool: &mut PoolScheduler, world: &mut World, n: u32) -> Result<(), TestCaseError> {
    let outcome = pool.cancel(task(n));
    if world.running.contains_key(&n) {
        prop_assert!(matches!(outcome, CancelOutcome::Running(_)), "{:?} for {} in {:?}", outcome, n, world);
        return Ok(());
    }
    let mut was_there = world.lost.remove(&n).is_some();
    for lane in Priority::ALL {
        let before = world.queue.lane(lane).len();
        world.queue.lane(lane).retain(|entry| entry.n != n);
        was_there |= world.queue.lane(lane).len() < before;
    }
    let expected = if was_there { CancelOutcome::Queued } else { CancelOutcome::Unknown };
    prop_assert_eq!(outcome, expected, "{} in {:?}", n, world);
    world.ended += u64::from(was_there);
    Ok(())
}

/// With one replica left and nobody canceling, every admitted task ends.
fn run_out(pool: &mut PoolScheduler, world: &mut World) -> Result<(), TestCaseError> {
    for n in world.lost.keys().copied().collect::<Vec<_>>() {
        cancel(pool, world, n)?;
    }
    let profile = ReplicaProfile {
        ctx: None,
        kv_cells: Some(TokenCount(1000)),
        slots: 2,
        prefill_tps: None,
        decode_tps: Some(50.0),
        batched: None,
        free_vram: None,
    };
    let lost = pool.replica_ready(replica(9), profile, at(world.now));
    prop_assert_eq!(lost, vec![]);
    let ready = ModelReplica { slots: 2, cells: Some(1000), open: true, tasks: BTreeSet::new() };
    world.replicas.insert(9, ready);
    for _ in 0..10_000 {
        hand_out(pool, world)?;
        check(pool, world)?;
        if let Some(wake) = pool.next_wake(at(world.now)) {
            world.now = wake.as_micros().div_ceil(1000);
        } else if let Some(n) = world.running.keys().next().copied() {
            world.now += 1;
            prop_assert!(pool.finished(task(n), None, at(world.now)));
            world.stop(n);
            world.ended += 1;
        } else {
            break;
        }
    }
    prop_assert_eq!(world.admitted, world.ended, "S-1: somebody got no answer in {:?}", world);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// ORCH-QUEUE-5, ORCH-PLACE-5
    #[test]
    fn the_scheduler_does_what_the_model_allows(
        bounds in (0usize..12, 0usize..12),
        drops in any::<bool>(),
        reserve in 0u16..3,
        ops in prop::collection::vec(op(), 1..150),
    ) {
        let policy = if drops { FullPolicy::DropLru } else { FullPolicy::Reject };
        let limits = limits(bounds.0, bounds.1, policy, reserve);
        let sessions = SessionLimits { ttl: Duration::from_millis(800), max_sessions: 3 };
        let mut pool = PoolScheduler::new(limits, sessions);
        let mut world = World {
            queue: Model::new(limits),
            replicas: BTreeMap::new(),
            running: BTreeMap::new(),
            lost: BTreeMap::new(),
            cells: BTreeMap::new(),
            admitted: 0,
            ended: 0,
            promised_until: 0,
            now: 0,
        };
        for (n, op) in ops.iter().enumerate() {
            apply(&mut pool, &mut world, u32::try_from(n).expect("a short list"), op)?;
            hand_out(&mut pool, &mut world)?;
            check(&pool, &world)?;
        }
        run_out(&mut pool, &mut world)?;
    }
}
