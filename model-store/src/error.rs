//! Why a model's file is not there, and what its user can do about it.

use std::io;
use std::path::PathBuf;

use crate::at_path::Obstacle;
use crate::content::content_url;
use crate::disk::in_units;

/// Why a model could not be fetched. The texts are for the owner of the machine: each says what happened
/// and, on a line of its own, what to do.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It was canceled. What was fetched stays for the next time.
    #[error("canceled")]
    Canceled,
    /// The file that was named is not there.
    #[error("there is no file `{}`\n  hint: put the model there, or change the pool's `model`", .0.display())]
    Missing(PathBuf),
    /// There is something in its place, or on the way to it.
    #[error("cannot use `{}` as a model: {obstacle}", path.display())]
    Obstacle {
        /// The file that was named.
        path: PathBuf,
        /// What is there.
        obstacle: Obstacle,
    },
    /// The server has no such file.
    #[error(
        "`{source_name}` has no such file ({status}): {url}\n  hint: check the spelling of the pool's `model`"
    )]
    NotFound {
        /// Where it was sought.
        source_name: String,
        /// What was asked for.
        url: String,
        /// The server's answer.
        status: u16,
    },
    /// The server wants to know who asks.
    #[error("`{source_name}` refuses access ({status}): {url}\n  hint: {hint}")]
    Denied {
        /// Where it was sought.
        source_name: String,
        /// What was asked for.
        url: String,
        /// The server's answer.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// No server answered, or none went on answering.
    #[error(
        "cannot fetch from `{source_name}`: {reason}\n  hint: {hint}, or put the file at `{}`",
        put_at.display()
    )]
    Network {
        /// Where it was sought.
        source_name: String,
        /// What went wrong last.
        reason: String,
        /// What to do.
        hint: &'static str,
        /// Where the file may be put by hand.
        put_at: PathBuf,
    },
    /// The hub may not be asked, and the file is not on this machine.
    #[error(
        "`{model}` is not on this machine, and {variable} forbids to ask the hub\n  hint: unset {variable}, or put the \
         file at `{}`",
        put_at.display()
    )]
    Offline {
        /// The model.
        model: String,
        /// What forbids it.
        variable: &'static str,
        /// Where the file may be put by hand.
        put_at: PathBuf,
    },
    /// The hub may not be asked.
    #[error("{variable} forbids to ask the hub\n  hint: unset {variable} to search")]
    OfflineSearch {
        /// What forbids it.
        variable: &'static str,
    },
    /// A repository has no file of the quantisation.
    #[error("{reason}\n  hint: {hint}")]
    NoQuant {
        /// What was sought where.
        reason: String,
        /// What there is.
        hint: String,
    },
    /// The file is not the one that was meant.
    #[error(
        "`{}` has the wrong checksum\n  expected {expected}\n  found    {found}\n  hint: {hint}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The SHA-256 it should have.
        expected: String,
        /// The SHA-256 it has.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// What was fetched is not the file that was meant. It was discarded, and no file was changed.
    #[error(
        "`{url}` has the wrong checksum; the download was discarded\n  expected {expected}\n  found    {found}\n  \
         hint: {hint}"
    )]
    FetchedChecksum {
        /// Where it came from.
        url: String,
        /// The SHA-256 it should have.
        expected: String,
        /// The SHA-256 it has.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// The disk is full, or would be.
    #[error(
        "not enough space in `{}`: needs {}, {} free\n  hint: free some, or set `models_dir` to another disk",
        dir.display(),
        in_units(*needs),
        in_units(*free)
    )]
    NoSpace {
        /// The folder.
        dir: PathBuf,
        /// Bytes that are still to be written.
        needs: u64,
        /// Bytes free.
        free: u64,
    },
    /// The store's folder cannot be written.
    #[error("cannot write `{}`: {cause}\n  hint: set `models_dir` to a folder that can be written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file that is there cannot be read.
    #[error("cannot read `{}`: {cause}\n  hint: check who may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// What the server sends makes no sense.
    #[error("`{source_name}` sent something else than a model: {reason}\n  hint: {}", protocol_hint(url))]
    Protocol {
        /// Where it was sought.
        source_name: String,
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The starter model is not on this machine, and its source did not give it.
    #[error(
        "the starter model is not on this machine and cannot be fetched: {reason}\n  hint: get online, or name a \
         mirror of Hugging Face in HF_ENDPOINT; or put `{}` (sha256 {}) at `{}`; or set a pool's `model` to a GGUF \
         file that you have",
        crate::STARTER_FILE,
        crate::STARTER_SHA256,
        put_at.display()
    )]
    Starter {
        /// What the source answered, without its hints.
        reason: String,
        /// Where the file may be put by hand.
        put_at: PathBuf,
    },
}

/// What to do where a URL gives no model.
fn protocol_hint(url: &str) -> String {
    match content_url(url) {
        Some(content) => format!("that is the page of the file; its content is at {content}"),
        None => format!("open {url} in a browser to see"),
    }
}

impl FetchError {
    /// Whether the fault is that of the source or of the way to it, and not of this machine or its user.
    pub(crate) const fn is_of_the_source(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Network { .. }
            | Self::Checksum { .. }
            | Self::FetchedChecksum { .. }
            | Self::Offline { .. }
            | Self::Protocol { .. } => true,
            Self::Canceled
            | Self::Missing(_)
            | Self::Obstacle { .. }
            | Self::NoQuant { .. }
            | Self::OfflineSearch { .. }
            | Self::NoSpace { .. }
            | Self::Write { .. }
            | Self::Read { .. }
            | Self::Starter { .. } => false,
        }
    }

    /// The message without its hints.
    pub(crate) fn headline(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }
}
