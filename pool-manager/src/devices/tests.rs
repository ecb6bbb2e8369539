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
