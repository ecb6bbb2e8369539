use tokio::sync::mpsc;

use super::*;
use crate::keeper::{Order, PoolEvent};

fn setup() -> PoolSetup {
    PoolSetup {
        id: PoolId::new("p").unwrap(),
        model_ref: "starter".into(),
        engine: EngineKind::Llamacpp,
        queue: QueueLimits::default(),
        sessions: SessionLimits::default(),
        idle_unload: None,
        hang_floor: Duration::from_secs(10),
    }
}

/// A pool and the orders its keeper gets.
fn pool() -> (Pool, mpsc::Receiver<Order>) {
    let (orders, ordered) = mpsc::channel(8);
    (Pool::new(setup(), orders, at(0)), ordered)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn wait_s(pool: &Pool, now: Timestamp) -> u64 {
    let refusal = pool.check_serving(now).err().expect("it cannot serve");
    refusal.verdict().retry_after_s().expect("it can be tried again")
}

#[test]
fn a_fetch_that_is_a_quarter_done_takes_three_times_as_long_again() {
    let (mut pool, _ordered) = pool();
    pool.heard(PoolEvent::Fetching(FetchView { done_bytes: 25, total_bytes: Some(100) }), at(5));
    assert_eq!(wait_s(&pool, at(10)), 30);
    assert_eq!(pool.view().fetch, Some(FetchView { done_bytes: 25, total_bytes: Some(100) }));
}

#[test]
fn a_failed_fetch_says_why_and_when_it_is_tried_again() {
    let (mut pool, _ordered) = pool();
    pool.heard(PoolEvent::FetchFailed { why: "no network".into(), retry_in: Duration::from_secs(20) }, at(0));
    let refusal = pool.check_serving(at(5)).err().unwrap();
    assert_eq!(refusal.to_string(), "pool `p` cannot serve: no network");
    assert_eq!(wait_s(&pool, at(5)), 15);
}

#[test]
fn of_several_replicas_the_one_that_is_back_first_speaks() {
    let (mut pool, _ordered) = pool();
    let id = |index| ReplicaId { pool: PoolId::new("p").unwrap(), index };
    pool.heard(PoolEvent::Starting(vec![(id(0), Device::Cpu), (id(1), Device::Cpu)]), at(0));
    let backing_off =
        |until, breaker| Phase::BackingOff { until: at(until), reason: "it crashed".into(), breaker };
    pool.set_phase(&id(0), backing_off(50, Breaker::Open));
    pool.set_phase(&id(1), backing_off(9, Breaker::Closed));
    assert!(matches!(pool.check_serving(at(0)), Ok(Serving::AfterLoad)), "a task waits for it in the queue");
    assert_eq!(pool.load_wait(at(0)), Millis(9_000));
    pool.set_phase(&id(1), backing_off(59, Breaker::Open));
    assert_eq!(wait_s(&pool, at(0)), 50);
    assert_eq!(pool.view().replicas[0].state, "backing_off");
}
