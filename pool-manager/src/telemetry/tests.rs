use std::sync::mpsc;

use tokio::sync::oneshot;

use super::*;
use crate::devices::MemoryReading;

const LIMIT: Duration = Duration::from_secs(20);

/// A card that fills up by one byte a reading, and a channel that closes with the probe.
struct Filling {
    used: u64,
    _alive: oneshot::Sender<()>,
}

impl DeviceProbe for Filling {
    fn read(&mut self) -> Vec<DeviceReading> {
        self.used += 1;
        let memory = MemoryReading { total_bytes: 1000, used_bytes: self.used, free_bytes: 1000 - self.used };
        let device = Device::Gpu { uuid: "GPU-a".to_owned(), index: 0 };
        vec![DeviceReading { device, name: "card".to_owned(), memory: Some(memory), utilization: None }]
    }
}

#[tokio::test]
async fn readings_come_until_it_is_dropped_and_the_thread_ends_with_it() {
    let (alive, ended) = oneshot::channel();
    let probe = Box::new(Filling { used: 0, _alive: alive });
    let telemetry = Telemetry::start(probe, Duration::from_millis(1)).unwrap();
    let device = Device::Gpu { uuid: "GPU-a".to_owned(), index: 0 };
    let first = telemetry.snapshot();
    assert!(first.of(&device).is_some() && first.of(&Device::Cpu).is_none());

    let mut watch = telemetry.watch();
    let later = tokio::time::timeout(LIMIT, watch.wait_for(|snapshot| snapshot.readings >= 4)).await;
    let later = Arc::clone(&later.expect("in time").expect("open"));
    let used = later.of(&device).and_then(|reading| reading.memory).map(|memory| memory.used_bytes);
    assert_eq!(used, Some(later.readings));

    drop(telemetry);
    let ended = tokio::time::timeout(LIMIT, ended).await.expect("the probe is still held by a thread");
    assert!(ended.is_err(), "nobody sends");
    let never = tokio::time::timeout(LIMIT, watch.wait_for(|_| false)).await;
    assert!(never.expect("the readings are still open").is_err());
}

/// A card whose driver hangs from its second reading until the test lets it go.
struct Hanging {
    readings: u32,
    hangs: mpsc::SyncSender<()>,
    go: mpsc::Receiver<()>,
}

impl DeviceProbe for Hanging {
    fn read(&mut self) -> Vec<DeviceReading> {
        self.readings += 1;
        if self.readings > 1 {
            let _ = self.hangs.try_send(());
            let _ = self.go.recv();
        }
        Vec::new()
    }
}

#[test]
fn a_card_that_hangs_in_its_driver_does_not_hang_the_stop() {
    let (hangs_tx, hangs) = mpsc::sync_channel(1);
    let (go_tx, go) = mpsc::sync_channel(1);
    let probe = Box::new(Hanging { readings: 0, hangs: hangs_tx, go });
    let telemetry = Telemetry::start(probe, Duration::from_millis(1)).unwrap();
    hangs.recv_timeout(LIMIT).expect("the card hangs");
    let (dropped_tx, dropped) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        drop(telemetry);
        let _ = dropped_tx.send(());
    });
    let dropped = dropped.recv_timeout(LIMIT);
    drop(go_tx);
    dropped.expect("the drop waits for the card");
}

#[test]
fn a_probe_with_nothing_to_read_gives_an_empty_snapshot() {
    let telemetry = Telemetry::start(Box::new(crate::devices::NoDevices), Duration::from_secs(3600)).unwrap();
    assert_eq!(*telemetry.snapshot(), Snapshot { readings: 1, ..Snapshot::default() });
}

/// ORCH-DEV-7
#[test]
fn what_a_process_holds_is_told_by_card_and_on_the_processor_measured() {
    let held =
        |pid, card_uuid: &str, used_bytes| ProcessReading { pid, card_uuid: card_uuid.into(), used_bytes };
    let processes = vec![held(7, "GPU-a", 1), held(7, "GPU-b", 2), held(8, "GPU-a", 3)];
    let snapshot = Snapshot { processes, ..Snapshot::default() };
    let card = |uuid: &str| Device::Gpu { uuid: uuid.to_owned(), index: 0 };
    assert_eq!(snapshot.process_memory(&card("GPU-a"), 7), Some(1));
    assert_eq!(snapshot.process_memory(&card("GPU-b"), 7), Some(2));
    assert_eq!(snapshot.process_memory(&card("GPU-b"), 8), None);
    assert!(snapshot.process_memory(&Device::Cpu, std::process::id()).is_some_and(|bytes| bytes > 0));
}
