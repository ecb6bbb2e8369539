//! What becomes of a replica's memory while it is down.

use crate::devices::{DeviceReading, MemoryReading};
use crate::ledger::{Holding, Ledger, Reservation};
use crate::telemetry::Snapshot;

use super::*;

/// What the replica needs: all that other programs have left of the device.
const NEEDS: u64 = 10;

/// A device of which another program uses as much as the replica needs. Its readings are new whenever they are looked
/// at, and never show the replica, as when its process has died a moment ago.
fn account() -> MemoryAccount {
    let memory = MemoryReading { total_bytes: 2 * NEEDS, used_bytes: NEEDS, free_bytes: NEEDS };
    let reading =
        DeviceReading { device: Device::Cpu, name: "cpu".into(), memory: Some(memory), utilization: None };
    let readings = std::sync::atomic::AtomicU64::new(0);
    let devices = move || {
        let readings = readings.fetch_add(10, std::sync::atomic::Ordering::Relaxed);
        Arc::new(Snapshot { devices: vec![reading.clone()], readings, ..Snapshot::default() })
    };
    MemoryAccount { ledger: Arc::default(), devices: Arc::new(devices), margin_bytes: Arc::default() }
}

fn take(account: &MemoryAccount, pool: &str, bytes: u64) -> Option<Reservation> {
    let replica = ReplicaId { pool: PoolId::new(pool).expect("a name"), index: 0 };
    let snapshot = (account.devices)();
    let device = Device::Cpu;
    let holding =
        Holding { replica, device: device.clone(), expected_bytes: Some(bytes), measured_bytes: None };
    let taken = account.ledger.reserve(&snapshot, &[], |view| {
        let free = view.free_bytes(&device).expect("it can be read");
        if bytes <= free { Ok((vec![holding], ())) } else { Err(free) }
    });
    taken.ok().map(|(reservation, ())| reservation)
}

fn promised(ledger: &Ledger) -> u64 {
    ledger.promised_bytes(&Device::Cpu)
}

/// A replica that has been promised all there is.
fn rig() -> (Rig, MemoryAccount, Reservation) {
    let account = account();
    let own = take(&account, "p", NEEDS).expect("the device is empty");
    let rig =
        Rig::with_memory(MockConfig::instant(), EVENTS_BOUND, ReplicaPolicy::default(), account.clone());
    (rig, account, own)
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn the_memory_of_a_replica_that_crashed_stays_promised_to_it_while_it_restarts() {
    let (mut rig, account, _own) = rig();
    rig.ready().await;
    rig.control.crash(&ExitReason::Signal(9));
    rig.backing_off().await;
    assert_eq!(promised(&account.ledger), NEEDS);
    assert!(take(&account, "other", 1).is_none(), "nothing is left for anybody else");
    rig.ready().await;
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn an_open_breaker_releases_the_memory_and_the_next_start_takes_it_again() {
    let (mut rig, account, _own) = rig();
    let mut freed = account.ledger.freed();
    freed.mark_unchanged();
    rig.fail(4).await;
    assert_eq!(promised(&account.ledger), NEEDS, "it may be a passing trouble");
    rig.fail(1).await;
    assert_eq!(promised(&account.ledger), 0);
    assert!(account.ledger.holdings().is_empty());
    assert!(freed.has_changed().expect("the ledger lives"), "whoever waits for room hears of it");
    rig.ready().await;
    assert_eq!(promised(&account.ledger), NEEDS);
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn a_model_that_is_broken_for_good_releases_its_memory() {
    let (mut rig, account, _own) = rig();
    rig.control.fail_starts(1, &StartError::Model("broken".to_owned()));
    while !matches!(rig.next().await, ReplicaEventKind::Failed { .. }) {}
    assert_eq!(promised(&account.ledger), 0);
}

/// ORCH-DEV-8
#[tokio::test(start_paused = true)]
async fn a_replica_whose_memory_others_took_starts_when_they_give_it_back_and_not_before() {
    let (mut rig, account, _own) = rig();
    rig.fail(5).await;
    let other = take(&account, "other", NEEDS).expect("it was released");
    let starts = rig.control.counts().starts;
    let (_, attempt, breaker, reason) = rig.backing_off().await;
    assert_eq!((attempt, breaker), (5, Breaker::Open), "its engine has not failed once more");
    assert_eq!(reason, DownReason::NoRoom("needs 1 MiB, 0 MiB free on cpu".into()));
    for _ in 0..3 {
        rig.backing_off().await;
        assert_eq!(promised(&account.ledger), NEEDS, "the other one's");
    }
    assert_eq!(rig.control.counts().starts, starts, "nothing is started without memory");

    let given_back = now();
    drop(other);
    rig.ready().await;
    assert!(now() - given_back < Duration::from_millis(5), "it does not wait for the end of its delay");
    assert_eq!(promised(&account.ledger), NEEDS);
}
