//! `cargo xtask clients`: the official client libraries, unmodified, against the daemon with the real model.
//! The daemon is the one of the dev profile, whose llama.cpp the other steps of the loop have built.

use std::path::PathBuf;

use crate::daemon::probe::Probe;
use crate::daemon::{self, Ask, Start};
use crate::process::{self, Interrupts, Workspace};
use crate::{python, starter};

/// The libraries.
const PACKAGES: [&str; 2] = ["openai==3.54.0", "anthropic==2.12.0"];

/// Where their tests are.
const TESTS: &str = "test-harness/clients";

/// The token of the daemon that is asked.
const TOKEN: &str = "a-token-for-client-libraries";

/// One slot and a short queue, so that a test can fill them.
const CONFIG: &str = "queue:\n  interactive: 2\n  batch: 8\npools:\n  - id: default\n    model: starter\n    slots: 1\n    ctx: 2048\n";

/// What builds the daemon: the selection of the loop's tests, with which llama.cpp is built once.
const BUILD: [&str; 3] = ["build", "--workspace", "--all-targets"];

/// `cargo xtask clients`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Ask this executable instead of building one.
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

/// Runs the tests of all libraries.
///
/// # Errors
/// When a test fails, and when something that they need cannot be had.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let programs = python::environment("clients", &PACKAGES, workspace, interrupts).await?;
    starter::fetch(workspace, interrupts).await?;
    let program = match &args.daemon {
        Some(program) => program.clone(),
        None => {
            process::run(workspace.cargo(BUILD), "cargo build --workspace --all-targets", interrupts).await?;
            workspace.target_dir().await?.join("debug/orchestratord")
        }
    };
    let start =
        Start { program: &program, name: "orchestratord-clients", config: CONFIG, token: Some(TOKEN) };
    let tests = |probe: &Probe| {
        let mut tests = workspace.command(programs.join("python"));
        tests.args(["-m", "unittest", "discover", "--verbose", "--start-directory"]);
        tests.arg(workspace.root.join(TESTS)).env("PYTHONDONTWRITEBYTECODE", "1");
        tests.env("LLAMA_ORCH_URL", probe.url()).env("LLAMA_ORCH_TOKEN", TOKEN);
        vec![Ask { name: "Client libraries", command: tests }]
    };
    daemon::ask(&start, tests, "cargo xtask clients", workspace, interrupts).await
}
