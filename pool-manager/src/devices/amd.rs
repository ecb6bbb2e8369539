//! AMD's cards, through the files that the kernel's `amdgpu` driver keeps for each below
//! `/sys/class/drm` (<https://docs.kernel.org/gpu/amdgpu/driver-misc.html>).

use std::fs;
use std::path::{Path, PathBuf};

use engine_api::Device;

use super::{DeviceReading, MemoryReading, PciAddress};

/// Where the kernel lists the cards of all makers.
pub(super) const DRM_DIR: &str = "/sys/class/drm";

/// AMD's number among the makers of PCI devices.
const AMD_VENDOR: &str = "0x1002";

/// The cards that the kernel lists.
pub(super) struct AmdCards {
    drm_dir: PathBuf,
}

impl AmdCards {
    /// The cards below this folder.
    pub(super) fn below(drm_dir: &Path) -> Self {
        Self { drm_dir: drm_dir.to_owned() }
    }

    /// All cards and where they sit. None where the folder is not there.
    pub(super) fn read(&self) -> Vec<(PciAddress, DeviceReading)> {
        let Ok(entries) = fs::read_dir(&self.drm_dir) else { return Vec::new() };
        let cards = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            is_card(entry.file_name().to_str()?).then(|| entry.path().join("device"))
        });
        cards.filter_map(|device| card(&device)).collect()
    }
}

/// `card0`, not `card0-DP-1`, which is a connector of it.
fn is_card(name: &str) -> bool {
    name.strip_prefix("card")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// One card; nothing where it is another maker's, or where its driver tells nothing of its memory.
fn card(device: &Path) -> Option<(PciAddress, DeviceReading)> {
    let text = |name: &str| Some(fs::read_to_string(device.join(name)).ok()?.trim().to_owned());
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    if text("vendor")? != AMD_VENDOR {
        return None;
    }
    let uevent = text("uevent")?;
    let slot = uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME="))?;
    let address = pci_address(slot)?;
    let total_bytes = number("mem_info_vram_total")?;
    let memory = number("mem_info_vram_used").map(|used| {
        let used_bytes = used.min(total_bytes);
        MemoryReading { total_bytes, used_bytes, free_bytes: total_bytes - used_bytes }
    });
    // ROCm calls a card by its unique id; one that has none is called by its place, which holds as long as
    // nobody opens the machine.
    let uuid = match text("unique_id").filter(|id| !id.is_empty()) {
        Some(id) => format!("GPU-{id}"),
        None => format!("GPU-pci-{}", slot.replace([':', '.'], "-")),
    };
    let name = text("product_name").filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let model = text("device").unwrap_or_default();
        format!("AMD card {}", model.trim_start_matches("0x")).trim_end().to_owned()
    });
    let reading = DeviceReading {
        device: Device::Gpu { uuid, index: 0 },
        name,
        memory,
        utilization: number("gpu_busy_percent").map(|percent| percent.min(100) as f64 / 100.0),
    };
    Some((address, reading))
}

/// Reads `0000:03:00.0`.
fn pci_address(slot: &str) -> Option<PciAddress> {
    let (rest, function) = slot.rsplit_once('.')?;
    let mut parts = rest.split(':').map(|part| u32::from_str_radix(part, 16).ok());
    let (domain, bus, device) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(())?;
    Some((domain, bus, device, u32::from_str_radix(function, 16).ok()?))
}

#[cfg(test)]
mod tests;
