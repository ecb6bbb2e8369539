//! What a controller costs and does while there is no room, and when others took its memory.

use orchestrator_core::ReplicaId;
use pool_manager::Holding;

use super::*;

/// Takes memory as another pool does.
fn take(ledger: &Arc<Ledger>, bytes: u64) -> Reservation {
    let replica = ReplicaId { pool: pool("neighbour"), index: 0 };
    let device = Device::Cpu;
    let holding = Holding { replica, device, expected_bytes: Some(bytes), measured_bytes: None };
    ledger.reserve(&Snapshot::default(), &[], |_| Ok::<_, ()>((vec![holding], ()))).unwrap().0
}

/// ORCH-DEV-9
#[tokio::test(start_paused = true)]
async fn a_pool_that_waits_for_room_estimates_once_and_looks_every_second() {
    let mut rig = Rig::at(At::WaitingForRoom).await;
    let begun = now();
    for _ in 0..600 {
        rig.until("NoRoom").await;
    }
    assert!(now() - begun < Duration::from_secs(601), "{:?}", now() - begun);
    assert_eq!(rig.control.counts().estimates, 1);
}

/// ORCH-DEV-9
#[tokio::test(start_paused = true)]
async fn a_file_that_takes_the_place_of_another_is_estimated_anew() {
    let mut rig = Rig::at(At::Unloaded).await;
    for (load, estimates) in [("a model", 1), ("a model", 1), ("another, larger model", 2)] {
        if load != "a model" {
            std::fs::write(&rig.model, load).unwrap();
        }
        rig.order(Order::Load).await;
        rig.until("Ready").await;
        assert_eq!(rig.control.counts().estimates, estimates, "{load}");
        rig.order(Order::Unload).await;
        rig.until("Unloaded").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_waits_for_room_starts_when_it_is_given_some() {
    let mut rig = Rig::new(&Setting { memory: NEEDS, preload: false, ..Setting::default() });
    rig.until("Unloaded").await;
    let neighbour = take(&rig.ledger, 1);
    rig.order(Order::Load).await;
    rig.until("NoRoom").await;
    let begun = now();
    drop(neighbour);
    assert_eq!(rig.heard_until("Starting").await, Vec::<String>::new());
    assert!(now() - begun < Duration::from_millis(10), "{:?}", now() - begun);
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn a_crash_loop_gives_its_memory_to_whoever_waits_and_is_unloaded_when_it_is_taken() {
    let mut rig = Rig::new(&Setting { memory: NEEDS, ..Setting::default() });
    rig.until("Ready").await;
    rig.control.fail_starts(4, &StartError::Engine("no".into()));
    rig.control.crash(&ExitReason::Signal(9));
    for _ in 0..5 {
        rig.until("BackingOff").await;
    }
    assert!(rig.ledger.holdings().is_empty(), "the breaker is open");
    let neighbour = take(&rig.ledger, NEEDS);
    assert_eq!(rig.heard_until("Unloaded").await, ["BackingOff"], "it says that there is no room");
    assert_eq!(rig.ledger.promised_bytes(&Device::Cpu), NEEDS, "the neighbour's");

    rig.order(Order::Load).await;
    rig.until("NoRoom").await;
    drop(neighbour);
    rig.until("Ready").await;
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn in_the_place_of_the_old_model_nobody_else_gets_in_though_the_new_one_fails() {
    let mut rig = Rig::at(At::ReloadInPlace).await;
    assert_eq!(rig.ledger.promised_bytes(&Device::Cpu), NEEDS, "one of the two is loaded at a time");
    rig.other.fail_starts(1, &StartError::Engine("it died".into()));
    rig.release();
    assert_eq!(rig.heard_until("Ready").await, ["Starting", "ReloadOver(EngineFailed)"]);
    assert_eq!(rig.ledger.promised_bytes(&Device::Cpu), NEEDS);
    assert_eq!(rig.control.counts().ready, 2, "the old model is back");
}
