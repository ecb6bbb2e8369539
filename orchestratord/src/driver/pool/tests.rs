use super::*;
use crate::backpressure::Failure;
use crate::driver::Effect;
use crate::health_view::FetchView;
use crate::pool_protocol::Order;
use crate::pool_protocol::PoolEvent;
use engine_api::Device;
use orchestrator_core::{KeepAlive, Millis, ReplicaId};
use pool_manager::Breaker;

fn setup() -> PoolSetup {
    PoolSetup {
        id: PoolId::new("p").unwrap(),
        model_ref: "starter".into(),
        aliases: Vec::new(),
        defaults: Arc::default(),
        engine: EngineKind::Llamacpp,
        queue: QueueLimits::default(),
        sessions: SessionLimits::default(),
        attached: false,
        preload: false,
        idle_unload: None,
        hang_floor: Duration::from_secs(10),
        outage_wait: Duration::from_secs(60),
    }
}

fn pool() -> Pool {
    Pool::new(PoolKey::FIRST, setup(), at(0))
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
    let mut pool = pool();
    pool.heard(
        PoolEvent::Fetching(FetchView { done_bytes: 25, total_bytes: Some(100) }),
        at(5),
        &mut Vec::new(),
    );
    assert_eq!(wait_s(&pool, at(10)), 30);
    assert_eq!(pool.view(at(10)).fetch, Some(FetchView { done_bytes: 25, total_bytes: Some(100) }));
}

#[test]
fn a_failed_fetch_says_why_and_when_it_is_tried_again() {
    let mut pool = pool();
    pool.heard(
        PoolEvent::FetchFailed { why: "no network".into(), retry_in: Duration::from_secs(20) },
        at(0),
        &mut Vec::new(),
    );
    let refusal = pool.check_serving(at(5)).err().unwrap();
    assert_eq!(refusal.to_string(), "pool `p` cannot serve: no network");
    assert_eq!(wait_s(&pool, at(5)), 15);
}

#[test]
fn of_several_replicas_the_one_that_is_back_first_speaks() {
    let mut pool = pool();
    let id = |index| ReplicaId { pool: PoolId::new("p").unwrap(), index };
    pool.heard(PoolEvent::Starting(vec![(id(0), Device::Cpu), (id(1), Device::Cpu)]), at(0), &mut Vec::new());
    pool.backs_off(&id(0), at(50), Some("it crashed".into()), Breaker::Open);
    pool.backs_off(&id(1), at(9), Some("it crashed".into()), Breaker::Closed);
    assert!(matches!(pool.check_serving(at(0)), Ok(Serving::AfterLoad)), "a task waits for it in the queue");
    assert_eq!(pool.load_wait(at(0)), Millis(9_000));
    pool.backs_off(&id(1), at(59), Some("it crashed".into()), Breaker::Open);
    assert_eq!(wait_s(&pool, at(0)), 50);
    assert_eq!(pool.view(at(0)).replicas[0].state, "backing_off");
}

/// ORCH-ERR-8
#[test]
fn who_lost_its_engine_may_come_back_when_a_replica_is_up_and_the_lane_has_a_place() {
    let mut pool = pool();
    let replica = ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 };
    let started = PoolEvent::Starting(vec![(replica.clone(), Device::Cpu)]);
    pool.heard(started, at(0), &mut Vec::new());
    pool.backs_off(&replica, at(9), Some("it crashed".into()), Breaker::Closed);
    let failure = |pool: &Pool, now| Failure::WorkerReset {
        retry_after: pool.retry_after(Priority::Interactive, 1, now),
    };
    assert_eq!(failure(&pool, at(2)).verdict().retry_after, Some(Millis(7_000)));
    assert_eq!(failure(&pool, at(9)).verdict().retry_after, Some(Millis(1)), "never 0");
}

/// ORCH-MODEL-9
#[test]
fn the_wait_for_a_model_that_is_loaded_holds_its_self_test() {
    let mut pool = pool();
    let replica = ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 };
    let start = |pool: &mut Pool, now| {
        let started = PoolEvent::Starting(vec![(replica.clone(), Device::Cpu)]);
        pool.heard(started, now, &mut Vec::new());
    };
    start(&mut pool, at(0));
    pool.loading(&replica, 0.75, at(3));
    assert_eq!(pool.load_wait(at(3)), Millis(1000 + 4000), "no test was seen yet: as long as the load");
    pool.loading(&replica, 1.0, at(5));
    assert_eq!(pool.load_wait(at(7)), Millis(2000), "as long again as it has taken");
    let engine = crate::driver::simulation::engine::SimEngine::new(0, replica.clone(), 1).handle;
    let test = pool_manager::SelfTest {
        prefill_tps: 100.0,
        decode_tps: None,
        batched: None,
        first_token_ms: Millis(1),
        took: Duration::from_secs(3),
    };
    pool.ready(&replica, engine, &test, at(8));

    pool.gone(&replica, "it crashed".into(), at(10));
    pool.loading(&replica, 0.5, at(12));
    pool.loading(&replica, 0.75, at(15));
    assert_eq!(pool.load_wait(at(15)), Millis(1000 + 3000), "as the last test");
    pool.loading(&replica, 1.0, at(17));
    assert_eq!(pool.load_wait(at(18)), Millis(2000));
}

