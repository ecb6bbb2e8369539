//! A managed engine's process: started in a group of its own, waited for and ended by one keeper task, so
//! that no signal ever goes to a number that may name another process by now, and no zombie is left.
//!
//! The engine is somebody else's program, which does not know its daemon. So that it never outlives it, a
//! shell starts a guard in the same group before it becomes the engine: the guard waits at a pipe whose
//! other end only the daemon holds. When the daemon is gone, however it went, the pipe ends and the guard
//! kills the group. The same guard ends what is left of the group when the engine itself has exited.
//!
//! ```text
//! daemon ──pipe──► guard ─┐ one process group, whose number is the engine's
//!    └──SIGTERM, SIGKILL──┴─► engine and its descendants
//! ```

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use adapter_api::{Device, ExitReason, ReplicaSpec};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use crate::output::{self, Tail};
use crate::tasks;

/// Starts the guard, then becomes the engine. The guard's reading ends with the daemon; it ignores the
/// signals that ask the engine to end.
const GUARDED: &str = "exec 3<&0 </dev/null\n\
    (trap '' TERM INT HUP QUIT; read -r _ <&3; kill -KILL -$$) >/dev/null 2>&1 &\n\
    exec 3<&-\n\
    exec \"$@\"";

/// The exit code of a shell that does not find its program.
const NOT_FOUND: i32 = 127;

/// The exit code of a shell that may not execute its program.
const NOT_EXECUTABLE: i32 = 126;

/// How long the last lines of a dead engine are waited for: a descendant may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The daemon's own token, of which an engine knows nothing.
const TOKEN: &str = "LLAMA_ORCH_TOKEN";

/// What the keeper was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Terminate,
    Kill,
}

/// A managed engine's process. Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Process {
    order: watch::Sender<Order>,
    exit: watch::Receiver<Option<ExitReason>>,
    tail: Tail,
    id: Option<u32>,
    program: String,
}

impl Process {
    /// Starts `argv` with `env` beside the daemon's own variables.
    pub(crate) fn spawn(
        argv: &[String],
        env: &[(String, String)],
        spec: &ReplicaSpec,
    ) -> std::io::Result<Self> {
        let mut command = guarded(argv);
        command
            .envs(visible_devices(&spec.device))
            .envs(env.iter().map(|(name, value)| (name, value)))
            .env_remove(TOKEN);
        let mut child = command.spawn()?;
        let leash = child.stdin.take().expect("piped above");
        let (tail, id) = (Tail::default(), child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = (stdout.expect("piped above"), stderr.expect("piped above"));
        let outputs = [
            tasks::spawn(output::forward(stdout, spec.replica.clone(), tail.clone())),
            tasks::spawn(output::forward(stderr, spec.replica.clone(), tail.clone())),
        ];
        let (order, orders) = watch::channel(Order::Run);
        let (exit_tx, exit) = watch::channel(None);
        tasks::spawn(async move {
            let reason = keep(&mut child, leash, orders).await;
            for output in outputs {
                let abort = output.abort_handle();
                if tokio::time::timeout(LAST_WORDS, output).await.is_err() {
                    abort.abort();
                }
            }
            exit_tx.send_replace(Some(reason));
        });
        Ok(Self { order, exit, tail, id, program: argv.first().cloned().unwrap_or_default() })
    }

    /// Its number, as the system names it.
    pub(crate) fn id(&self) -> Option<u32> {
        self.id
    }

    /// Asks the process group to end.
    pub(crate) fn terminate(&self) {
        self.tell(Order::Terminate);
    }

    /// Kills the process group.
    pub(crate) fn kill(&self) {
        self.tell(Order::Kill);
    }

    /// Resolves when the process is reaped.
    pub(crate) async fn exited(&self) -> ExitReason {
        exit_of(self.watch()).await
    }

    /// For [`exit_of`].
    pub(crate) fn watch(&self) -> watch::Receiver<Option<ExitReason>> {
        self.exit.clone()
    }

    /// How the process ended, for whoever started it: its own last lines with it.
    pub(crate) fn story(&self, exit: &ExitReason) -> String {
        let program = &self.program;
        let what = match exit {
            ExitReason::Code(NOT_FOUND) => format!("`{program}` cannot be found (exit code {NOT_FOUND})"),
            ExitReason::Code(NOT_EXECUTABLE) => {
                format!("`{program}` cannot be executed (exit code {NOT_EXECUTABLE})")
            }
            exit => format!("`{program}` {exit} while it started"),
        };
        self.with_last_lines(what)
    }

    /// `what`, followed by what the engine wrote last.
    pub(crate) fn with_last_lines(&self, what: String) -> String {
        let lines = self.tail.text();
        if lines.is_empty() { what } else { format!("{what}\nits last lines:\n{lines}") }
    }

    fn tell(&self, order: Order) {
        self.order.send_if_modified(|told| {
            let more = order > *told;
            *told = order.max(*told);
            more
        });
    }
}

/// `argv` under its guard, in a group of its own. Its standard input is the guard's leash.
fn guarded(argv: &[String]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GUARDED, "engine"])
        .args(argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Resolves when the process is reaped.
pub(crate) async fn exit_of(mut exit: watch::Receiver<Option<ExitReason>>) -> ExitReason {
    let reason = exit.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    // The keeper only goes without a word when the runtime itself ends.
    reason.unwrap_or(ExitReason::Signal(Signal::KILL.as_raw()))
}

/// Waits for the process and passes the orders on to its group. With the leash the guard is let go, which
/// ends whatever is left of the group.
async fn keep(child: &mut Child, leash: ChildStdin, mut orders: watch::Receiver<Order>) -> ExitReason {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut sent = Order::Run;
    let status = loop {
        let order = tokio::select! {
            status = child.wait() => break status,
            order = next(&mut orders, sent) => order,
        };
        let signal = if order == Order::Kill { Signal::KILL } else { Signal::TERM };
        if let Some(group) = group {
            // It may have died this very moment; it is not reaped yet, so the number is still its own.
            let _ = kill_process_group(group, signal);
        }
        sent = order;
    };
    drop(leash);
    match status {
        Ok(status) => reason_of(status),
        Err(error) => ExitReason::Channel(format!("cannot wait for the engine: {error}")),
    }
}

/// The next order beyond `sent`; a kill, when nobody is left to give one; never, after a kill.
async fn next(orders: &mut watch::Receiver<Order>, sent: Order) -> Order {
    if sent == Order::Kill {
        return std::future::pending().await;
    }
    match orders.wait_for(|order| *order > sent).await {
        Ok(order) => *order,
        Err(_) => Order::Kill,
    }
}

fn reason_of(status: ExitStatus) -> ExitReason {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitReason::Code(code),
        (None, Some(signal)) => ExitReason::Signal(signal),
        (None, None) => ExitReason::Channel(status.to_string()),
    }
}

/// What makes the engine see its own device and no other, unless its own configuration says otherwise. A card
/// whose UUID nobody knows cannot be named: an empty name would hide them all.
fn visible_devices(device: &Device) -> Vec<(&'static str, String)> {
    let cards = match device {
        Device::Gpu { uuid, .. } if uuid.is_empty() => return Vec::new(),
        Device::Gpu { uuid, .. } => uuid.clone(),
        Device::Cpu => "-1".to_owned(),
    };
    vec![
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES", cards.clone()),
        ("ROCR_VISIBLE_DEVICES", cards),
    ]
}

#[cfg(test)]
mod tests;
