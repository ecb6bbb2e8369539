//! The worker's log: one JSON object a line on standard error, which the daemon reads and forwards.

use std::io::Write;
use std::sync::OnceLock;

use serde::Serialize;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks for a fault in the engine.
    Debug,
    /// What happened.
    Info,
    /// Something that should be looked at.
    Warn,
    /// Something that failed.
    Error,
}

/// The environment variable that sets the least level written; `info` when it is not set.
pub const LEVEL_ENV: &str = "LLAMA_ORCH_WORKER_LOG";

#[derive(Serialize)]
struct Line<'a> {
    level: Level,
    message: &'a str,
    fields: serde_json::Map<String, serde_json::Value>,
}

/// Writes one line. A standard error that is gone is nobody's to tell.
pub fn line(level: Level, message: &str, fields: &[(&str, &str)]) {
    if !is_wanted(level) {
        return;
    }
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let mut text = serde_json::to_vec(&Line { level, message, fields }).expect("plain strings serialise");
    text.push(b'\n');
    let _ = std::io::stderr().lock().write_all(&text);
}

/// Whether lines of `level` are written.
#[must_use]
pub fn is_wanted(level: Level) -> bool {
    level >= least()
}

fn least() -> Level {
    static LEAST: OnceLock<Level> = OnceLock::new();
    *LEAST.get_or_init(|| match std::env::var(LEVEL_ENV).as_deref() {
        Ok("debug" | "trace") => Level::Debug,
        Ok("warn") => Level::Warn,
        Ok("error") => Level::Error,
        _ => Level::Info,
    })
}
