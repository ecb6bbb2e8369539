//! The log: lines on standard error or in a file, for people or as JSON.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use config_schema::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Starts the log. `RUST_LOG` wins over the configured level, for whoever looks into one part.
///
/// # Errors
/// When the file cannot be written to.
pub fn start(config: &LogConfig) -> io::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(config.level.as_str()));
    let (writer, is_terminal) = match &config.file {
        Some(path) => (BoxMakeWriter::new(open(path)?), false),
        None => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match config.format {
        LogFormat::Text => {
            let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            log.with_ansi(colours).with_target(false).init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
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
