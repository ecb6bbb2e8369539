//! How a command ends: its exit codes, and the error that carries one.

use std::fmt;

/// Something failed; the message says what.
pub const FAILED: u8 = 1;
/// A system package is missing and could not be installed from here.
pub const PACKAGES: u8 = 3;
/// Another program has the port.
pub const PORT_TAKEN: u8 = 4;
/// The starter model could not be fetched.
pub const FETCH: u8 = 5;
/// The daemon ended by itself, or did not become ready.
pub const DAEMON: u8 = 6;

/// What `cargo xtask --help` says of exit codes.
pub const HELP: &str = "\
Exit codes:
  0    done; also Ctrl-C while the demo serves
  1    failed; the message says what and how to run that step again
  2    wrong command line
  3    a system package is missing (the message has the command that installs it)
  4    the port is taken by another program
  5    the starter model could not be fetched
  6    the daemon ended by itself or did not become ready
  129, 130, 143    ended by SIGHUP, Ctrl-C, SIGTERM, after everything it started had ended";

/// An end with a code of its own. Anything else that goes wrong ends with [`FAILED`].
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub code: u8,
    message: String,
}

impl Stop {
    /// Ends with `code`, saying `message`.
    pub fn error(code: u8, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code, message: message.into() })
    }

    /// Ends with `code`, saying `message` and, below it, what caused it.
    pub fn because(code: u8, message: impl Into<String>, cause: anyhow::Error) -> anyhow::Error {
        cause.context(Self { code, message: message.into() })
    }

    /// Whether it has something to say: an end that the user asked for has not.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stop {}

/// The exit code of an error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Stop>().map_or(FAILED, |stop| stop.code)
}
