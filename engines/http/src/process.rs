//! A managed engine's process: started in a group of its own, waited for and ended by one keeper task, so
//! that no signal ever goes to a number that may name another process by now, and no zombie is left.
//!
//! The engine is somebody else's program, which does not know its daemon. So that it never outlives it, a
//! shell starts a guard in the same group before it becomes the engine: the guard waits at a pipe whose
//! other end only the daemon holds. When the daemon is gone, however it went, the pipe ends and the guard
//! ends the engine: it runs the stop command, where there is one, and kills the engine's family. The same guard ends
//! what is left of the family when the engine itself has exited.
//!
//! ```text
//! daemon ──pipe──► guard ─┐ one process group, whose number is the engine's
//!    └──SIGTERM, SIGKILL──┴─► engine and its descendants: its family, see [`crate::family`]
//! ```
//!
//! Rules: ORCH-ENG-2, ORCH-ENG-3, ORCH-ENG-23, ORCH-ENG-24, ORCH-ENG-35

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use engine_api::{Device, ExitReason, ReplicaSpec};
use futures_core::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

use crate::family::Family;
use crate::output::{self, Tail};
use crate::tasks;

/// Starts the guard, then becomes the engine. The guard's reading ends with the daemon; it ignores the
/// signals that ask the engine to end. Its arguments: the family's mark, its cgroup or nothing, how many words the stop
/// command has, the stop command, the engine's command.
const GUARDED: &str = r#"
mark=$1 cgroup=$2 stop=$3; shift 3
[ -z "$cgroup" ] || { echo 0 >"$cgroup/cgroup.procs"; } 2>/dev/null
exec 3<&0 </dev/null
(
    trap '' TERM INT HUP QUIT
    read -r word <&3
    if [ "$word" != ended ] && [ "$stop" -gt 0 ]; then
        (
            at=0 words=$#
            while [ $at -lt $words ]; do
                word=$1; shift
                [ $at -ge "$stop" ] || set -- "$@" "$word"
                at=$((at + 1))
            done
            "$@"
        )
    fi
    [ -z "$cgroup" ] || echo 1 >"$cgroup/cgroup.kill"
    for process in /proc/[0-9]*; do
        tr '\0' '\n' <"$process/environ" | grep -qxF "LLAMA_ORCH_ENGINE=$mark" && kill -KILL "${process#/proc/}"
    done
    kill -KILL -$$
) >/dev/null 2>&1 &
exec 3<&-
shift "$stop"
LLAMA_ORCH_ENGINE=$mark
export LLAMA_ORCH_ENGINE
exec "$@"
"#;

/// What the guard is told over the pipe when the daemon has ended the engine itself.
const ENDED: &[u8] = b"ended\n";

/// How long a stop command is waited for once the engine's own process has ended.
const STOP_COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// The exit code of a shell that does not find its program.
const NOT_FOUND: i32 = 127;

