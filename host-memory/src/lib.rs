//! What there is of the machine's main memory for a process: what the system could give, and no more than a limit leaves
//! that the process lives under, such as a container's or a service's. What a limited group has in its page cache counts
//! as free, as it does for the system as a whole.
//!
//! Rules: ORCH-DEV-7, ORCH-KV-3

use std::fmt;

use sysinfo::{
    CGroupLimits, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid,
};

/// What always stays free where memory is taken for what can be done without, as a part of all memory.
const STAYS_FREE: u64 = 16;

/// Reads the memory of the machine.
pub struct HostMemory {
    /// Nothing on a system that this cannot be read on.
    system: Option<System>,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All there is; never 0.
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

    /// Reads. Nothing where the system does not say.
    pub fn read(&mut self) -> Option<Memory> {
        let system = self.system.as_mut()?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (total, available) = (system.total_memory(), system.available_memory());
        within(Memory { total, available }, own_limits(system))
    }

    /// Whether so many bytes can be taken for what can be done without: a part of all memory stays free.
    pub fn spares(&mut self, bytes: u64) -> bool {
        self.read().is_some_and(|memory| memory.spares(bytes))
    }
}

impl Default for HostMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    fn spares(self, bytes: u64) -> bool {
        self.available.saturating_sub(self.total / STAYS_FREE) >= bytes
    }
}

/// The limits that this process lives under: a container's, a service's.
fn own_limits(system: &mut System) -> Option<CGroupLimits> {
    let own = get_current_pid().ok()?;
    if system.process(own).is_none() {
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, kind);
    }
    system.process(own).and_then(sysinfo::Process::cgroup_limits).or_else(|| system.cgroup_limits())
}

/// What the limits leave of the machine's memory.
fn within(machine: Memory, limits: Option<CGroupLimits>) -> Option<Memory> {
    let Memory { total, available } = machine;
    let limited = limits.filter(|limits| limits.total_memory > 0 && limits.total_memory < total);
    let (total, left) = match limited {
        Some(limits) => (limits.total_memory, limits.total_memory.saturating_sub(limits.rss)),
        None => (total, total),
    };
    (total > 0).then_some(Memory { total, available: available.min(left) })
}

impl fmt::Debug for HostMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostMemory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn limits(total_gib: u64, rss_gib: u64) -> Option<CGroupLimits> {
        Some(CGroupLimits { total_memory: total_gib * GIB, free_memory: 0, free_swap: 0, rss: rss_gib * GIB })
    }

    #[test]
    fn a_limit_leaves_what_its_group_does_not_live_in() {
        let gib = |memory: Option<Memory>| {
            let gib = |bytes| bytes / GIB;
            memory.map(|Memory { total, available }| (gib(total), gib(total - available), gib(available)))
        };
        let cases = [
            // What the system says, what the limit says, and what comes of it: total, used, free.
            ((64, 48), None, Some((64, 16, 48))),
            ((64, 48), limits(16, 3), Some((16, 3, 13))),
            ((64, 10), limits(16, 3), Some((16, 6, 10))),
            ((64, 48), limits(16, 20), Some((16, 16, 0))),
            ((64, 48), limits(64, 3), Some((64, 16, 48))),
            ((0, 0), None, None),
        ];
        for ((total, available), limits, expected) in cases {
            let shown = format!("{total} {available} {limits:?}");
            let machine = Memory { total: total * GIB, available: available * GIB };
            assert_eq!(gib(within(machine, limits)), expected, "{shown}");
        }
    }

    /// ORCH-KV-3
    #[test]
    fn a_part_of_all_memory_stays_free_and_a_limit_counts_as_all_there_is() {
        let machine = Memory { total: 1600, available: 500 };
        assert!(machine.spares(400) && !machine.spares(401));
        let limits = CGroupLimits { total_memory: 320, free_memory: 0, free_swap: 0, rss: 200 };
        assert_eq!(within(machine, Some(limits)), Some(Memory { total: 320, available: 120 }));
        assert!(!Memory { total: 1600, available: 50 }.spares(1));
    }
}
