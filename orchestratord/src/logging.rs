//! The log: lines on standard error or in a file, for people or as JSON; the last ones are kept in memory. A thread of its own writes them
//! (`logging/writer.rs`), so that a slow disk or a pipe that nobody reads stops no request.
//!
//! Rules: ORCH-CLI-13, ORCH-INST-8

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use config_schema::{LogConfig, LogFormat, LogLevel};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::log_ring::LogRing;
use writer::{Notice, Sink, Writer};

mod writer;

/// The running log. Dropping it writes what is pending, within a limit.
#[derive(Debug)]
pub struct Log {
    writer: Writer,
    last_lines: Arc<LogRing>,
    filter: reload::Handle<EnvFilter, Registry>,
    /// Whether `RUST_LOG` sets the filter in place of the configuration.
    is_set_by_environment: bool,
}

/// Starts the log. `RUST_LOG` wins over the configured level, for whoever looks into one part.
///
/// # Errors
/// When the file cannot be opened, or the system gives no thread.
pub fn start(config: &LogConfig) -> io::Result<Log> {
    let from_environment = EnvFilter::try_from_default_env().ok();
    let is_set_by_environment = from_environment.is_some();
    let filter = from_environment.unwrap_or_else(|| filter_of(config.level));
    let (sink, is_terminal) = match &config.file {
        Some(path) => (Sink::file(path, open)?, false),
        None => (Sink::stream(io::stderr()), io::stderr().is_terminal()),
    };
    let last_lines = LogRing::new();
    let writer = Writer::start(sink, Box::new(report))?.keeping(Arc::clone(&last_lines));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(writer.clone());
    let lines = match config.format {
        LogFormat::Text => {
            let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with_ansi(colours).with_target(false).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(Log { writer, last_lines, filter: handle, is_set_by_environment })
}

impl Log {
    /// The last lines.
    #[must_use]
    pub fn last_lines(&self) -> Arc<LogRing> {
        Arc::clone(&self.last_lines)
    }

    /// Opens the log file anew, for whoever has moved the old one away. Does not wait; the outcome is a log line.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Changes the least severe level that is logged. Returns false where `RUST_LOG` sets the filter.
    pub fn set_level(&self, level: LogLevel) -> bool {
        // Fails only when the subscriber is gone, which lives as long as the process.
        !self.is_set_by_environment && self.filter.reload(filter_of(level)).is_ok()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.writer.close();
    }
}

fn filter_of(level: LogLevel) -> EnvFilter {
    EnvFilter::new(level.as_str())
}

/// Logs what the writer has to say of itself. Runs on the writer's thread.
fn report(notice: Notice<'_>) {
    match notice {
        Notice::Lost(lines) => {
            tracing::error!(
                lines,
                "log lines were lost: the log could not be written fast enough, or at all"
            );
        }
        Notice::Reopened(path) => tracing::info!(file = %path.display(), "log file reopened"),
        Notice::NotReopened(path, error) => {
            tracing::error!(file = %path.display(), %error, "cannot reopen the log file; still writing to the old one");
        }
        Notice::NothingToReopen => {
            tracing::debug!("the log goes to standard error; there is no file to reopen")
        }
    }
}

/// Opens the file to write behind what is in it. It is its owner's alone, as its folder is where that is made.
fn open(path: &Path) -> io::Result<File> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| OpenOptions::new().append(true).create(true).mode(0o600).open(path)).map_err(|error| {
        io::Error::new(error.kind(), format!("the log `{}` cannot be written to: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests;
