//! The way out: frames written to the daemon as they are, by whoever has something to say. The socket's own
//! buffer is the bound: when the daemon does not read, the worker waits.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use worker_protocol::{FromWorker, Step, write_frame};

use crate::exit;
use crate::log::{self, Level};

/// Writes to the daemon; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Mutex<UnixStream>>);

impl Outbox {
    /// Writes to `stream`.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Sends one message. A daemon that is gone ends the worker.
    pub fn send(&self, message: &FromWorker) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write_frame(&mut *stream, message) {
            log::line(Level::Error, "the daemon is gone", &[("reason", &error.to_string())]);
            exit::at_once(exit::DAEMON_GONE);
        }
    }

    /// Sends what a step had to say, if it had.
    pub fn send_step(&self, step: Step) {
        if !step.is_empty() {
            self.send(&FromWorker::Step(step));
        }
    }
}
