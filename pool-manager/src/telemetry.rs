//! Readings of the devices, taken in a thread of their own so that a driver call that takes long holds up
//! nobody, and put where anyone can look at no cost.
//!
//! Rules: ORCH-DEV-7

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use engine_api::Device;
use tokio::sync::watch;

use crate::devices::{DeviceProbe, DeviceReading, ProcessReading, process_memory};

/// How often the devices are read.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// All devices at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The processor, then the cards in PCI order.
    pub devices: Vec<DeviceReading>,
    /// Who holds memory of the cards, as far as their drivers tell.
    pub processes: Vec<ProcessReading>,
    /// How many times the devices have been read so far.
    pub readings: u64,
}

impl Snapshot {
    /// The reading of one device.
    #[must_use]
    pub fn of(&self, device: &Device) -> Option<&DeviceReading> {
        self.devices.iter().find(|reading| reading.device == *device)
    }

    /// The cards among the devices, in PCI order.
    pub fn cards(&self) -> impl Iterator<Item = &DeviceReading> {
        self.devices.iter().filter(|reading| reading.device != Device::Cpu)
    }

    /// Bytes of a device's memory that a process, and on the processor all that it started, holds; nothing
    /// where that cannot be told. On the processor it is measured here and takes milliseconds.
    #[must_use]
    pub fn process_memory(&self, device: &Device, pid: u32) -> Option<u64> {
        match device {
            Device::Cpu => process_memory(pid),
            Device::Gpu { uuid, .. } => self
                .processes
                .iter()
                .find(|held| held.pid == pid && held.card_uuid == *uuid)
                .map(|held| held.used_bytes),
        }
    }
}

/// Reads the devices until it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Its drop ends the thread, at the latest after the reading that is being taken. Nobody waits for it: a
    /// card that hangs in its driver holds that thread for good, and must not hold whoever stops.
    _stop: SyncSender<()>,
}

impl Telemetry {
    /// Reads once, here, and from then on each `interval` in a thread. Takes as long as one reading.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut probe: Box<dyn DeviceProbe>, interval: Duration) -> std::io::Result<Self> {
        let first = Snapshot { devices: probe.read(), processes: probe.processes(), readings: 1 };
        let (sender, snapshot) = watch::channel(Arc::new(first));
        let (stop, stopped) = sync_channel::<()>(0);
        std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let (devices, processes) = (probe.read(), probe.processes());
                sender.send_modify(|snapshot| {
                    let readings = snapshot.readings + 1;
                    *snapshot = Arc::new(Snapshot { devices, processes, readings });
                });
            }
        })?;
        Ok(Self { snapshot, _stop: stop })
    }

    /// The last reading.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// The readings as they come. Closed when the telemetry is dropped and its last reading is taken.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }
}

#[cfg(test)]
mod tests;
