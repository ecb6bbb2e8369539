//! The devices of this machine, the processor among them, and which of them a replica gets.
//!
//! NVIDIA's cards are read through NVML, which is looked for at run time; AMD's through the kernel's own
//! files. A machine without either has its processor, and one log line says so. Reading never fails as a
//! whole: a figure that a device does not tell is absent.
//!
//! Rules: ORCH-DEV-1

use std::path::Path;

use engine_api::Device;

use self::amd::AmdCards;
use self::host::Host;
use self::nvidia::NvidiaCards;

mod amd;
mod host;
mod nvidia;

pub use self::host::process_memory;

/// One reading of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceReading {
    /// The device.
    pub device: Device,
    /// Its name (`NVIDIA GeForce RTX 4090`).
    pub name: String,
    /// Its memory; the machine's own, where the device is the processor.
    pub memory: Option<MemoryReading>,
    /// Share of the last moments in which it computed, from 0 to 1.
    pub utilization: Option<f64>,
}

/// A device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReading {
    /// All of it.
    pub total_bytes: u64,
    /// Taken by anyone.
    pub used_bytes: u64,
    /// Free, or reclaimable by the system on demand.
    pub free_bytes: u64,
}

/// What one process holds of one card's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessReading {
    /// The process.
    pub pid: u32,
    /// The driver's own name of the card.
    pub card_uuid: String,
    /// Bytes of the card's memory that it holds.
    pub used_bytes: u64,
}

/// The memory that a model may be in: that of the cards together, or the machine's own where there is no card. Nothing
/// where no device says it.
#[must_use]
pub fn model_memory(readings: &[DeviceReading]) -> Option<u64> {
    let total = |is_wanted: fn(&Device) -> bool| {
        let wanted = readings.iter().filter(|reading| is_wanted(&reading.device));
        let bytes: u64 = wanted.filter_map(|reading| reading.memory).map(|memory| memory.total_bytes).sum();
        Some(bytes).filter(|bytes| *bytes > 0)
    };
    total(|device| *device != Device::Cpu).or_else(|| total(|device| *device == Device::Cpu))
}

/// Reads the devices. Behind a trait so that tests can make readings up. Nothing of it is called on the
/// runtime's threads: it may take milliseconds.
pub trait DeviceProbe: Send + 'static {
    /// All devices: the processor first, then the cards in PCI order.
    fn read(&mut self) -> Vec<DeviceReading>;

    /// Who holds memory of the cards, as far as their drivers tell.
    fn processes(&mut self) -> Vec<ProcessReading> {
        Vec::new()
    }
}

/// No devices at all, not even a processor.
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
    Box::new(Machine::find(&nvidia::NVML_NAMES, Path::new(amd::DRM_DIR)))
}

/// Where a card sits: domain, bus, device, function.
type PciAddress = (u32, u32, u32, u32);

/// Everything that replicas can compute on.
struct Machine {
    host: Host,
    nvidia: Option<NvidiaCards>,
    amd: AmdCards,
}

impl Machine {
    fn find(nvml_names: &[&str], drm_dir: &Path) -> Self {
        let (nvidia, why_no_nvidia) = match NvidiaCards::open(nvml_names) {
            Ok(cards) => (Some(cards), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        let mut machine = Self { host: Host::new(), nvidia, amd: AmdCards::below(drm_dir) };
        let nvidia = machine.nvidia.as_mut().map_or(0, |cards| cards.read().len());
        let amd = machine.amd.read().len();
        tracing::info!(nvidia, amd, why_no_nvidia, "devices found beside the processor");
        machine
    }
}

impl DeviceProbe for Machine {
    fn read(&mut self) -> Vec<DeviceReading> {
        let nvidia = self.nvidia.as_mut().map(NvidiaCards::read).unwrap_or_default();
        let mut devices = vec![self.host.read()];
        devices.extend(numbered(nvidia.into_iter().chain(self.amd.read()).collect()));
        devices
    }

    fn processes(&mut self) -> Vec<ProcessReading> {
        self.nvidia.as_ref().map(NvidiaCards::processes).unwrap_or_default()
    }
}

/// The cards of all makers in PCI order, each with its place in it.
fn numbered(mut cards: Vec<(PciAddress, DeviceReading)>) -> Vec<DeviceReading> {
    cards.sort_by_key(|(address, _)| *address);
    let mut devices: Vec<_> = cards.into_iter().map(|(_, reading)| reading).collect();
    for (place, reading) in (0..).zip(&mut devices) {
        if let Device::Gpu { index, .. } = &mut reading.device {
            *index = place;
        }
    }
    devices
}

#[cfg(test)]
mod tests;
