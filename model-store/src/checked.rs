//! Checksums of files, and the memory of files that were checked: a model of many gigabytes is not read
//! through again at every start while its size and time of change stay the same.
//!
//! Rules: ORCH-MODEL-2

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::error::FetchError;
use crate::progress::{Phase, Transfer, Watch};

const CHUNK_BYTES: usize = 1 << 20;

/// A SHA-256 that is being computed, in lower-case hexadecimal at the end.
#[derive(Clone, Default)]
pub(crate) struct Sum(Sha256);

impl Sum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads the next `bytes` of a file into a checksum.
pub(crate) fn sum_of(file: &mut File, path: &Path, bytes: u64, watch: Watch<'_>) -> Result<Sum, FetchError> {
    let mut sum = Sum::default();
    let mut done = 0;
    let source = path.display().to_string();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut limited = file.take(bytes);
    loop {
        watch.check()?;
        let read =
            limited.read(&mut chunk).map_err(|cause| FetchError::Read { path: path.to_owned(), cause })?;
        if read == 0 {
            return Ok(sum);
        }
        sum.update(&chunk[..read]);
        done += read as u64;
        watch.progress.transfer(Transfer {
            phase: Phase::Checking,
            source: &source,
            done,
            total: Some(bytes),
        });
    }
}

/// Remembers which files were found to have which checksum, in a folder of the store.
pub(crate) struct Memory {
    dir: PathBuf,
}

impl Memory {
    pub(crate) fn in_store(dir: &Path) -> Self {
        Self { dir: dir.join(".checked") }
    }

    /// The checksum of a file: remembered, or computed and remembered.
    pub(crate) fn sum(&self, path: &Path, watch: Watch<'_>) -> Result<String, FetchError> {
        let failed = |cause| FetchError::Read { path: path.to_owned(), cause };
        let mut file = File::open(path).map_err(failed)?;
        let state = file.metadata().map_err(failed)?;
        if let Some(sum) = self.recall(path, &state) {
            return Ok(sum);
        }
        let sum = sum_of(&mut file, path, state.len(), watch)?.finish();
        self.remember(path, &state, &sum);
        Ok(sum)
    }

    /// The checksum of a file as it is now, where it is remembered.
    pub(crate) fn known(&self, path: &Path) -> Option<String> {
        self.recall(path, &std::fs::metadata(path).ok()?)
    }

    /// Remembers a checksum. That it cannot be written down only costs the time to compute it again.
    pub(crate) fn remember(&self, path: &Path, state: &Metadata, sum: &str) {
        if let (Some(state), Ok(())) = (fingerprint(state), std::fs::create_dir_all(&self.dir)) {
            let _ = std::fs::write(self.entry(path), format!("{sum} {state}\n"));
        }
    }

    /// Forgets a file that is gone.
    pub(crate) fn forget(&self, path: &Path) {
        let _ = std::fs::remove_file(self.entry(path));
    }

    fn recall(&self, path: &Path, state: &Metadata) -> Option<String> {
        let text = std::fs::read_to_string(self.entry(path)).ok()?;
        let (sum, remembered) = text.trim_end().split_once(' ')?;
        (remembered == fingerprint(state)?).then(|| sum.to_owned())
    }

    fn entry(&self, path: &Path) -> PathBuf {
        let mut sum = Sum::default();
        sum.update(path.as_os_str().as_encoded_bytes());
        self.dir.join(sum.finish())
    }
}

fn fingerprint(state: &Metadata) -> Option<String> {
    let changed = state.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{} {}", state.len(), changed.as_nanos()))
}
