//! Signs of life of the thread that computes, and what ends a call to llama.cpp early. llama.cpp calls
//! [`Heartbeat::beat`] before each node of a call's graph that a processor computes: every few microseconds to
//! milliseconds. It asks whether to abort: for a canceled task, and for an interactive prompt that arrives
//! while a batch prompt is read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::prepare::CancelFlag;

/// See the module. The decode loop, the threads of the inbox and llama.cpp's callback share it.
#[derive(Debug, Default)]
pub struct Heartbeat {
    beats: AtomicU64,
    /// Interactive tasks on their way to the decode loop.
    urgent: AtomicUsize,
    call: Mutex<CallWatch>,
}

/// What ends the call under way.
#[derive(Debug, Default)]
pub struct CallWatch {
    /// Any of these tasks is canceled.
    pub canceled: Vec<CancelFlag>,
    /// An interactive task is on its way.
    pub yields: bool,
}

impl Heartbeat {
    /// Whether llama.cpp calls [`beat`](Self::beat) at all: known after the first call.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.beats.load(Ordering::Relaxed) > 0
    }

    /// An interactive task is about to be sent to the decode loop.
    pub fn urgent_task_sent(&self) {
        self.urgent.fetch_add(1, Ordering::Relaxed);
    }

    /// The decode loop has received it.
    pub fn urgent_task_received(&self) {
        self.urgent.fetch_sub(1, Ordering::Relaxed);
    }

    /// A call begins, which `watch` ends early.
    pub fn begin(&self, watch: CallWatch) {
        *self.call() = watch;
    }

    /// The call has ended.
    pub fn end(&self) {
        *self.call() = CallWatch::default();
    }

    /// Counts a sign of life. Whether the call under way is to end.
    pub fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        let call = self.call();
        (call.yields && self.urgent.load(Ordering::Relaxed) > 0)
            || call.canceled.iter().any(CancelFlag::is_set)
    }

    fn call(&self) -> MutexGuard<'_, CallWatch> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_for_its_own_canceled_tasks_and_for_urgent_ones_where_it_yields() {
        let heartbeat = Heartbeat::default();
        assert!(!heartbeat.is_heard());
        let (mine, other) = (CancelFlag::default(), CancelFlag::default());
        heartbeat.begin(CallWatch { canceled: vec![mine.clone()], yields: false });
        other.set();
        heartbeat.urgent_task_sent();
        assert!(!heartbeat.beat(), "another's cancel and an urgent task that it does not yield to");
        mine.set();
        assert!(heartbeat.beat());
        heartbeat.begin(CallWatch { canceled: Vec::new(), yields: true });
        assert!(heartbeat.beat());
        heartbeat.urgent_task_received();
        assert!(!heartbeat.beat());
        heartbeat.end();
        assert!(!heartbeat.beat() && heartbeat.is_heard());
    }
}
