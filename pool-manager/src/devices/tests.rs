use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span;

use super::*;

/// Counts log lines.
struct Count(Arc<AtomicUsize>);

impl tracing::Subscriber for Count {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn without_cards_there_is_the_processor_and_one_log_line() {
    let lines = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Count(Arc::clone(&lines)), || {
        let names = ["libno-such-thing.so.1", "libno-such-thing.so"];
        let mut machine = Machine::find(&names, Path::new("/nowhere/at/all"));
        for _ in 0..3 {
            let devices: Vec<Device> = machine.read().into_iter().map(|reading| reading.device).collect();
            assert_eq!(devices, [Device::Cpu]);
            assert_eq!(machine.processes(), []);
        }
    });
    assert_eq!(lines.load(Ordering::SeqCst), 1);
}

#[test]
fn a_model_may_be_in_the_memory_of_the_cards_or_else_in_that_of_the_machine() {
    let reading = |device: Device, total_bytes: u64| DeviceReading {
        device,
        name: String::new(),
        memory: Some(MemoryReading { total_bytes, used_bytes: 0, free_bytes: total_bytes }),
        utilization: None,
    };
    let card = |index: u32, bytes: u64| reading(Device::Gpu { uuid: index.to_string(), index }, bytes);
    let cpu = reading(Device::Cpu, 64);
    assert_eq!(model_memory(&[cpu.clone(), card(0, 24), card(1, 8)]), Some(32));
    assert_eq!(model_memory(&[cpu]), Some(64));
    assert_eq!(model_memory(&[]), None);
}
