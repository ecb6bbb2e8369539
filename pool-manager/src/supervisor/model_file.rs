//! What tells a model's file from the one that was there before: by it a model that cannot be loaded is tried again once
//! somebody has changed it.
//!
//! Rules: ORCH-REPL-17

use std::path::Path;
use std::time::SystemTime;

use tokio::task::JoinHandle;

/// A model's file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelFile {
    bytes: u64,
    modified: Option<SystemTime>,
    /// When an entry of its folder came or went, as another part of the same model.
    folder_modified: Option<SystemTime>,
}

impl ModelFile {
    /// Looks, aside from the threads that must not wait for a disk. Nothing where there is no such file.
    pub(super) fn look(path: &Path) -> JoinHandle<Option<Self>> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Self::of(&path))
    }

    fn of(path: &Path) -> Option<Self> {
        let file = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let folder = path.parent().and_then(|folder| folder.metadata().ok());
        Some(Self {
            bytes: file.len(),
            modified: file.modified().ok(),
            folder_modified: folder.and_then(|folder| folder.modified().ok()),
        })
    }
}
