//! The graphics cards of this machine, and which of them a replica gets.
//!
//! NVIDIA's cards are read through NVML, which is looked for at run time: a machine without the library
//! has no cards, and one log line says so. Reading never fails as a whole: a figure a card does not tell
//! is absent.

use std::ffi::OsStr;

use adapter_api::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

/// The library as the driver installs it, and as the driver's development files name it.
const NVML_NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// What one card says of itself at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReading {
    /// The card.
    pub device: Device,
    /// Its name (`NVIDIA GeForce RTX 4090`).
    pub name: String,
    /// Its memory.
    pub memory: Option<MemoryReading>,
    /// Share of the last moments in which it computed, from 0 to 1.
    pub utilization: Option<f64>,
}

/// A card's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReading {
    /// All of it.
    pub total_bytes: u64,
    /// Taken by anyone.
    pub used_bytes: u64,
    /// Free.
    pub free_bytes: u64,
}

/// Reads the cards. Behind a trait so that tests can make readings up.
pub trait DeviceProbe: Send + 'static {
    /// All cards, in PCI order. May take milliseconds; never called on the runtime's threads.
    fn read(&mut self) -> Vec<DeviceReading>;
}

/// No cards.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDevices;

impl DeviceProbe for NoDevices {
    fn read(&mut self) -> Vec<DeviceReading> {
        Vec::new()
    }
}

/// The probe for this machine. One log line says what was found.
#[must_use]
pub fn probe() -> Box<dyn DeviceProbe> {
    probe_with(&NVML_NAMES)
}

fn probe_with(names: &[&str]) -> Box<dyn DeviceProbe> {
    match load_nvml(names) {
        Ok(nvml) => {
            let mut probe = NvmlProbe { nvml };
            tracing::info!(cards = probe.read().len(), "NVIDIA telemetry is on");
            Box::new(probe)
        }
        Err(reason) => {
            tracing::info!(%reason, "no NVIDIA telemetry: computing on the processor unless told otherwise");
            Box::new(NoDevices)
        }
    }
}

fn load_nvml(names: &[&str]) -> Result<Nvml, NvmlError> {
    let mut last = NvmlError::LibraryNotFound;
    for name in names {
        match Nvml::builder().lib_path(OsStr::new(name)).init() {
            Ok(nvml) => return Ok(nvml),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The device for a replica that does not name one: the card with the most free memory, the first of equal
/// ones; the processor where there is no card whose memory is known.
#[must_use]
pub fn choose_device(readings: &[DeviceReading]) -> Device {
    let mut best: Option<(u64, &Device)> = None;
    for reading in readings {
        let Some(memory) = reading.memory else { continue };
        if best.is_none_or(|(free, _)| memory.free_bytes > free) {
            best = Some((memory.free_bytes, &reading.device));
        }
    }
    best.map_or(Device::Cpu, |(_, device)| device.clone())
}

struct NvmlProbe {
    nvml: Nvml,
}

impl DeviceProbe for NvmlProbe {
    fn read(&mut self) -> Vec<DeviceReading> {
        let count = self.nvml.device_count().unwrap_or(0);
        let mut cards: Vec<_> = (0..count).filter_map(|index| self.card(index)).collect();
        cards.sort_by_key(|(address, _)| *address);
        (0..)
            .zip(cards)
            .map(|(place, (_, mut reading))| {
                if let Device::Gpu { index, .. } = &mut reading.device {
                    *index = place;
                }
                reading
            })
            .collect()
    }
}

impl NvmlProbe {
    /// One card and its PCI address. A card that fell off the bus is left out until it is back.
    fn card(&self, index: u32) -> Option<((u32, u32, u32), DeviceReading)> {
        let card = self.nvml.device_by_index(index).ok()?;
        let uuid = card.uuid().ok()?;
        let address = card.pci_info().map_or((u32::MAX, index, 0), |pci| (pci.domain, pci.bus, pci.device));
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
}

#[cfg(test)]
mod tests;
