//! Child processes, each in a process group of its own: started, awaited, ended. Whatever ends this
//! program ends them first, so that nothing it started is left behind.
//!
//! ```text
//! spawn ──► running ──exit──────────────────────────────► reaped
//!              └─SIGINT/SIGTERM here──► SIGTERM to the group ──grace or second signal──► SIGKILL
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal as Kill, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Stop;
use crate::say;

/// How long a child may take to end in order: more than the daemon's own limit for it.
pub const GRACE: Duration = Duration::from_secs(40);

/// Variables that `cargo run` sets about this package: they say nothing true of another.
const CARGO_OWN: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// A signal that asks this program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The terminal went away.
    Hangup,
    /// Ctrl-C.
    CtrlC,
    /// `kill`, a supervisor, a CI job's limit.
    Terminate,
}

impl Interrupt {
    /// The exit code, 128 and the signal's number, as a shell has it.
    pub const fn code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::CtrlC => 130,
            Self::Terminate => 143,
        }
    }
}

/// The signals that ask this program to end.
pub struct Interrupts {
    hangup: Signal,
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From here on they no longer end the program by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            hangup: open(SignalKind::hangup())?,
            ctrl_c: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.hangup.recv() => Interrupt::Hangup,
            _ = self.ctrl_c.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Terminate,
        }
    }

    /// Runs `work` to its end unless an interrupt comes first, which drops it.
    pub async fn guard<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::select! {
            done = work => Ok(done),
            why = self.next() => Err(Stop::error(why.code(), "")),
        }
    }
}

/// How the end of a group went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It had ended already, or did so when asked.
    InOrder,
    /// It had to be killed.
    Killed,
}

/// A running child and everything it started in its process group. Dropping it kills the group.
pub struct Group {
    child: Child,
    pid: Pid,
    reaped: bool,
}

impl Group {
    /// Starts `command` in a process group of its own, with nothing to read.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let name = command.as_std().get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", name.display()))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the child has no id")?;
        Ok(Self { child, pid, reaped: false })
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Resolves when it has ended.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let status = self.child.wait().await.context("cannot wait for a child")?;
        self.reaped = true;
        Ok(status)
    }

    /// Ends it: asks the group, waits `grace`, kills. Another interrupt kills at once.
    pub async fn stop(mut self, grace: Duration, interrupts: &mut Interrupts) -> Ended {
        if self.reaped {
            return Ended::InOrder;
        }
        self.signal(Kill::TERM);
        let in_order = tokio::select! {
            status = self.child.wait() => status.is_ok(),
            () = tokio::time::sleep(grace) => false,
            _ = interrupts.next() => false,
        };
        // Also after an orderly end of the leader: whatever it left in the group goes with it.
        self.signal(Kill::KILL);
        self.reaped = in_order || self.child.wait().await.is_ok();
        if in_order { Ended::InOrder } else { Ended::Killed }
    }

    fn signal(&self, signal: Kill) {
        // A group that is gone meanwhile is what was wanted.
        let _gone = kill_process_group(self.pid, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Kill::KILL);
        }
    }
}

/// The checkout that the commands work on.
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
}

impl Workspace {
    /// The one this program was built from.
    pub fn find() -> anyhow::Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = here.parent().context("xtask's folder has no parent")?.to_owned();
        Ok(Self { root })
    }

    /// A command in the root folder.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| CARGO_OWN.iter().any(|own| name.starts_with(own))) {
                command.env_remove(name);
            }
        }
        command
    }

    /// The cargo that runs this program.
    pub fn cargo<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// The folder cargo builds into, whatever its config says.
    pub async fn target_dir(&self) -> anyhow::Result<PathBuf> {
        let output = self
            .cargo(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .await
            .context("cannot start cargo")?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` did not answer in JSON")?;
        let folder =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target folder")?;
        Ok(PathBuf::from(folder))
    }

    /// The files that git tracks or would: what the repository's own rules are checked on. Relative to
    /// the root, with `/`, sorted.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        list_files(&self.root)
    }
}

/// The files of the git checkout at `root`, tracked and untracked, without the ignored and the deleted.
pub fn list_files(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    anyhow::ensure!(
        output.status.success(),
        "`git ls-files` failed in {}: {}",
        root.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let mut files: Vec<String> =
        text.split_terminator('\0').filter(|name| root.join(name).is_file()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Runs a command to its end, its output on this terminal. A status other than 0 is an error that says
/// `rerun`.
pub async fn run(command: Command, rerun: &str, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let mut group = Group::spawn(command)?;
    let status = tokio::select! {
        status = group.wait() => status?,
        why = interrupts.next() => {
            say::note("ending what is running; once more kills it");
            let _how = group.stop(GRACE, interrupts).await;
            return Err(Stop::error(why.code(), ""));
        }
    };
    anyhow::ensure!(status.success(), "`{rerun}` failed ({status})");
    Ok(())
}

/// Where a program of this name is, if the PATH has it.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests;
