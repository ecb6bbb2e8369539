use orchestrator_core::PoolId;

use super::*;
use crate::devices::{DeviceReading, MemoryReading};

mod property;

fn replica(pool: &str, index: u16) -> ReplicaId {
    ReplicaId { pool: PoolId::new(pool).unwrap(), index }
}

fn holding_of(replica: ReplicaId, bytes: Option<u64>) -> Holding {
    Holding { replica, device: Device::Cpu, expected_bytes: bytes, measured_bytes: None }
}

fn holding(index: u16, bytes: Option<u64>) -> Holding {
    holding_of(replica("p", index), bytes)
}

/// A reading of a device of 1000 bytes.
fn reading(used_bytes: u64, readings: u64) -> Snapshot {
    let memory = MemoryReading { total_bytes: 1000, used_bytes, free_bytes: 1000 - used_bytes };
    let device =
        DeviceReading { device: Device::Cpu, name: "cpu".into(), memory: Some(memory), utilization: None };
    Snapshot { devices: vec![device], readings, ..Snapshot::default() }
}

/// Writes holdings down whatever there is.
fn hold(ledger: &Arc<Ledger>, holdings: Vec<Holding>) -> Reservation {
    hold_in_place(ledger, holdings, &[])
}

fn hold_in_place(ledger: &Arc<Ledger>, holdings: Vec<Holding>, ending: &[ReplicaId]) -> Reservation {
    let taken = ledger.reserve(&reading(0, 0), ending, |_| Ok::<_, ()>((holdings, ())));
    taken.unwrap().0
}

fn free(ledger: &Arc<Ledger>, snapshot: &Snapshot, ending: &[ReplicaId]) -> u64 {
    ledger
        .reserve(snapshot, ending, |view| Err::<(_, ()), _>(view.free_bytes(&Device::Cpu)))
        .unwrap_err()
        .unwrap()
}

/// ORCH-DEV-5
#[test]
fn a_load_counts_until_a_reading_that_was_taken_after_it() {
    let ledger = Arc::new(Ledger::default());
    let held = hold(&ledger, vec![holding(0, Some(100)), holding(1, None)]);
    assert_eq!(free(&ledger, &reading(0, 7), &[]), 900);

    ledger.loaded(&replica("p", 0), 7, None);
    assert_eq!(free(&ledger, &reading(0, 7), &[]), 900, "the reading is older than the load");
    assert_eq!(free(&ledger, &reading(60, 8), &[]), 840, "it may have been taken while the load ended");
    assert_eq!(free(&ledger, &reading(150, 9), &[]), 850, "from then on the reading says it");
    assert_eq!(free(&ledger, &reading(60, 9), &[]), 900, "a promise counts in full where less is used");
    drop(held);
}

#[test]
fn another_devices_load_is_no_concern() {
    let ledger = Arc::new(Ledger::default());
    let card = Device::Gpu { uuid: "GPU-1".into(), index: 0 };
    let _held = hold(&ledger, vec![Holding { device: card, ..holding(0, Some(100)) }]);
    assert_eq!(free(&ledger, &reading(0, 1), &[]), 1000);
}

/// ORCH-DEV-5
#[test]
fn what_is_given_back_is_gone_and_whoever_waits_for_room_hears_of_it() {
    let ledger = Arc::new(Ledger::default());
    let freed = ledger.freed();
    let held = hold(&ledger, vec![holding(0, Some(100))]);
    let other = hold(&ledger, vec![holding(1, Some(5))]);
    assert!(!freed.has_changed().unwrap());

    drop(held);
    assert!(freed.has_changed().unwrap());
    assert_eq!(ledger.holdings(), [holding(1, Some(5))]);
    drop(other);
}

/// ORCH-DEV-5
#[test]
fn a_measurement_stands_beside_what_was_expected_until_the_process_is_gone() {
    let ledger = Arc::new(Ledger::default());
    let _held = hold(&ledger, vec![holding(0, Some(100)), holding(1, Some(100))]);
    ledger.loaded(&replica("p", 1), 1, Some(4711));
    let measured = || ledger.holdings().iter().map(|holding| holding.measured_bytes).collect::<Vec<_>>();
    ledger.measure(|_, process| (process == 4711).then_some(90));
    assert_eq!(measured(), [None, Some(90)]);
    ledger.gone(&replica("p", 1));
    assert_eq!(measured(), [None, None]);
}

/// ORCH-DEV-8
#[test]
fn the_memory_of_a_process_that_is_gone_stays_promised_though_no_reading_shows_it() {
    let ledger = Arc::new(Ledger::default());
    let _held = hold(&ledger, vec![holding(0, Some(700))]);
    ledger.loaded(&replica("p", 0), 1, None);
    assert_eq!(free(&ledger, &reading(700, 9), &[]), 300);
    assert_eq!(free(&ledger, &reading(0, 10), &[]), 300, "nobody has noticed its death yet");
    assert_eq!(free(&ledger, &reading(200, 10), &[]), 300, "another program uses memory, too");
    ledger.gone(&replica("p", 0));
    assert_eq!(free(&ledger, &reading(0, 10), &[]), 300);
    assert_eq!(
        free(&ledger, &reading(200, 10), &[]),
        100,
        "what the other program uses is not promised again"
    );
}

/// ORCH-DEV-8
#[test]
fn what_is_released_may_be_taken_and_is_claimed_again_only_where_it_fits() {
    let ledger = Arc::new(Ledger::default());
    let _held = hold(&ledger, vec![holding(0, Some(700))]);
    ledger.release(&replica("p", 0));
    assert_eq!((free(&ledger, &reading(0, 1), &[]), ledger.promised_bytes(&Device::Cpu)), (1000, 0));
    assert!(ledger.holdings().is_empty());

    let other = hold(&ledger, vec![holding_of(replica("q", 0), Some(400))]);
    let claim = || ledger.claim(&replica("p", 0), &reading(0, 1), 0);
    assert_eq!(claim().unwrap_err(), "needs 1 MiB, 1 MiB free on cpu");
    assert_eq!(ledger.promised_bytes(&Device::Cpu), 400);
    drop(other);
    claim().unwrap();
    assert_eq!(ledger.promised_bytes(&Device::Cpu), 700);
    claim().expect("what is promised already is not taken twice");
    assert_eq!(ledger.promised_bytes(&Device::Cpu), 700);
}

/// ORCH-DEV-8
#[test]
fn of_two_models_that_change_places_the_larger_one_counts() {
    let ledger = Arc::new(Ledger::default());
    let old = hold(&ledger, vec![holding(0, Some(600))]);
    ledger.loaded(&replica("p", 0), 1, None);
    let ending = [replica("p", 0)];
    assert_eq!(free(&ledger, &reading(600, 9), &ending), 1000);
    let new = hold_in_place(&ledger, vec![holding(1, Some(900))], &ending);
    assert_eq!(ledger.promised_bytes(&Device::Cpu), 900);
    assert_eq!(free(&ledger, &reading(600, 9), &[]), 0);

    ledger.gone(&replica("p", 0));
    drop(new);
    assert_eq!(free(&ledger, &reading(0, 10), &[]), 400, "the old one's place is kept for it");
    drop(old);
    assert_eq!(free(&ledger, &reading(0, 10), &[]), 1000);
}
