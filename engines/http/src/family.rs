//! All processes that descend from one engine, also those that left its process group or its session (`setsid`) or
//! were left behind by a parent that ended. Two things know them: a cgroup of their own, where this user may make one,
//! and a mark in their environment, which a process gets from its parent and which only a program that clears its
//! environment on purpose loses.
//!
//! Rules: ORCH-ENG-23

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that holds the mark.
const VARIABLE: &str = "LLAMA_ORCH_ENGINE";

/// Where version 2 of cgroups is mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// What the names of cgroups begin with.
const PREFIX: &str = "llama-orch-engine-";

/// Looks for marked processes: one that is being started may be missed by the first.
const ROUNDS: u32 = 20;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(5);

/// The processes of one engine. Nothing is ended by dropping it.
#[derive(Debug)]
pub(crate) struct Family {
    mark: String,
    cgroup: Option<PathBuf>,
}

impl Family {
    /// An empty one. Whoever wants to belong to it enters the cgroup and sets the mark.
    pub(crate) fn new() -> Self {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let cgroup = own_cgroup().and_then(|parent| make_cgroup(&parent, &mark));
        Self { mark, cgroup }
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// Kills all of them, and resolves when none is left.
    pub(crate) async fn end(self) {
        for _ in 0..ROUNDS {
            if let Some(cgroup) = &self.cgroup {
                let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
            }
            let mark = self.mark.clone();
            let left = tokio::task::spawn_blocking(move || kill_marked(&mark)).await.unwrap_or_default();
            let removed = self.cgroup.as_ref().is_none_or(|cgroup| is_removed(cgroup));
            if left == 0 && removed {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::warn!("processes of an engine could not be ended");
    }
}

/// The cgroup of this process.
fn own_cgroup() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let places = MOUNTS.iter().map(|mount| Path::new(mount).join(path));
    places.into_iter().find(|place| place.join("cgroup.controllers").exists())
}

/// A cgroup within `parent` whose processes can be killed at once; nothing, where this user may not make one. Those
/// that a daemon left behind which was killed are removed.
fn make_cgroup(parent: &Path, mark: &str) -> Option<PathBuf> {
    for left in std::fs::read_dir(parent).ok()?.filter_map(Result::ok) {
        if left.file_name().to_string_lossy().starts_with(PREFIX) {
            // One with processes in it stays.
            let _ = std::fs::remove_dir(left.path());
        }
    }
    let cgroup = parent.join(format!("{PREFIX}{mark}"));
    std::fs::create_dir(&cgroup).ok()?;
    if cgroup.join("cgroup.kill").exists() {
        return Some(cgroup);
    }
    let _ = std::fs::remove_dir(&cgroup);
    None
}

fn is_removed(cgroup: &Path) -> bool {
    std::fs::remove_dir(cgroup).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
}

/// Kills every process that carries `mark`, and says how many there were.
fn kill_marked(mark: &str) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let wanted = format!("{VARIABLE}={mark}");
    let marked = processes.filter_map(Result::ok).filter_map(|process| {
        let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()).then_some(pid)
    });
    marked.filter(|pid| kill_process(*pid, Signal::KILL).is_ok()).count()
}
