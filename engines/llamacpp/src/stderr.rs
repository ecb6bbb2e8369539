//! What a worker writes to its standard error, line by line into the daemon's log under the replica's name.
//! A line is JSON (`{"level": "warn", "message": "…", "fields": {…}}`) or plain text, as llama.cpp writes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_core::ReplicaId;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tracing::Level;

/// What the daemon's log knows a worker's lines by.
pub(crate) const TARGET: &str = "worker";

/// Bytes of a line that are kept; what is beyond is cut.
const MAX_LINE_BYTES: usize = 4096;

/// Lines kept for the error message of a worker that dies.
const TAIL_LINES: usize = 12;

/// The last lines of a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
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
            Ok(bytes) => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => (extend(&mut line, &bytes[..end]) + 1, true),
                None => (extend(&mut line, bytes), false),
            },
        };
        from.consume(used);
        if whole {
            say(&replica, &tail, &std::mem::take(&mut line));
        }
    }
    if !line.is_empty() {
        say(&replica, &tail, &line);
    }
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
    if line.is_empty() {
        return;
    }
    let Line { level, message, fields } = Line::parse(line);
    // Not a string: the log would escape its quotes.
    let fields = fields.as_ref().map(tracing::field::display);
    match level {
        Level::ERROR => tracing::error!(target: TARGET, %replica, fields, "{message}"),
        Level::WARN => tracing::warn!(target: TARGET, %replica, fields, "{message}"),
        Level::INFO => tracing::info!(target: TARGET, %replica, fields, "{message}"),
        Level::DEBUG => tracing::debug!(target: TARGET, %replica, fields, "{message}"),
        Level::TRACE => tracing::trace!(target: TARGET, %replica, fields, "{message}"),
    }
    tail.push(message);
}

/// A line as the log takes it.
#[derive(Debug, PartialEq)]
struct Line {
    level: Level,
    message: String,
    fields: Option<String>,
}

impl Line {
    fn parse(line: &str) -> Self {
        let plain = || Self { level: Level::INFO, message: line.to_owned(), fields: None };
        let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(line) else { return plain() };
        let Some(serde_json::Value::String(message)) = object.remove("message") else { return plain() };
        let level = object.remove("level");
        let level = level.as_ref().and_then(serde_json::Value::as_str).and_then(|level| level.parse().ok());
        if let Some(serde_json::Value::Object(nested)) = object.remove("fields") {
            object.extend(nested);
        }
        let fields = object.iter().map(|(name, value)| format!("{name}={}", shown(value)));
        let fields = (!object.is_empty()).then(|| fields.collect::<Vec<_>>().join(" "));
        Self { level: level.unwrap_or(Level::INFO), message, fields }
    }
}

/// A field's value as logs for people have it: a word as it is, a text in quotes.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(word) if !word.contains([' ', '"', '=']) => word.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
