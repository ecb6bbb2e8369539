use std::process::{Command, Stdio};

use super::*;

#[test]
fn the_processor_has_a_name_and_the_machines_memory() {
    let mut host = Host::new();
    let first = host.read();
    assert_eq!(first.device, Device::Cpu);
    assert!(!first.name.is_empty());
    let memory = first.memory.expect("memory can be read where tests run");
    assert!(memory.free_bytes > 0 && memory.free_bytes <= memory.total_bytes, "{memory:?}");
    assert_eq!(memory.used_bytes + memory.free_bytes, memory.total_bytes);
    assert_eq!(first.utilization, None, "a load needs two readings");
    let load = host.read().utilization.expect("the second reading has a load");
    assert!((0.0..=1.0).contains(&load), "{load}");
}

/// ORCH-DEV-7
#[test]
fn a_process_is_measured_with_what_it_started() {
    let own = process_memory(std::process::id()).expect("this process lives");
    assert!(own > 0);
    // A shell that waits for a child of its own.
    let mut shell = Command::new("sh")
        .args(["-c", "cat; true"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let pid = shell.id();
    let with_child = (0..10_000).find_map(|_| {
        let children = children_of(pid);
        (!children.is_empty()).then(|| (process_memory(pid), children))
    });
    let (both, children) = with_child.expect("the shell starts its child");
    let both = both.expect("the shell lives");
    let child = process_memory(children[0]).expect("the child lives");
    assert!(child > 0 && both > child, "{both} {child}");
    drop(shell.stdin.take());
    shell.wait().expect("the shell ends");
    assert_eq!(process_memory(pid), None);
}

fn children_of(pid: u32) -> Vec<u32> {
    let mut system = System::new().expect("processes can be read");
    let kind = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let is_child = |process: &&sysinfo::Process| process.parent() == Some(Pid::from_u32(pid));
    let mut children: Vec<u32> =
        system.processes().values().filter(is_child).map(|process| process.pid().as_u32()).collect();
    children.retain(|pid| process_memory(*pid).is_some_and(|bytes| bytes > 0));
    children
}
