//! Devices, drivers and memory.
//!
//! Rules: ORCH-CLI-12

use std::path::Path;

use engine_api::Device;
use pool_manager::DeviceReading;
use rustix::fs::{Access, access};

use super::Finding;
use super::cards::{self, Card, Maker};
use crate::text;

/// With less free memory than this the starter model is all that fits.
const LITTLE_MEMORY_BYTES: u64 = 2 << 30;
/// What AMD's cards compute through, and whose group a user has to be in.
const KFD: &str = "/dev/kfd";
/// The version of NVIDIA's kernel driver.
const NVIDIA_VERSION: &str = "/sys/module/nvidia/version";

/// Looks.
pub async fn look() -> Vec<Finding> {
    let read = tokio::task::spawn_blocking(|| pool_manager::probe().read()).await;
    let readings = read.unwrap_or_default();
    let version = std::fs::read_to_string(NVIDIA_VERSION).ok();
    let mut findings: Vec<Finding> =
        readings.iter().map(|reading| device(reading, version.as_deref().map(str::trim))).collect();
    findings.extend(unknown_cards(&readings, &cards::cards(Path::new(cards::PCI_DIR))));
    findings.extend(closed_device(Path::new(KFD)));
    findings
}

fn device(reading: &DeviceReading, nvidia_version: Option<&str>) -> Finding {
    let mut said = format!("{}: {}", reading.device, reading.name);
    if let (Device::Gpu { uuid, .. }, Some(version)) = (&reading.device, nvidia_version)
        && uuid.starts_with("GPU-")
    {
        said.push_str(&format!(", driver {version}"));
    }
    let Some(memory) = reading.memory else {
        return Finding::warn(
            "device",
            said + ", its memory is not known",
            "models are not weighed before they are loaded on it",
        );
    };
    said.push_str(&format!(
        ", {} of {} free",
        text::bytes(memory.free_bytes),
        text::bytes(memory.total_bytes)
    ));
    if memory.free_bytes < LITTLE_MEMORY_BYTES {
        let hint = match reading.device {
            Device::Cpu => "end what else needs memory, or serve a smaller model",
            _ => {
                "end what else uses the card (`nvidia-smi` or `radeontop` shows it), or serve a smaller model"
            }
        };
        return Finding::warn("device", said, hint);
    }
    Finding::ok("device", said)
}

/// Cards that sit in the machine and that no engine can be started on.
fn unknown_cards(readings: &[DeviceReading], cards: &[Card]) -> Vec<Finding> {
    let known = |nvidia: bool| {
        let is = |reading: &&DeviceReading| match &reading.device {
            Device::Gpu { uuid, .. } => uuid.starts_with("GPU-") == nvidia,
            _ => false,
        };
        readings.iter().filter(is).count()
    };
    let unknown = |maker: Maker, known: usize, hint: &str| {
        let there: Vec<&Card> = cards.iter().filter(|card| card.maker == maker).collect();
        (there.len() > known).then(|| {
            let named: Vec<String> = there
                .iter()
                .map(|card| {
                    format!("{} (driver: {})", card.address, card.driver.as_deref().unwrap_or("none"))
                })
                .collect();
            let message = format!(
                "{maker:?}: {} in the machine, {known} can be used: {}",
                there.len(),
                named.join(", ")
            );
            Finding::warn("driver", message, hint)
        })
    };
    [
        unknown(
            Maker::Nvidia,
            known(true),
            "install NVIDIA's own driver; once `nvidia-smi` lists the card, it is found here too",
        ),
        unknown(
            Maker::Amd,
            known(false),
            "the kernel's `amdgpu` driver has to know the card; `dmesg | grep amdgpu` says why it does not",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn closed_device(path: &Path) -> Option<Finding> {
    let is_closed = path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err();
    is_closed.then(|| {
        Finding::warn(
            "driver",
            format!("`{}` may not be opened by this user", path.display()),
            "`sudo usermod -aG render,video $USER`, then log in anew",
        )
    })
}

#[cfg(test)]
mod tests;
