//! Signals that ask the program to end. The first is handed to whoever is at work, so that a task can be
//! canceled in order; a second one before that is done ends the program at once. A hangup is left to the
//! system, so that `nohup` does what it says.
//!
//! Rules: ORCH-CLI-2

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::exit::Exit;

/// Hears the signals.
#[derive(Clone)]
pub struct Interrupts {
    last: watch::Receiver<Option<Exit>>,
    pending: Arc<AtomicBool>,
}

impl Interrupts {
    /// Begins to listen. From here on a signal ends the program only through this.
    ///
    /// # Errors
    /// The system does not let the program listen.
    pub fn listen() -> std::io::Result<Self> {
        let (tell, last) = watch::channel(None);
        let pending = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new()?;
        let told = Arc::clone(&pending);
        #[expect(clippy::disallowed_methods, reason = "the listener ends with the program")]
        tokio::spawn(async move {
            loop {
                let exit = signals.next().await;
                if told.swap(true, Ordering::SeqCst) {
                    std::process::exit(exit.code().into());
                }
                tell.send_replace(Some(exit));
            }
        });
        Ok(Self { last, pending })
    }

    /// Resolves at the next signal, with how the program should end. Cancel-safe: a signal is not lost.
    pub async fn next(&mut self) -> Exit {
        loop {
            if self.last.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(exit) = *self.last.borrow_and_update() {
                return exit;
            }
        }
    }

    /// The signal was acted on: the next one is a first one again.
    pub fn handled(&self) {
        self.pending.store(false, Ordering::SeqCst);
    }
}

#[cfg(unix)]
struct Signals([(tokio::signal::unix::Signal, u8); 2]);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([(signal(SignalKind::interrupt())?, 2), (signal(SignalKind::terminate())?, 15)]))
    }

    async fn next(&mut self) -> Exit {
        let [(interrupt, a), (terminate, b)] = &mut self.0;
        let number = tokio::select! {
            _ = interrupt.recv() => *a,
            _ = terminate.recv() => *b,
        };
        Exit::Signal(number)
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Exit::Signal(2)
    }
}
