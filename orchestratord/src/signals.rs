//! The signals of the process and what each asks for. Every signal whose default action would end the process
//! without an end for its streams, and that people, shells or tools send, has a handler here.
//!
//! | signal | request |
//! |---|---|
//! | `SIGINT`, `SIGTERM` | an ordered stop; the second one stops at once |
//! | `SIGQUIT` | a stop at once |
//! | `SIGHUP` | what `systemctl reload` and a log rotation send: the configuration is read again, the log file reopened |
//! | `SIGUSR1` | the log file is reopened |
//! | `SIGUSR2`, `SIGALRM`, `SIGVTALRM`, `SIGPROF`, `SIGIO`, `SIGXFSZ` | nothing: one log line |
//!
//! `SIGPIPE` is ignored by the Rust runtime before `main`. Handlers are back to their defaults in child processes.
//!
//! Rules: ORCH-STOP-4

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// An ordered stop.
    Stop,
    /// A stop without grace.
    StopAtOnce,
    /// New settings and a new log file.
    Reload,
    /// A new log file.
    ReopenLog,
}

impl Request {
    /// What it asks for, for the log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop in order",
            Self::StopAtOnce => "stop at once",
            Self::Reload => "read the configuration and reopen the log",
            Self::ReopenLog => "reopen the log",
        }
    }
}

/// Signals with a request of their own.
const REQUESTS: [(Number, &str, Request); 5] = [
    (Number::INT, "SIGINT", Request::Stop),
    (Number::TERM, "SIGTERM", Request::Stop),
    (Number::QUIT, "SIGQUIT", Request::StopAtOnce),
    (Number::HUP, "SIGHUP", Request::Reload),
    (Number::USR1, "SIGUSR1", Request::ReopenLog),
];

/// Signals that would end the process and ask for nothing here. `SIGXFSZ` comes with a write that fails.
const IGNORED: [(Number, &str); 6] = [
    (Number::USR2, "SIGUSR2"),
    (Number::ALARM, "SIGALRM"),
    (Number::VTALARM, "SIGVTALRM"),
    (Number::PROF, "SIGPROF"),
    (Number::IO, "SIGIO"),
    (Number::XFSZ, "SIGXFSZ"),
];

/// The handlers, for as long as the process lives.
pub struct Signals {
    requests: Vec<(Signal, &'static str, Request)>,
    ignored: Vec<(Signal, &'static str)>,
}

impl Signals {
    /// Installs the handlers. Needs a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        let handle = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        let requests =
            REQUESTS.into_iter().map(|(number, name, request)| Ok((handle(number)?, name, request)));
        let ignored = IGNORED.into_iter().map(|(number, name)| Ok((handle(number)?, name)));
        Ok(Self {
            requests: requests.collect::<io::Result<_>>()?,
            ignored: ignored.collect::<io::Result<_>>()?,
        })
    }

    /// The next request. Safe to drop and call again.
    pub async fn next(&mut self) -> Request {
        poll_fn(|cx| {
            for (signal, name) in &mut self.ignored {
                while signal.poll_recv(cx) == Poll::Ready(Some(())) {
                    tracing::info!(signal = name, "signal ignored");
                }
            }
            for (signal, name, request) in &mut self.requests {
                if signal.poll_recv(cx).is_ready() {
                    tracing::info!(signal = name, request = request.as_str(), "signal received");
                    return Poll::Ready(*request);
                }
            }
            Poll::Pending
        })
        .await
    }
}
