//! The scheduler's rules, one by one, and all of them against a naive model.

use super::*;
use crate::TaskSpec;
use crate::scheduler::Admission;
use uuid::Uuid;

fn task(n: u128) -> TaskId {
    TaskId(Uuid::from_u128(n))
}

fn spec(n: u128, priority: Priority) -> TaskSpec {
    TaskSpec {
        id: task(n),
        priority,
        session: None,
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

fn profile(slots: u16, decode_tps: f64) -> ReplicaProfile {
    ReplicaProfile { slots, prefill_tps: Some(1000.0), decode_tps: Some(decode_tps), free_vram: None }
}

#[test]
fn a_task_goes_from_admission_to_its_end() {
    let mut pool = PoolScheduler::new(QueueLimits::default(), SessionLimits::default());
    assert_eq!(pool.replica_ready(replica(0), profile(1, 100.0), at(0)), vec![]);
    for n in 0..3 {
        let Admission::Queued { position, .. } = pool.admit(spec(n, Priority::Interactive), at(0)) else {
            panic!("there is room")
        };
        assert_eq!(position as u128, n);
    }
    let first = pool.next(at(0)).expect("a slot is free");
    assert_eq!((first.task, first.replica), (task(0), replica(0)));
    assert_eq!(pool.next(at(0)), None);
    assert_eq!(pool.predicted_start(task(1), at(0)).expect("it waits").expected, Millis(1100));
    assert_eq!(pool.predicted_start(task(2), at(0)).expect("it waits").expected, Millis(2200));
    assert!(pool.finished(task(0), None, at(1000)));
    assert_eq!(pool.next(at(1000)).expect("a slot is free").queue_time, Millis(1000));
}
