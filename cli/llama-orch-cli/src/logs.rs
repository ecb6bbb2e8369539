//! `logs`: what the daemon of this machine has logged, from where it logs to: the file that its configuration
//! names, or the journal of its unit.
//!
//! Rules: ORCH-CLI-13

use std::io;
use std::process::{Command, Stdio};

use config_schema::{LoadRequest, load};

use crate::args::LogsArgs;
use crate::context::Stop;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

mod file;

/// The unit that the files in `packaging/systemd` install.
const UNIT: &str = "llama-orch.service";

/// Shows it.
///
/// # Errors
/// The daemon logs to neither, what it logs to cannot be read, or nobody reads.
pub fn logs(ui: &mut Ui, args: &LogsArgs) -> Result<Exit, Stop> {
    let request = LoadRequest::of_process(None, Vec::new())
        .map_err(|error| Failure::new(Exit::Failed, format!("the working folder is gone: {error}")))?;
    // What is wrong with the configuration is for `doctor` to say: the journal can be read without it.
    let named = load(&request).ok().and_then(|loaded| loaded.config.log.file);
    if let Some(path) = named {
        return file::show(ui, &path, args);
    }
    for scope in [Scope::User, Scope::System] {
        if scope.has_unit() {
            return show_journal(scope, args);
        }
    }
    Err(Failure::new(Exit::Refused, "the daemon of this machine logs neither to a file nor to the journal")
        .hint("it logs to the standard error of the terminal that it was started in; set `log.file` in llama-orch.yaml for a file, or install the systemd unit; in a container `docker logs` shows it")
        .into())
}

/// Whose units.
#[derive(Clone, Copy)]
enum Scope {
    User,
    System,
}

impl Scope {
    const fn flag(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    fn has_unit(self) -> bool {
        let asked = Command::new("systemctl")
            .args([self.flag(), "show", "--property=LoadState", "--value", UNIT])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        asked.is_ok_and(|answer| answer.stdout.trim_ascii() == b"loaded")
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