/// A pool whose one replica serves since `now`.
fn serving(now: Timestamp) -> Pool {
    let mut pool = pool();
    let replica = ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 };
    pool.heard(PoolEvent::Starting(vec![(replica.clone(), Device::Cpu)]), now, &mut Vec::new());
    let engine = crate::driver::simulation::engine::SimEngine::new(0, replica.clone(), 1).handle;
    let test = pool_manager::SelfTest {
        prefill_tps: 100.0,
        decode_tps: None,
        batched: None,
        first_token_ms: Millis(1),
        took: Duration::from_secs(1),
    };
    pool.ready(&replica, engine, &test, now);
    pool
}

/// Whether the pool unloads its model at `now`.
fn unloads(pool: &mut Pool, now: Timestamp) -> bool {
    let mut effects = Vec::new();
    pool.settle(now, true, &mut effects);
    effects.iter().any(|effect| matches!(effect, Effect::Order(_, Order::Unload)))
}

/// ORCH-MODEL-15
#[test]
fn a_model_stays_loaded_for_as_long_as_the_last_request_asked_for() {
    let mut pool = serving(at(10));
    pool.setup.idle_unload = Some(Duration::from_secs(60));
    assert_eq!(pool.life_wake(at(10)), Some(at(70)));
    pool.keep_alive(KeepAlive::For(Duration::from_secs(5)));
    assert_eq!(pool.life_wake(at(10)), Some(at(15)));
    assert_eq!(pool.view(at(12)).stay.unloads_in, Some(Millis(3000)));
    pool.keep_alive(KeepAlive::Forever);
    assert_eq!((pool.life_wake(at(10)), pool.view(at(12)).stay.unloads_in), (None, None));
    pool.keep_alive(KeepAlive::For(Duration::ZERO));
    assert!(unloads(&mut pool, at(12)));
}

/// ORCH-MODEL-15
#[test]
fn what_a_request_asked_for_is_over_once_the_model_is_unloaded() {
    let mut pool = serving(at(10));
    pool.keep_alive(KeepAlive::For(Duration::ZERO));
    assert!(unloads(&mut pool, at(11)));
    pool.heard(PoolEvent::Unloaded, at(12), &mut Vec::new());
    pool.load(at(13), &mut Vec::new());
    let replica = ReplicaId { pool: PoolId::new("p").unwrap(), index: 0 };
    pool.heard(PoolEvent::Starting(vec![(replica, Device::Cpu)]), at(14), &mut Vec::new());
    assert_eq!(pool.life_wake(at(14)), None);
}

/// ORCH-MODEL-15
#[test]
fn a_server_that_the_daemon_did_not_start_is_not_unloaded_whatever_is_asked() {
    let mut pool = serving(at(10));
    pool.setup.attached = true;
    pool.keep_alive(KeepAlive::For(Duration::ZERO));
    assert!(!unloads(&mut pool, at(99)));
}

/// ORCH-MODEL-16
#[test]
fn a_pinned_model_is_loaded_without_a_task_and_is_not_unloaded_for_being_idle() {
    let mut pool = pool();
    pool.heard(PoolEvent::Unloaded, at(0), &mut Vec::new());
    pool.set_pinned(true);
    let mut effects = Vec::new();
    pool.settle(at(1), true, &mut effects);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Order(_, Order::Load))));

    let mut pool = serving(at(10));
    pool.setup.idle_unload = Some(Duration::from_secs(1));
    pool.set_pinned(true);
    pool.keep_alive(KeepAlive::For(Duration::ZERO));
    assert!(!unloads(&mut pool, at(99)));
    pool.set_pinned(false);
    assert!(unloads(&mut pool, at(99)));
}

/// ORCH-MODEL-16
#[test]
fn a_pinned_model_makes_no_room_and_who_finds_none_hears_of_it() {
    let mut pinned = serving(at(0));
    pinned.set_pinned(true);
    let setup = PoolSetup { id: PoolId::new("other").unwrap(), ..setup() };
    let mut other = Pool::new(PoolKey::FIRST, setup, at(0));
    let no_room =
        || PoolEvent::NoRoom { why: "it needs 2 GiB".into(), devices: vec![Device::Cpu], never: false };
    other.heard(PoolEvent::Unloaded, at(1), &mut Vec::new());
    other.load(at(1), &mut Vec::new());
    for second in 2..9 {
        other.heard(no_room(), at(second), &mut Vec::new());
    }
    let mut pools = [pinned, other];
    let mut effects = Vec::new();
    let (_, in_vain) = make_room(&mut pools, at(99), &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!(in_vain.len(), 1);
    let why = pools[1].view(at(99)).reason.unwrap();
    assert!(why.ends_with("it needs 2 GiB; `p` stays loaded because it is pinned"), "{why}");

    pools[0].set_pinned(false);
    make_room(&mut pools, at(99), &mut effects);
    assert!(matches!(pools[0].lifecycle, Lifecycle::Emptying { .. } | Lifecycle::Unloading { .. }));
}