/// What the loader of programs says then.
const MISSING_LIBRARY: &str = "error while loading shared libraries";

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
    /// Starts `argv` with `env` beside the daemon's own variables. What `stop` is made of is run when it has to end.
    pub(crate) fn spawn(
        argv: &[String],
        env: &[(String, String)],
        stop: &[String],
        spec: &ReplicaSpec,
    ) -> std::io::Result<Self> {
        let family = Family::new();
        let mut command = guarded(argv, stop, &family);
        command.envs(env.iter().map(|(name, value)| (name, value))).env_remove(TOKEN);
        let stop = StopCommand::new(stop, env);
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
            let reason = keep(&mut child, orders, stop).await;
            end_family(family, leash).await;
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
            ExitReason::Code(NOT_FOUND) => self.what_was_not_found(),
            ExitReason::Code(NOT_EXECUTABLE) => {
                format!("`{program}` cannot be executed (exit code {NOT_EXECUTABLE})")
            }
            exit => format!("`{program}` {exit} while it started"),
        };
        self.with_last_lines(what)
    }

    /// What exit code 127 stands for: the shell that starts the engine says it of the program itself, the loader of
    /// programs of a library, and a script of what it calls.
    fn what_was_not_found(&self) -> String {
        let (program, lines) = (&self.program, self.tail.text());
        if lines.contains(MISSING_LIBRARY) {
            return format!(
                "`{program}` needs a shared library that is not here (exit code {NOT_FOUND}): install it, or name its \
                 folder in `LD_LIBRARY_PATH` of `server.env`"
            );
        }
        let is_program = lines.is_empty() || lines.contains(&format!("exec: {program}: not found"));
        if is_program {
            format!("`{program}` cannot be found (exit code {NOT_FOUND})")
        } else {
            format!("`{program}` ended with exit code {NOT_FOUND}: something that it calls cannot be found")
        }
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
fn guarded(argv: &[String], stop: &[String], family: &Family) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GUARDED, "engine", family.mark()])
        .arg(family.cgroup().unwrap_or_else(|| Path::new("")))
        .arg(stop.len().to_string())
        .args(stop)
        .args(argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Ends what the engine left behind, and lets the guard go.
async fn end_family(family: Family, mut leash: ChildStdin) {
    // A guard that was killed with the group needs no word.
    let _ = leash.write_all(ENDED).await;
    drop(leash);
    family.end().await;
}

/// What ends an engine that its own process does not answer for: a container, a service.
struct StopCommand {
    command: Option<Command>,
    running: Option<BoxFuture<'static, ()>>,
}

impl StopCommand {
    fn new(argv: &[String], env: &[(String, String)]) -> Self {
        let command = argv.split_first().map(|(program, arguments)| {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .envs(env.iter().map(|(name, value)| (name, value)))
                .env_remove(TOKEN)
                .stdin(Stdio::null())
                .process_group(0)
                .kill_on_drop(true);
            command
        });
        Self { command, running: None }
    }

    /// Begins, where there is one and it has not begun. Says whether it runs.
    fn begin(&mut self) -> bool {
        if let Some(mut command) = self.command.take() {
            self.running = Some(Box::pin(async move {
                match command.output().await {
                    Ok(output) if output.status.success() => {}
                    Ok(output) => {
                        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                        tracing::warn!(status = %output.status, said, "the stop command of an engine failed");
                    }
                    Err(error) => tracing::warn!(%error, "the stop command of an engine cannot be run"),
                }
            }));
        }
        self.running.is_some()
    }

    /// Resolves when it has ended; never, where none runs.
    async fn ended(&mut self) {
        match &mut self.running {
            Some(running) => running.await,
            None => std::future::pending().await,
        }
        self.running = None;
    }
}

/// Resolves when the process is reaped.
pub(crate) async fn exit_of(mut exit: watch::Receiver<Option<ExitReason>>) -> ExitReason {
    let reason = exit.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    // The keeper only goes without a word when the runtime itself ends.
    reason.unwrap_or(ExitReason::Signal(Signal::KILL.as_raw()))
}

/// Waits for the process and passes the orders on to its group: a stop command goes first, and is run in the end
/// whatever ended the process.
async fn keep(child: &mut Child, mut orders: watch::Receiver<Order>, mut stop: StopCommand) -> ExitReason {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let send = |signal| {
        if let Some(group) = group {
            // It may have died this very moment; it is not reaped yet, so the number is still its own.
            let _ = kill_process_group(group, signal);
        }
    };
    let mut sent = Order::Run;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            order = next(&mut orders, sent) => {
                let stops = stop.begin();
                sent = order;
                match order {
                    Order::Kill => send(Signal::KILL),
                    Order::Terminate if stops => {}
                    Order::Terminate | Order::Run => send(Signal::TERM),
                }
            }
            () = stop.ended() => send(Signal::TERM),
        }
    };
    if stop.begin() {
        // Dropped, it is killed.
        let _ = tokio::time::timeout(STOP_COMMAND_LIMIT, stop.ended()).await;
    }
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

/// What makes the engine see its own device and no other, unless its own configuration says otherwise. A card whose
/// UUID nobody knows is named by its place in PCI order.
pub(crate) fn visible_devices(device: &Device) -> Vec<(String, String)> {
    let cards = match device {
        Device::Gpu { uuid, index } if uuid.is_empty() => index.to_string(),
        Device::Gpu { uuid, .. } => uuid.clone(),
        Device::Cpu => "-1".to_owned(),
    };
    [("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", &cards), ("ROCR_VISIBLE_DEVICES", &cards)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests;
