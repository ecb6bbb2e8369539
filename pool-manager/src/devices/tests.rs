use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span;

use super::*;

fn card(index: u32, free_gib: Option<u64>) -> DeviceReading {
    DeviceReading {
        device: Device::Gpu { uuid: format!("GPU-{index}"), index },
        name: "card".to_owned(),
        memory: free_gib.map(|free| MemoryReading {
            total_bytes: 24 << 30,
            used_bytes: (24 - free) << 30,
            free_bytes: free << 30,
        }),
        utilization: Some(0.5),
    }
}

#[test]
fn auto_takes_the_card_with_most_free_memory_else_the_processor() {
    let cases = [
        (vec![], None),
        (vec![card(0, None)], None),
        (vec![card(0, Some(4)), card(1, Some(11)), card(2, Some(7))], Some(1)),
        (vec![card(0, Some(7)), card(1, Some(7))], Some(0)),
        (vec![card(0, None), card(1, Some(0))], Some(1)),
    ];
    for (mut cards, expected) in cases {
        // The machine's own memory is larger than any card's, and no card's.
        cards.insert(0, DeviceReading { device: Device::Cpu, ..card(0, Some(24)) });
        let chosen = match choose_device(&cards) {
            Device::Cpu => None,
            Device::Gpu { index, .. } => Some(index),
        };
        assert_eq!(chosen, expected, "{cards:?}");
    }
}

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
