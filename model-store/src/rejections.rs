//! Downloads whose checksum was wrong. Who waits for a model asks again and again; while the server has the
//! same version still, the answer is known without another download of many gigabytes.
//!
//! Rules: ORCH-STORE-2

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The most that are remembered. Beyond it all are forgotten, and cost one download each.
const MAX_REMEMBERED: usize = 256;

/// A version that is not the one that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// What tells it from other versions.
    pub(crate) validator: String,
    /// Its SHA-256.
    pub(crate) found: String,
}

/// What was rejected, by URL and the checksum that was expected.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Mutex<BTreeMap<(String, String), Rejected>>);

impl Rejections {
    pub(crate) fn get(&self, url: &str, expected: &str) -> Option<Rejected> {
        let rejected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rejected.get(&(url.to_owned(), expected.to_owned())).cloned()
    }

    pub(crate) fn put(&self, url: &str, expected: &str, version: Rejected) {
        let mut rejected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rejected.len() >= MAX_REMEMBERED {
            rejected.clear();
        }
        rejected.insert((url.to_owned(), expected.to_owned()), version);
    }
}
