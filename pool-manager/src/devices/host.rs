//! The processor and the machine's own memory.
//!
//! Rules: ORCH-DEV-7

use std::collections::HashMap;

use engine_api::Device;
use host_memory::{HostMemory, Memory};
use sysinfo::{CpuRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{DeviceReading, MemoryReading};

/// Reads the processor.
pub(super) struct Host {
    /// Nothing on a system that this cannot be read on.
    system: Option<System>,
    memory: HostMemory,
    name: String,
    /// The load is the difference between two readings: the first one has none.
    read_before: bool,
}

impl Host {
    pub(super) fn new() -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_list(CpuRefreshKind::nothing().with_usage());
        }
        let brand = system.as_ref().and_then(|system| system.cpus().first()).map(|cpu| cpu.brand().trim());
        let name = brand.filter(|brand| !brand.is_empty()).unwrap_or("processor").to_owned();
        Self { system, memory: HostMemory::new(), name, read_before: false }
    }

    pub(super) fn read(&mut self) -> DeviceReading {
        let memory = self.memory.read().map(|Memory { total, available }| MemoryReading {
            total_bytes: total,
            used_bytes: total - available,
            free_bytes: available,
        });
        let mut reading =
            DeviceReading { device: Device::Cpu, name: self.name.clone(), memory, utilization: None };
        let Some(system) = &mut self.system else { return reading };
        system.refresh_cpu_usage();
        if self.read_before {
            reading.utilization = Some(f64::from(system.global_cpu_usage() / 100.0).clamp(0.0, 1.0));
        }
        self.read_before = true;
        reading
    }
}

/// Bytes of the machine's memory in which a process and all that it started live now (RSS). A file that
/// several processes have mapped counts for each. Nothing when the process is gone.
///
/// Takes milliseconds: not for the runtime's threads.
#[must_use]
pub fn process_memory(pid: u32) -> Option<u64> {
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let root = Pid::from_u32(pid);
    system.process(root)?;
    let mut children = HashMap::<Pid, Vec<Pid>>::new();
    for (pid, process) in system.processes() {
        if let Some(parent) = process.parent() {
            children.entry(parent).or_default().push(*pid);
        }
    }
    let (mut bytes, mut open) = (0, vec![root]);
    while let Some(pid) = open.pop() {
        bytes += system.process(pid).map_or(0, sysinfo::Process::memory);
        // Removed as they are taken: numbers that are used again must not make a circle.
        open.extend(children.remove(&pid).unwrap_or_default());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
