//! What the machine can spare of its main memory, so that a cache is never the reason why a process is ended for lack of
//! it. A limit that this process lives under, such as a container's, counts like the machine's own memory.
//!
//! Rules: ORCH-KV-3

use std::fmt;

use sysinfo::{
    CGroupLimits, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid,
};

/// What always stays free, as a part of all memory.
const STAYS_FREE: u64 = 16;

/// Reads the memory of the machine.
pub struct HostMemory {
    /// Nothing on a system that this cannot be read on: it spares nothing.
    system: Option<System>,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All there is.
    pub total: u64,
    /// What can be had without taking it from another process.
    pub available: u64,
}

impl HostMemory {
    /// A reader.
    #[must_use]
    pub fn new() -> Self {
        Self { system: System::new().ok() }
    }

    /// Reads.
    pub fn read(&mut self) -> Option<Memory> {
        let system = self.system.as_mut()?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (total, available) = (system.total_memory(), system.available_memory());
        Some(within(Memory { total, available }, own_limits(system)))
    }

    /// Whether so many bytes can be taken.
    pub fn spares(&mut self, bytes: u64) -> bool {
        self.read().is_some_and(|memory| memory.spares(bytes))
    }
}

impl Memory {
    fn spares(self, bytes: u64) -> bool {
        self.available.saturating_sub(self.total / STAYS_FREE) >= bytes
    }
}

fn own_limits(system: &mut System) -> Option<CGroupLimits> {
    let own = get_current_pid().ok()?;
    if system.process(own).is_none() {
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, kind);
    }
    system.process(own).and_then(sysinfo::Process::cgroup_limits).or_else(|| system.cgroup_limits())
}

fn within(machine: Memory, limits: Option<CGroupLimits>) -> Memory {
    match limits {
        Some(limits) if limits.total_memory > 0 && limits.total_memory < machine.total => Memory {
            total: limits.total_memory,
            available: machine.available.min(limits.total_memory.saturating_sub(limits.rss)),
        },
        _ => machine,
    }
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostMemory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-KV-3
    #[test]
    fn a_part_of_all_memory_stays_free_and_a_limit_counts_as_all_there_is() {
        let machine = Memory { total: 1600, available: 500 };
        assert!(machine.spares(400) && !machine.spares(401));
        let limits = CGroupLimits { total_memory: 320, free_memory: 0, free_swap: 0, rss: 200 };
        assert_eq!(within(machine, Some(limits)), Memory { total: 320, available: 120 });
        assert!(!Memory { total: 1600, available: 50 }.spares(1));
    }
}
