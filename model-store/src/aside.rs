//! Network calls on a thread of their own. They block for as long as a host, a proxy or a line is silent;
//! whoever waits for them here looks at the cancel meanwhile, and leaves. The thread that is left behind
//! ends at the call's own limit, and what it brings is dropped.

use std::io::{Error, Read, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use crate::error::FetchError;
use crate::progress::Watch;

/// How often a wait looks whether it was canceled.
pub(crate) const CANCEL_POLL: Duration = Duration::from_millis(50);

const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks received ahead of whoever writes them.
const CHUNKS_AHEAD: usize = 2;

/// Does `work` aside and waits for what it gives. The inner error is that of the thread.
pub(crate) fn call<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    watch: Watch<'_>,
) -> std::result::Result<Result<T>, FetchError> {
    let (sender, receiver) = sync_channel(1);
    let thread = Builder::new().name("fetch".to_owned()).spawn(move || {
        // Nobody waits any more after a cancel.
        let _ = sender.send(work());
    });
    match thread {
        Ok(_) => next(&receiver, watch),
        Err(error) => Ok(Err(error)),
    }
}

/// The most bytes of a body that is a text.
pub(crate) const MAX_TEXT_BYTES: usize = 16 << 20;

/// A body that is read aside.
pub(crate) struct Chunks(Receiver<Result<Vec<u8>>>);

impl Chunks {
    /// Begins to read.
    pub(crate) fn of(reader: impl Read + Send + 'static) -> Result<Self> {
        let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
        Builder::new().name("fetch".to_owned()).spawn(move || pump(reader, &sender))?;
        Ok(Self(receiver))
    }

    /// Waits for the next bytes; none at the end.
    pub(crate) fn next(&mut self, watch: Watch<'_>) -> std::result::Result<Result<Vec<u8>>, FetchError> {
        Ok(next(&self.0, watch)?.flatten())
    }

    /// All of it, where it is no more than `max` bytes.
    pub(crate) fn text(
        &mut self,
        max: usize,
        watch: Watch<'_>,
    ) -> std::result::Result<Result<Vec<u8>>, FetchError> {
        let mut text = Vec::new();
        loop {
            match self.next(watch)? {
                Ok(chunk) if chunk.is_empty() => return Ok(Ok(text)),
                Ok(chunk) if text.len() + chunk.len() > max => {
                    return Ok(Err(Error::other("the answer is too large")));
                }
                Ok(chunk) => text.extend_from_slice(&chunk),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

fn pump(mut reader: impl Read, sender: &SyncSender<Result<Vec<u8>>>) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let chunk = reader.read(&mut buffer).map(|read| buffer[..read].to_vec());
        let goes_on = chunk.as_ref().is_ok_and(|chunk| !chunk.is_empty());
        if sender.send(chunk).is_err() || !goes_on {
            return;
        }
    }
}

fn next<T>(receiver: &Receiver<T>, watch: Watch<'_>) -> std::result::Result<Result<T>, FetchError> {
    loop {
        watch.check()?;
        match receiver.recv_timeout(CANCEL_POLL) {
            Ok(value) => return Ok(Ok(value)),
            Err(RecvTimeoutError::Timeout) => {}
            // The thread panicked: it says something before it ends.
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(Error::other("the transfer ended early"))),
        }
    }
}
