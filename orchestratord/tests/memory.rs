//! The daemon's memory with many tasks: bounded by what it keeps, whatever has been through it. In a process of
//! its own, whose memory is measured.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "support/test_daemon.rs"]
mod test_daemon;
#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeMap;

use engine_mock::Phase;
use orchestrator_core::TaskId;
use orchestratord::backpressure::Refusal;
use orchestratord::http::task_request;
use serde_json::{Value, json};
use test_daemon::{MockOptions, TestDaemon};
use uuid::Uuid;

/// Tasks that wait, and tasks that are kept when they have ended.
const TASKS: usize = 10_000;

/// Tasks that are on their way at a time.
const AT_ONCE: usize = 100;

const MIB: u64 = 1 << 20;

/// A prompt of about a kilobyte in two words, which come back as the answer.
fn task() -> Value {
    json!({"prompt": format!("{0} {0}", "w".repeat(500)), "priority": "batch"})
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn submit(daemon: &TestDaemon) -> Result<TaskId, Refusal> {
    let request = serde_json::from_value(task()).unwrap();
    let request = task_request::resolve(request, &BTreeMap::new(), Uuid::new_v4)?;
    Ok(daemon.driver.submit(request).await?.task)
}

async fn read_to_end(daemon: &TestDaemon, task: TaskId) {
    let mut reader = daemon.driver.subscribe(task, 0).await.unwrap().reader;
    while reader.next().await.is_some() {}
}

async fn run_through(daemon: &TestDaemon, tasks: usize) {
    for _ in 0..tasks / AT_ONCE {
        let mut accepted = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            accepted.push(submit(daemon).await.unwrap());
        }
        for task in accepted {
            read_to_end(daemon, task).await;
        }
    }
}

#[tokio::test]
async fn memory_is_bounded_with_ten_thousand_tasks_waiting_and_ten_thousand_ended() {
    let daemon =
        TestDaemon::with(MockOptions { lane_bound: TASKS, keep_tasks: TASKS, ..MockOptions::default() });
    daemon.bring_up().await;
    run_through(&daemon, AT_ONCE).await;
    let idle = resident_bytes();

    run_through(&daemon, TASKS).await;
    let full = resident_bytes() - idle;
    run_through(&daemon, 2 * TASKS).await;
    let later = resident_bytes() - idle;
    assert!(later < full + full / 4 + 4 * MIB, "{full} bytes for {TASKS} ended tasks, then {later}");

    daemon.control.hold(Phase::Decode);
    // One of them gets the slot.
    for _ in 0..=TASKS {
        submit(&daemon).await.unwrap();
    }
    let both = resident_bytes() - idle;
    eprintln!("{} MiB with {TASKS} ended tasks, {} MiB with {TASKS} more that wait", full / MIB, both / MIB);
    assert!(both < 128 * MIB, "{both} bytes for {TASKS} ended and {TASKS} waiting tasks");
    assert!(submit(&daemon).await.is_err(), "the lane is full");
}
