use orchestrator_core::PoolId;

use super::*;

fn holding(index: u16, bytes: Option<u64>) -> Holding {
    Holding {
        replica: ReplicaId { pool: PoolId::new("p").unwrap(), index },
        device: Device::Cpu,
        expected_bytes: bytes,
        measured_bytes: None,
    }
}

#[test]
fn a_load_counts_until_a_reading_that_was_taken_after_it() {
    let ledger = Arc::new(Ledger::default());
    let held = ledger.hold(vec![holding(0, Some(100)), holding(1, None)]);
    assert_eq!(ledger.unseen_bytes(&Device::Cpu, 7), 100);

    ledger.loaded(&holding(0, None).replica, 7, None);
    assert_eq!(ledger.unseen_bytes(&Device::Cpu, 7), 100, "the reading is older than the load");
    assert_eq!(ledger.unseen_bytes(&Device::Cpu, 8), 100, "it may have been taken while the load ended");
    assert_eq!(ledger.unseen_bytes(&Device::Cpu, 9), 0);
    drop(held);
}

#[test]
fn another_devices_load_is_no_concern() {
    let ledger = Arc::new(Ledger::default());
    let _held = ledger.hold(vec![holding(0, Some(100))]);
    let card = Device::Gpu { uuid: "GPU-1".into(), index: 0 };
    assert_eq!(ledger.unseen_bytes(&card, 1), 0);
}

#[test]
fn what_is_given_back_is_gone_and_whoever_waits_for_room_hears_of_it() {
    let ledger = Arc::new(Ledger::default());
    let freed = ledger.freed();
    let held = ledger.hold(vec![holding(0, Some(100))]);
    let other = ledger.hold(vec![holding(1, Some(5))]);
    assert!(!freed.has_changed().unwrap());

    drop(held);
    assert!(freed.has_changed().unwrap());
    assert_eq!(ledger.holdings(), [holding(1, Some(5))]);
    drop(other);
}

#[test]
fn a_measurement_stands_beside_what_was_expected() {
    let ledger = Arc::new(Ledger::default());
    let _held = ledger.hold(vec![holding(0, Some(100)), holding(1, Some(100))]);
    ledger.loaded(&holding(1, None).replica, 1, Some(4711));
    ledger.measure(|_, process| (process == 4711).then_some(90));
    let measured: Vec<_> = ledger.holdings().iter().map(|holding| holding.measured_bytes).collect();
    assert_eq!(measured, [None, Some(90)]);
}
