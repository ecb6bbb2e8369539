//! The folder that models are kept in: room, locks, names that appear only when they are whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::FetchError;
use crate::progress::Watch;

/// How often a process that waits for another one's fetch looks again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Makes a folder and those above it.
pub(crate) fn make_dir(dir: &Path) -> Result<(), FetchError> {
    std::fs::create_dir_all(dir).map_err(|cause| {
        let is_file = cause.kind() == io::ErrorKind::AlreadyExists;
        let cause =
            if is_file { io::Error::new(cause.kind(), "there is a file of this name") } else { cause };
        FetchError::Write { path: dir.to_owned(), cause }
    })
}

/// Refuses what would not fit. Where the system does not tell how much is free, the disk itself decides.
pub(crate) fn check_room(dir: &Path, needs: u64) -> Result<(), FetchError> {
    match free_bytes(dir) {
        Some(free) if free < needs => Err(FetchError::NoSpace { dir: dir.to_owned(), needs, free }),
        _ => Ok(()),
    }
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A failed write, as what it means: a full disk is said as such, with what was still to come.
pub(crate) fn write_failed(path: &Path, cause: io::Error, still_to_come: u64) -> FetchError {
    let dir = path.parent().unwrap_or(path);
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchError::NoSpace {
            dir: dir.to_owned(),
            needs: still_to_come,
            free: free_bytes(dir).unwrap_or(0).min(still_to_come),
        },
        _ => FetchError::Write { path: path.to_owned(), cause },
    }
}

/// Holds the right to write one file of the store. Given back when it drops, or when the process ends.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other process fetches the same file.
    pub(crate) fn acquire(target: &Path, watch: Watch<'_>) -> Result<Self, FetchError> {
        let path = beside(target, "lock");
        let failed = |cause| FetchError::Write { path: path.clone(), cause };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                // Some network file systems have no locks: the fetch is worth more than the guard.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            if !told {
                watch.progress.note("another process is fetching the same file; waiting for it");
                told = true;
            }
            watch.check()?;
            std::thread::sleep(LOCK_POLL);
        }
    }
}

/// The hidden file that belongs to `target`: `.NAME.SUFFIX` in the same folder.
pub(crate) fn beside(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{suffix}"))
}

/// Gives a whole file its name: on the disk first, then in the folder, so that a name never stands for
/// half a file, also after a power cut.
pub(crate) fn publish(file: &File, from: &Path, target: &Path) -> Result<(), FetchError> {
    let failed = |cause| write_failed(target, cause, 0);
    file.sync_all().map_err(failed)?;
    std::fs::rename(from, target).map_err(failed)?;
    if let Some(dir) = target.parent() {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// A number of bytes for people.
pub(crate) fn in_units(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;
