//! What every command works with, and the ways in which its work is cut short.

use crate::api::Api;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::ui::{OutputClosed, Ui};

/// The daemon, the two output streams and the signals.
pub struct Context {
    pub api: Api,
    pub ui: Ui,
    pub interrupts: Interrupts,
}

/// Why a command ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// Something went wrong, and it has not been said yet.
    Failure(Failure),
    /// A signal came.
    Signal(Exit),
    /// Nobody reads standard output any more.
    OutputClosed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<OutputClosed> for Stop {
    fn from(_: OutputClosed) -> Self {
        Self::OutputClosed
    }
}
