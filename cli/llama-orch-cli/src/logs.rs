//! `logs`: what the daemon has logged, from where that is: the file that the configuration of this machine names, the
//! journal of its unit, or the daemon itself, which keeps its last lines.
//!
//! ```text
//! another machine ───────────────────────────────────────────────► the daemon
//! this one    log.file ──no──► a unit that runs ──no──► the daemon ──silent──► a unit that does not run
//! ```
//!
//! Rules: ORCH-CLI-13

use std::io;
use std::process::{Command, Stdio};

use config_schema::{LoadRequest, load};

use crate::api::{Api, ApiError};
use crate::args::{Global, LogsArgs};
use crate::connection::{Connection, Host};
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::ui::Ui;

mod daemon;
mod file;

/// The unit that the files in `packaging/systemd` install.
const UNIT: &str = "llama-orch.service";

/// Shows what can be read without the daemon: nothing where the daemon is to be asked. Before the signals are listened
/// for: a file is read until the signal ends the program.
///
/// # Errors
/// What it logs to cannot be read, or nobody reads.
pub fn local(ui: &mut Ui, global: &Global, args: &LogsArgs) -> Result<Option<Exit>, Stop> {
    if Connection::find(global)?.host == Host::Other {
        return Ok(None);
    }
    let request = LoadRequest::of_process(None, Vec::new())
        .map_err(|error| Failure::new(Exit::Failed, format!("the working folder is gone: {error}")))?;
    // What is wrong with the configuration is for `doctor` to say: the journal can be read without it.
    let named = load(&request).ok().and_then(|loaded| loaded.config.log.file);
    if let Some(path) = named {
        return file::show(ui, &path, args).map(Some);
    }
    match Scope::ALL.into_iter().find(|scope| scope.unit() == Unit::Runs) {
        Some(scope) => show_journal(scope, args).map(Some),
        None => Ok(None),
    }
}

/// Shows what the daemon itself has kept, or the journal of a unit that ran before.
///
/// # Errors
/// There is no daemon and no unit, the daemon does not take the token, a signal came, or nobody reads.
pub async fn of_daemon(
    ui: Ui,
    interrupts: Interrupts,
    global: &Global,
    args: &LogsArgs,
) -> Result<(Ui, Exit), (Ui, Stop)> {
    let api = match Connection::find(global).and_then(Api::new) {
        Ok(api) => api,
        Err(failure) => return Err((ui, failure.into())),
    };
    let mut cx = Context { api, ui, interrupts };
    let shown = match daemon::show(&mut cx, args).await {
        Ok(exit) => Ok(exit),
        Err(daemon::Missing::Stop(stop)) => Err(stop),
        Err(daemon::Missing::Daemon(error)) => instead(&cx, args, error),
    };
    match shown {
        Ok(exit) => Ok((cx.ui, exit)),
        Err(stop) => Err((cx.ui, stop)),
    }
}

/// What there is where the daemon does not answer.
fn instead(cx: &Context, args: &LogsArgs, error: ApiError) -> Result<Exit, Stop> {
    if cx.api.host() == Host::This
        && let Some(scope) = Scope::ALL.into_iter().find(|scope| scope.unit() == Unit::Loaded)
    {
        return show_journal(scope, args);
    }
    let url = cx.api.url();
    if !matches!(error, ApiError::Unreachable(_)) {
        return Err(cx.api.failure(error).into());
    }
    let message = format!("no daemon runs at {url}, and none has logged to a file or to the journal");
    Err(Failure::new(Exit::Refused, message)
        .hint("one that has ended took the last lines with it: set `log.file` in llama-orch.yaml for a file, or install the systemd unit; in a container `docker logs` shows it")
        .into())
}

/// Whose units.
#[derive(Clone, Copy)]
enum Scope {
    User,
    System,
}

/// How a unit is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Absent,
    Loaded,
    Runs,
}

impl Scope {
    const ALL: [Self; 2] = [Self::User, Self::System];

    const fn flag(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    fn unit(self) -> Unit {
        let asked = Command::new("systemctl")
            .args([self.flag(), "show", "--property=LoadState,ActiveState", UNIT])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let answer =
            asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned()).unwrap_or_default();
        let has = |line: &str| answer.lines().any(|one| one == line);
        match has("LoadState=loaded") {
            false => Unit::Absent,
            true if has("ActiveState=active") => Unit::Runs,
            true => Unit::Loaded,
        }
    }
}

/// The journal's own program shows it: it knows pagers, colours and rotation.
fn show_journal(scope: Scope, args: &LogsArgs) -> Result<Exit, Stop> {
    let mut journal = Command::new("journalctl");
    journal.args([scope.flag(), "--unit", UNIT, "--lines", &args.lines.to_string()]);
    if args.follow {
        journal.arg("--follow");
    }
    if args.json {
        journal.args(["--output", "json"]);
    }
    let ended = run(&mut journal)
        .map_err(|error| Failure::new(Exit::Failed, format!("`journalctl` cannot be started: {error}")))?;
    match ended {
        Some(0) => Ok(Exit::Done),
        _ => Err(Failure::new(Exit::Failed, "`journalctl` did not show the journal")
            .hint("whoever may read the system's journal is in the group `systemd-journal`")
            .into()),
    }
}

#[cfg(unix)]
fn run(command: &mut Command) -> io::Result<Option<i32>> {
    // In place of this process, so that a signal is the other's alone.
    Err(std::os::unix::process::CommandExt::exec(command))
}

#[cfg(not(unix))]
fn run(command: &mut Command) -> io::Result<Option<i32>> {
    command.status().map(|status| status.code())
}
