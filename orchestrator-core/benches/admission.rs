//! What an admission decision costs by the depth of the queue: one task in and one out at a steady depth,
//! its position included. The bound is 1 µs for the decision, at any depth.
//!
//! `cargo bench -p orchestrator-core`

use std::time::Duration;

use divan::{Bencher, black_box};
use orchestrator_core::{
    Admission, CancelOutcome, FullPolicy, PoolId, PoolScheduler, Priority, QueueLimits, ReplicaId,
    ReplicaProfile, SessionLimits, TaskId, TaskSpec, Timestamp, TokenCount,
};
use uuid::Uuid;

const DEPTHS: [usize; 5] = [0, 100, 1_000, 10_000, 100_000];
const SLOTS: u16 = 8;

fn main() {
    divan::main();
}

/// Names without an order, as clients choose them.
fn id(n: u64) -> TaskId {
    let high = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    TaskId(Uuid::from_u64_pair(high, high.rotate_left(29) ^ n))
}

fn spec(n: u64, priority: Priority) -> TaskSpec {
    TaskSpec {
        id: id(n),
        priority,
        session: None,
        ctx: None,
        cells: TokenCount(0),

        tokens_in: TokenCount(u32::try_from(n % 900).expect("it is small")),
        max_tokens: Some(TokenCount(256)),
        expected_tokens: None,
    }
}

/// A pool with all slots busy and so many tasks waiting, half of them batch.
struct Pool {
    scheduler: PoolScheduler,
    next: u64,
    now: Timestamp,
}

impl Pool {
    fn with_depth(depth: usize) -> Self {
        Self::with_limits(depth, depth + 2 + usize::from(SLOTS))
    }

    fn with_limits(depth: usize, bound: usize) -> Self {
        let limits = QueueLimits {
            interactive: bound,
            batch: bound,
            full_policy: FullPolicy::Reject,
            batch_max_wait: Duration::from_secs(60),
            batch_one_in: 8,
            interactive_reserve: 0,
        };
        let mut scheduler = PoolScheduler::new(limits, SessionLimits::default());
        let replica = ReplicaId { pool: PoolId::new("p").expect("a valid name"), index: 0 };
        let profile = ReplicaProfile {
            ctx: None,
            kv_cells: None,
            slots: SLOTS,
            prefill_tps: Some(900.0),
            decode_tps: Some(40.0),
            batched: None,
            free_vram: None,
        };
        let lost = scheduler.replica_ready(replica, profile, Timestamp::default());
        assert!(lost.is_empty(), "a new replica loses nothing");
        let mut pool = Self { scheduler, next: 0, now: Timestamp::default() };
        for _ in 0..SLOTS {
            pool.admit(Priority::Interactive);
            let _dispatched = pool.scheduler.next(pool.now).expect("a slot is free");
        }
        for n in 0..depth {
            pool.admit(if n % 2 == 0 { Priority::Interactive } else { Priority::Batch });
        }
        pool
    }

    /// Admits one more task. The answer goes through a black box, so that all of it is computed.
    fn admit(&mut self, priority: Priority) -> TaskId {
        let spec = spec(self.next, priority);
        self.next += 1;
        self.now = Timestamp::from_micros(self.now.as_micros() + 50);
        let admission = black_box(self.scheduler.admit(spec, self.next, self.now));
        assert!(matches!(admission, Admission::Queued { .. }), "there is room");
        spec.id
    }
}

/// A task is admitted and canceled again, from the end of the queue.
#[divan::bench(args = DEPTHS, sample_count = 200, sample_size = 1000)]
fn admit_and_cancel_interactive(bencher: Bencher<'_, '_>, depth: usize) {
    let mut pool = Pool::with_depth(depth);
    bencher.bench_local(|| {
        let task = pool.admit(Priority::Interactive);
        assert_eq!(black_box(pool.scheduler.cancel(task)), CancelOutcome::Queued);
    });
}

/// The same for a batch task, with batch tasks overdue and interactive ones before it.
#[divan::bench(args = DEPTHS, sample_count = 200, sample_size = 1000)]
fn admit_and_cancel_batch_with_overdue_ones(bencher: Bencher<'_, '_>, depth: usize) {
    let mut pool = Pool::with_depth(depth);
    let middle = Timestamp::from_micros(pool.now.as_micros() / 2);
    pool.now = pool.now.max(middle.after(Duration::from_secs(60)));
    bencher.bench_local(|| {
        let task = pool.admit(Priority::Batch);
        assert_eq!(black_box(pool.scheduler.cancel(task)), CancelOutcome::Queued);
    });
}

/// The steady life of a busy pool: one admitted, one over, one handed out.
#[divan::bench(args = DEPTHS, sample_count = 200, sample_size = 1000)]
fn admit_finish_and_dispatch(bencher: Bencher<'_, '_>, depth: usize) {
    let mut pool = Pool::with_depth(depth);
    let mut running: std::collections::VecDeque<TaskId> = (0..u64::from(SLOTS)).map(id).collect();
    bencher.bench_local(|| {
        pool.admit(Priority::Interactive);
        let over = running.pop_front().expect("all slots are busy");
        assert!(pool.scheduler.finished(over, None, pool.now));
        let dispatch = pool.scheduler.next(pool.now).expect("a slot is free");
        running.push_back(dispatch.task);
    });
}

/// The answer to a caller who finds the lane full.
#[divan::bench(args = DEPTHS[1..].iter(), sample_count = 200, sample_size = 1000)]
fn check_a_full_lane(bencher: Bencher<'_, '_>, depth: &usize) {
    let pool = Pool::with_limits(*depth, depth / 2);
    bencher.bench_local(|| {
        let answer = black_box(&pool.scheduler).check(Priority::Interactive, 0, pool.now);
        assert!(black_box(answer).is_err());
    });
}

/// Where a task in the middle of the queue stands, and when it will start: more than a decision, and bounded.
#[divan::bench(args = DEPTHS[1..].iter(), sample_count = 20, sample_size = 100)]
fn position_and_start_of_any_task(bencher: Bencher<'_, '_>, depth: &usize) {
    let pool = Pool::with_depth(*depth);
    let task = id(u64::from(SLOTS) + u64::try_from(depth / 2).expect("it is small"));
    bencher.bench_local(|| {
        black_box(pool.scheduler.position(task, pool.now)).expect("it waits");
        black_box(pool.scheduler.predicted_start(task, pool.now)).expect("it waits");
    });
}

/// The starts of all rows that a console shows of a lane.
#[divan::bench(args = DEPTHS[1..].iter(), sample_count = 20, sample_size = 10)]
fn starts_of_sixty_rows(bencher: Bencher<'_, '_>, depth: &usize) {
    let pool = Pool::with_depth(*depth);
    bencher.bench_local(|| {
        black_box(pool.scheduler.predicted_starts(Priority::Interactive, 60, pool.now));
    });
}
