//! How the store tells what it is doing, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::FetchError;

/// What is being done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its bytes come over the network.
    Fetching,
    /// Its checksum is computed.
    Checking,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// What is being done.
    pub phase: Phase,
    /// Where the file comes from, for people: a host or a path.
    pub source: &'a str,
    /// Bytes done, those of an earlier attempt included.
    pub done: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
}

/// Hears how far a fetch is. Called often, from the thread that fetches: whoever draws decides when.
pub trait Progress: Send + Sync {
    /// How far it is.
    fn transfer(&self, transfer: Transfer<'_>);

    /// Something happened that the user may want to know: a source that does not answer, a second try.
    fn note(&self, text: &str);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn transfer(&self, _: Transfer<'_>) {}
    fn note(&self, _: &str) {}
}

/// Ends a fetch from another thread. What was fetched so far stays for the next time.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the fetch well within a second, whether bytes flow or a host is silent.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was canceled.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who hears of a fetch, and who may end it.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

impl Watch<'_> {
    /// Ends what is going on when it was canceled.
    pub(crate) fn check(&self) -> Result<(), FetchError> {
        if self.cancel.is_canceled() { Err(FetchError::Canceled) } else { Ok(()) }
    }
}
