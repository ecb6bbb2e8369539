//! `cargo xtask demo`: from a fresh checkout to a streamed answer, everything it needs on the way
//! included. The daemon is a child of this program and ends with it.
//!
//! ```text
//! packages ─► build ─► starter model ─► daemon ─► ready ─► one task through `llama-orch run`
//!                                         │                     │
//!                     already there: used, left running         ├─ --once: stop the daemon, end
//!                                                               └─ serve until Ctrl-C, stop, end
//! ```

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::daemon::probe::Probe;
use crate::daemon::{self, Config, Daemon, Start};
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::{say, setup, starter};

/// What is asked when the command line does not say.
const PROMPT: &str = "In two sentences: why does a queue make a shared computer feel faster?";
/// Long enough for an answer, short enough for a demonstration.
const MAX_TOKENS: &str = "160";
/// The port of llama-orch.
const PORT: u16 = 6173;

/// `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask this, print the answer, stop the daemon and end. Without it the daemon serves until Ctrl-C.
    #[arg(long, value_name = "PROMPT")]
    once: Option<String>,
    /// How to build. `dev` shares its build with `cargo xtask dev:loop`.
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
    /// The port to serve on, on 127.0.0.1.
    #[arg(long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Back ends of the built-in engine beside the processor: cuda, vulkan, metal, rocm.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    features: Vec<String>,
}

/// A cargo profile.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    /// Builds faster.
    Dev,
    /// Runs faster.
    Release,
}

impl Profile {
    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Runs the demonstration.
///
/// # Errors
/// See [`crate::exit::HELP`].
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let probe = Probe::new(args.port);
    say::step("System packages");
    setup::packages(workspace, interrupts).await?;
    let programs = build(args, workspace, interrupts).await?;
    say::step("Starter model");
    starter::fetch(workspace, interrupts).await?;

    say::step(&format!("Daemon on {}", probe.url()));
    let demo = Demo { args, workspace, programs, probe };
    if demo.probe.finds_ours().await? {
        say::note("orchestratord runs there already: using it, and leaving it running");
        demo.ask(None, interrupts).await?;
        demo.explain();
        return Ok(());
    }
    let start = Start { program: &demo.programs.daemon, name: "orchestratord-demo", config: "", token: None };
    let mut daemon = Daemon::start(&start, &demo.probe, workspace)?;
    let served = demo.serve(&mut daemon, interrupts).await;
    daemon.stop(interrupts).await;
    served
}

/// The two programs, as built.
struct Programs {
    daemon: PathBuf,
    cli: PathBuf,
}

/// What is there once everything is set up.
struct Demo<'a> {
    args: &'a Args,
    workspace: &'a Workspace,
    programs: Programs,
    probe: Probe,
}

impl Demo<'_> {
    /// Everything that happens while the daemon is there.
    async fn serve(&self, daemon: &mut Daemon, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        daemon.wait_until_ready(&self.probe, interrupts).await?;
        self.ask(Some(daemon.config()), interrupts).await?;
        if self.args.once.is_some() {
            return Ok(());
        }
        self.explain();
        say::note("serving until Ctrl-C");
        daemon.wait_until_interrupted(interrupts).await
    }

    /// Submits one task with the command line that users have, its output on this terminal. It has the
    /// configuration of the daemon it talks to: the user's own may name another token.
    async fn ask(&self, config: Option<&Config>, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        let prompt = self.args.once.as_deref().unwrap_or(PROMPT);
        say::step(&format!("llama-orch run {prompt:?}"));
        let mut command = self.workspace.command(&self.programs.cli);
        if let Some(config) = config {
            config.apply(&mut command, daemon::variables());
        }
        command.args(["run", "--stats", "--url", &self.probe.url()]);
        if self.args.once.is_none() {
            command.args(["--max-tokens", MAX_TOKENS]);
        }
        command.arg("--").arg(prompt);
        process::run(command, "llama-orch run", interrupts).await
    }

    /// How to go on from here, with this address and this user's token.
    fn explain(&self) {
        let url = self.probe.url();
        let token = self.probe.token_for_shell();
        say::step("Use it");
        say::note(format_args!("address  {url}"));
        say::note(format_args!("command  {} run \"Why is the sky blue?\"", shown(&self.programs.cli)));
        say::note("curl     submit a task, then read its tokens:");
        for line in [
            format!("TOKEN=\"{token}\""),
            format!("ID=$(curl -s {url}/v1/tasks -H \"Authorization: Bearer $TOKEN\" \\"),
            "  -d '{\"messages\":[{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}]}' \\".to_owned(),
            "  | sed 's/.*\"task_id\": *\"\\([^\"]*\\)\".*/\\1/')".to_owned(),
            format!("curl -sN {url}/v1/tasks/$ID/stream -H \"Authorization: Bearer $TOKEN\""),
        ] {
            say::note(format_args!("         {line}"));
        }
    }
}

async fn build(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<Programs> {
    let folder = workspace.target_dir().await?.join(args.profile.folder());
    let programs = Programs { daemon: folder.join("orchestratord"), cli: folder.join("llama-orch") };
    say::step("Build");
    if !programs.daemon.exists() {
        say::note(
            "the first build compiles llama.cpp for this machine's own processor and takes some minutes",
        );
    }
    hint_at_gpu(&args.features);
    let features =
        args.features.iter().map(|name| format!("orchestratord/{name}")).collect::<Vec<_>>().join(",");
    let mut words = vec!["build", "--package", "orchestratord", "--package", "llama-orch-cli", "--bins"];
    if matches!(args.profile, Profile::Release) {
        words.push("--release");
    }
    if !features.is_empty() {
        words.extend(["--features", &features]);
    }
    process::run(workspace.cargo(&words), &format!("cargo {}", words.join(" ")), interrupts).await?;
    Ok(programs)
}

fn hint_at_gpu(features: &[String]) {
    if features.is_empty() && in_path("nvidia-smi").is_some() {
        let how = if in_path("nvcc").is_some() { "" } else { " (after installing the CUDA toolkit)" };
        say::note(format_args!("building for the processor; for the NVIDIA card: --features cuda{how}"));
    }
}

/// A path as it is typed from the current folder.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
