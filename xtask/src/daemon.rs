//! A daemon of a command's own: a child that ends with this program, whatever ends it. Its log goes to a
//! file, so that the command has the terminal to itself. It serves what its own configuration says: the
//! user's is not seen, but for where models are kept and what the token is.

pub mod probe;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use crate::exit::{self, Stop};
use crate::process::{self, Ended, GRACE, Group, Interrupt, Interrupts, Workspace};
use crate::say::{self, Waiting};

use probe::Probe;

/// How often the daemon is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A model that is not loaded by then never will be.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// Lines of the log shown when the daemon fails.
const LOG_LINES: usize = 20;
/// The hidden command that runs a program which is not to outlive this one.
pub const GUARD: &str = "run-while-parent-lives";

/// Variables of the daemon that its environment keeps: where the model is that was fetched for it, and the
/// token that its user knows.
const KEPT: [&str; 3] = ["LLAMA_ORCH_MODELS", "LLAMA_ORCH_MODELS_DIR", "LLAMA_ORCH_TOKEN"];

/// A configuration of its own, for the daemon and for what talks to it.
pub struct Config {
    file: PathBuf,
}

impl Config {
    /// Writes it; an empty one stands for none: with a file named, none is searched for.
    fn write(file: PathBuf, text: &str) -> anyhow::Result<Self> {
        std::fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(Self { file })
    }

    /// Hides the user's own configuration, whose variables are among `names`, from a program.
    pub fn apply(&self, command: &mut Command, names: impl IntoIterator<Item = OsString>) {
        for name in names {
            let is_option = name.to_str().is_some_and(|name| name.starts_with("LLAMA_ORCH_"));
            if is_option && !KEPT.iter().any(|kept| name == *kept) {
                command.env_remove(name);
            }
        }
        command.env("LLAMA_ORCH_CONFIG", &self.file);
    }
}

/// The names of this program's environment.
pub fn variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// A running daemon.
pub struct Daemon {
    group: Group,
    log: PathBuf,
    config: Config,
}

/// What is started.
pub struct Start<'a> {
    /// The daemon's program. Its log and its configuration lie beside it.
    pub program: &'a Path,
    /// What those files are called.
    pub name: &'a str,
    /// Its configuration, in YAML.
    pub config: &'a str,
    /// Its API token; the user's own when absent.
    pub token: Option<&'a str>,
}

impl Daemon {
    /// Starts it.
    pub fn start(start: &Start<'_>, probe: &Probe, workspace: &Workspace) -> anyhow::Result<Self> {
        let Start { program, name, config, token } = *start;
        let folder = program.parent().context("the daemon's file is in no folder")?;
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        let config = Config::write(folder.join(format!("{name}.yaml")), config)?;
        let mut command = workspace.command(own_program()?);
        config.apply(&mut command, variables());
        command.envs(token.map(|token| ("LLAMA_ORCH_TOKEN", token)));
        command
            .args([GUARD, &std::process::id().to_string()])
            .arg(program)
            .env("LLAMA_ORCH_LISTEN", probe.address().to_string())
            .stdout(file.try_clone().context("cannot share the log")?)
            .stderr(file);
        let group = Group::spawn(command)?;
        say::note(format_args!("orchestratord runs as process {}; its log: {}", group.id(), log.display()));
        Ok(Self { group, log, config })
    }

    /// What its configuration is.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Resolves when `/health` answers 200, showing what it waits for.
    pub async fn wait_until_ready(
        &mut self,
        probe: &Probe,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<()> {
        let mut waiting = Waiting::new();
        let mut asking = tokio::time::interval(ASK_EVERY);
        asking.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let limit = tokio::time::sleep(READY_LIMIT);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                status = self.group.wait() => return Err(self.failed(&format!("ended with {}", status?))),
                why = interrupts.next() => return Err(Stop::error(why.code(), "")),
                () = &mut limit => return Err(self.failed("is not ready yet, and the wait for it is over")),
                _ = asking.tick() => match probe.health().await {
                    Some(health) if health.is_ready() => break,
                    Some(health) if health.is_hopeless() => {
                        return Err(self.failed(&format!("cannot serve: {}", health.in_words())));
                    }
                    Some(health) => waiting.says(&health.in_words()),
                    None => waiting.says("waiting for it to listen"),
                },
            }
        }
        say::note(format_args!("ready after {}", say::seconds(waiting.done())));
        Ok(())
    }

    /// Resolves at Ctrl-C, which is how a demonstration ends; any other end is an error.
    pub async fn wait_until_interrupted(&mut self, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        tokio::select! {
            status = self.group.wait() => Err(self.failed(&format!("ended with {}", status?))),
            why = interrupts.next() => match why {
                Interrupt::CtrlC => Ok(()),
                Interrupt::Hangup | Interrupt::Terminate => Err(Stop::error(why.code(), "")),
            },
        }
    }

    /// Ends it in order and awaits that; a second interrupt kills it.
    pub async fn stop(self, interrupts: &mut Interrupts) {
        say::step("Stopping the daemon (Ctrl-C kills it)");
        match self.group.stop(GRACE, interrupts).await {
            Ended::InOrder => say::note("it has ended"),
            Ended::Killed => say::note(format_args!("it was killed; its log: {}", self.log.display())),
        }
    }

    fn failed(&self, what: &str) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        Stop::error(
            exit::DAEMON,
            format!(
                "orchestratord {what}; the end of its log ({}):\n{}",
                self.log.display(),
                last_lines(&log)
            ),
        )
    }
}

/// A command that asks a daemon, and what it is called.
pub struct Ask {
    /// The step, as it is shown.
    pub name: &'static str,
    /// The command.
    pub command: Command,
}

/// Starts a daemon on a free port, runs the commands that ask it one after the other, and stops it however they went.
///
/// # Errors
/// When it does not become ready, or a command fails: that one says `rerun`.
pub async fn ask(
    start: &Start<'_>,
    asks: impl FnOnce(&Probe) -> Vec<Ask>,
    rerun: &str,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let probe = Probe::on_a_free_port()?;
    let mut daemon = Daemon::start(start, &probe, workspace)?;
    let asked = async {
        daemon.wait_until_ready(&probe, interrupts).await?;
        for ask in asks(&probe) {
            say::step(ask.name);
            process::run(ask.command, rerun, interrupts).await?;
        }
        anyhow::Ok(())
    }
    .await;
    daemon.stop(interrupts).await;
    asked
}

/// This program. A build that it has run may have put another one in its place, and on Linux it can be started all
/// the same.
fn own_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().context("this program has no file")
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Becomes `program`, after asking the system to end it when the parent does: not even `kill -9` on the
/// parent leaves a daemon behind.
///
/// # Errors
/// When the program cannot be run. Otherwise it does not return.
pub fn run_while_parent_lives(parent: u32, program: &Path, args: &[String]) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot ask for the parent's end")?;
    // The parent may have ended before the question was asked.
    anyhow::ensure!(std::os::unix::process::parent_id() == parent, "the parent has ended");
    let error = std::process::Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot start `{}`", program.display()))
}

#[cfg(test)]
mod tests;
