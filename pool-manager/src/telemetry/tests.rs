use super::*;
use crate::devices::MemoryReading;

const LIMIT: Duration = Duration::from_secs(20);

/// A card that fills up by one byte a reading, and a token that is dropped with the probe.
struct Filling {
    used: u64,
    _alive: Arc<()>,
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
    let alive = Arc::new(());
    let probe = Box::new(Filling { used: 0, _alive: Arc::clone(&alive) });
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
    assert_eq!(Arc::strong_count(&alive), 1, "the probe is still held by a thread");
    watch.mark_unchanged();
    assert!(watch.changed().await.is_err(), "the readings are still open");
}

#[test]
fn a_probe_with_nothing_to_read_gives_an_empty_snapshot() {
    let telemetry = Telemetry::start(Box::new(crate::devices::NoDevices), Duration::from_secs(3600)).unwrap();
    assert_eq!(*telemetry.snapshot(), Snapshot { devices: Vec::new(), readings: 1 });
}
