//! The worker's process: spawned in a group of its own, waited for and killed by one keeper task, so that
//! no signal ever goes to a number that may name another process by now, and no zombie is left.
//!
//! Rules: ORCH-SHAPE-1, ORCH-SHAPE-2, ORCH-DEV-2

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use engine_api::{Device, ExitReason, ReplicaSpec};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::stderr::{self, Tail};
use crate::tasks;

/// How long the last lines of a dead worker are waited for: a descendant may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Secrets of the daemon that a worker has no use for.
const SECRETS: [&str; 3] = ["LLAMA_ORCH_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];

/// The variable in which a worker reads the least level of its log.
const LOG_LEVEL: &str = "LLAMA_ORCH_WORKER_LOG";

/// How long a computing thread of the worker spins before it sleeps when it waits for the others, in turns
/// of GNU's OpenMP library, which reads it when it is loaded. Its own default of 300,000 is so long that one
/// busy process on the same cores makes every wait last a whole time slice: a decode step then takes a
/// hundred times as long. Measured on two cores: 100 costs a quiet machine half its speed at one stream,
/// from 300 on there is no difference; beside busy processes less is better.
const SPIN: (&str, &str) = ("GOMP_SPINCOUNT", "500");

/// The variables by which a user has said how threads wait.
const SPIN_IS_SET_BY: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// A worker's process. Dropping it kills the worker.
#[derive(Debug)]
pub(crate) struct Process {
    kill: watch::Sender<bool>,
    exit: watch::Receiver<Option<ExitReason>>,
    tail: Tail,
    id: Option<u32>,
}

impl Process {
    /// Starts the worker with `channel` as its standard input.
    pub(crate) fn spawn(
        program: &Path,
        args: &[OsString],
        channel: OwnedFd,
        spec: &ReplicaSpec,
    ) -> std::io::Result<Self> {
        // The command owns our copy of the worker's end and is dropped here: with it open, the death of the
        // worker would never be an end-of-file.
        let mut child = command(program, args, channel, &spec.device).spawn()?;
        let (tail, id) = (Tail::default(), child.id());
        let log = child.stderr.take().expect("piped above");
        let forward = tasks::spawn(stderr::forward(log, spec.replica.clone(), tail.clone()));
        let (kill, orders) = watch::channel(false);
        let (exit_tx, exit) = watch::channel(None);
        tasks::spawn(async move {
            let reason = keep(&mut child, orders).await;
            let abort = forward.abort_handle();
            if tokio::time::timeout(LAST_WORDS, forward).await.is_err() {
                abort.abort();
            }
            exit_tx.send_replace(Some(reason));
        });
        Ok(Self { kill, exit, tail, id })
    }

    /// Its number, as the system names it.
    pub(crate) fn id(&self) -> Option<u32> {
        self.id
    }

    /// Kills the worker's process group.
    pub(crate) fn kill(&self) {
        self.kill.send_replace(true);
    }

    /// Resolves when the worker is reaped.
    pub(crate) async fn exited(&self) -> ExitReason {
        let mut exit = self.exit.clone();
        let reason = exit.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        // The keeper only goes without a word when the runtime itself ends.
        reason.unwrap_or(ExitReason::Signal(Signal::KILL.as_raw()))
    }

    /// The last lines the worker wrote to its standard error.
    pub(crate) fn last_lines(&self) -> String {
        self.tail.text()
    }
}

fn command(program: &Path, args: &[OsString], channel: OwnedFd, device: &Device) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::from(channel))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .env(LOG_LEVEL, log_level())
        .envs(visible_devices(device))
        .envs(spin(|name| std::env::var_os(name).is_some()));
    for secret in SECRETS {
        command.env_remove(secret);
    }
    command
}

/// How threads are to wait, unless the user has said so.
fn spin(is_set: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    (!SPIN_IS_SET_BY.into_iter().any(is_set)).then_some(SPIN)
}

/// Waits for the child and kills its group when told to, or when nobody holds the process any more.
async fn keep(child: &mut Child, mut orders: watch::Receiver<bool>) -> ExitReason {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let status = tokio::select! {
        status = child.wait() => status,
        () = told_to_kill(&mut orders) => {
            if let Some(group) = group {
                // It may have died this very moment; it is not reaped yet, so the number is still its own.
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait().await
        }
    };
    match status {
        Ok(status) => reason_of(status),
        Err(error) => ExitReason::Channel(format!("cannot wait for the worker: {error}")),
    }
}

/// Resolves at the order, and when nobody is left to give it.
async fn told_to_kill(orders: &mut watch::Receiver<bool>) {
    let _ = orders.wait_for(|kill| *kill).await;
}

fn reason_of(status: ExitStatus) -> ExitReason {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitReason::Code(code),
        (None, Some(signal)) => ExitReason::Signal(signal),
        (None, None) => ExitReason::Channel(status.to_string()),
    }
}

/// What the worker is to write: what the daemon's log takes of it, and at least what it did last, which is
/// what is told of a worker that dies.
fn log_level() -> &'static str {
    if tracing::enabled!(target: stderr::TARGET, tracing::Level::DEBUG) { "debug" } else { "info" }
}

/// What makes the worker see its own device and no other. Cards are named by their UUID, which survives a
/// card being added; the order is set for whoever counts all the same. A card whose UUID nobody knows cannot
/// be named: an empty name would hide them all.
fn visible_devices(device: &Device) -> Vec<(&'static str, String)> {
    let cards = match device {
        Device::Gpu { uuid, .. } if uuid.is_empty() => return Vec::new(),
        Device::Gpu { uuid, .. } => uuid.clone(),
        Device::Cpu => "-1".to_owned(),
    };
    let mut vars = vec![
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES", cards.clone()),
        ("ROCR_VISIBLE_DEVICES", cards),
    ];
    if *device == Device::Cpu {
        // Vulkan takes numbers of its own order only: none can be given for a card, but all can be hidden.
        vars.push(("GGML_VK_VISIBLE_DEVICES", String::new()));
    }
    vars
}

#[cfg(test)]
mod tests;
