//! What a managed engine writes, line by line into the daemon's log under the replica's name.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_core::ReplicaId;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// What the daemon's log knows an engine's lines by.
const TARGET: &str = "engine";

/// Bytes of a line that are kept; what is beyond is cut.
const MAX_LINE_BYTES: usize = 4096;

/// Lines kept for the error message of an engine that dies.
const TAIL_LINES: usize = 12;

/// The last lines of an engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// The lines, each on its own.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Forwards until end-of-file.
pub(crate) async fn forward(from: impl AsyncRead + Unpin, replica: ReplicaId, tail: Tail) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let (used, whole) = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => match memchr::memchr(b'\n', bytes) {
                Some(end) => (extend(&mut line, &bytes[..end]) + 1, true),
                None => (extend(&mut line, bytes), false),
            },
        };
        from.consume(used);
        if whole {
            say(&replica, &tail, &std::mem::take(&mut line));
        }
    }
    say(&replica, &tail, &line);
}

/// Appends as much as the line may hold, and returns how much there was.
fn extend(line: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let room = MAX_LINE_BYTES.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    bytes.len()
}

fn say(replica: &ReplicaId, tail: &Tail, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    if !line.is_empty() {
        tracing::info!(target: TARGET, %replica, "{line}");
        tail.push(line);
    }
}
