//! NVIDIA's cards, through the library that comes with their driver.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use engine_api::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

use super::{DeviceReading, MemoryReading, PciAddress, ProcessReading};

/// The library as the driver installs it, and as the driver's development files name it.
pub(super) const NVML_NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The cards that the driver knows.
pub(super) struct NvidiaCards {
    nvml: Nvml,
}

impl NvidiaCards {
    /// Finds the library under one of its names.
    ///
    /// # Errors
    /// What the last name brought: no such library, or a driver that is not loaded.
    pub(super) fn open(names: &[&str]) -> Result<Self, NvmlError> {
        let mut last = NvmlError::LibraryNotFound;
        for name in names {
            match Nvml::builder().lib_path(OsStr::new(name)).init() {
                Ok(nvml) => return Ok(Self { nvml }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// All cards and where they sit.
    pub(super) fn read(&mut self) -> Vec<(PciAddress, DeviceReading)> {
        let count = self.nvml.device_count().unwrap_or(0);
        (0..count).filter_map(|index| self.card(index)).collect()
    }

    /// One card. A card that fell off the bus is left out until it is back.
    fn card(&self, index: u32) -> Option<(PciAddress, DeviceReading)> {
        let card = self.nvml.device_by_index(index).ok()?;
        let uuid = card.uuid().ok()?;
        let address =
            card.pci_info().map_or((u32::MAX, index, 0, 0), |pci| (pci.domain, pci.bus, pci.device, 0));
        let memory = card.memory_info().ok().map(|memory| MemoryReading {
            total_bytes: memory.total,
            used_bytes: memory.used,
            free_bytes: memory.free,
        });
        let reading = DeviceReading {
            device: Device::Gpu { uuid, index },
            name: card.name().unwrap_or_else(|_| "NVIDIA card".to_owned()),
            memory,
            utilization: card.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
        };
        Some((address, reading))
    }

    /// Who holds memory of which card. A process that both computes and draws is in two lists of the
    /// driver's, with the same figure in both.
    pub(super) fn processes(&self) -> Vec<ProcessReading> {
        let mut held = BTreeMap::<(String, u32), u64>::new();
        for index in 0..self.nvml.device_count().unwrap_or(0) {
            let Ok(card) = self.nvml.device_by_index(index) else { continue };
            let Ok(uuid) = card.uuid() else { continue };
            let lists = [card.running_compute_processes(), card.running_graphics_processes()];
            for process in lists.into_iter().flatten().flatten() {
                let UsedGpuMemory::Used(bytes) = process.used_gpu_memory else { continue };
                let most = held.entry((uuid.clone(), process.pid)).or_default();
                *most = bytes.max(*most);
            }
        }
        let reading = |((card_uuid, pid), used_bytes)| ProcessReading { pid, card_uuid, used_bytes };
        held.into_iter().map(reading).collect()
    }
}
