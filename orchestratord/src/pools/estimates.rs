//! What a pool's models need of each device, estimated once a file: an estimate costs a process of the engine, and a
//! pool that waits for room looks again every second.
//!
//! Rules: ORCH-DEV-9

use std::sync::{Mutex, PoisonError};

use engine_api::Device;
use pool_manager::fit::Need;

use super::fetch::ModelFile;

/// Estimates that are kept; the oldest goes first. One a device and model: a pool has one model, and a second one
/// while it is reloaded.
const ESTIMATES_MAX: usize = 32;

/// The estimates of one pool. Context, slots, threads and layers are those of the pool's configuration, which does not
/// change, so that file and device are the key.
#[derive(Debug, Default)]
pub(super) struct Estimates(Mutex<Vec<Estimate>>);

#[derive(Debug)]
struct Estimate {
    file: ModelFile,
    device: Device,
    need: Option<Need>,
}

impl Estimates {
    /// The estimate for a file and a device; nothing where there is none yet.
    pub(super) fn of(&self, file: &ModelFile, device: &Device) -> Option<Option<Need>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().find(|estimate| estimate.file == *file && estimate.device == *device);
        known.map(|estimate| estimate.need)
    }

    /// Keeps an estimate. A file whose identity could not be read may be another one the next time.
    pub(super) fn keep(&self, file: &ModelFile, device: &Device, need: Option<Need>) {
        if file.identity.is_none() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == ESTIMATES_MAX {
            kept.remove(0);
        }
        kept.push(Estimate { file: file.clone(), device: device.clone(), need });
    }
}
