//! `cargo xtask bench`: the figures that the changelog and the notes speak of. Benches measure; nothing
//! in the tests depends on a time.

use crate::process::{self, Interrupts, Workspace};
use crate::{say, setup, starter};

/// The engine's bench. The programs are selected beside it so that llama.cpp is the one that
/// `cargo xtask demo` built.
const ENGINE: [&str; 10] = [
    "bench",
    "--package",
    "worker-llamacpp",
    "--package",
    "orchestratord",
    "--package",
    "llama-orch-cli",
    "--bench",
    "engine",
    "--",
];

/// `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the decisions of the queue: builds without llama.cpp.
    #[arg(long)]
    core_only: bool,
    /// Passed on to the engine's bench.
    #[arg(last = true)]
    engine_args: Vec<String>,
}

/// Runs the benches, one after the other, each alone on the machine.
///
/// # Errors
/// When one cannot be built or run.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    say::step("Admission decision by queue depth");
    cargo(&["bench", "--package", "orchestrator-core", "--bench", "admission"], workspace, interrupts)
        .await?;
    say::step("Predicted starts and `Retry-After` over replayed traces, in simulated time");
    cargo(&["bench", "--package", "orchestrator-core", "--bench", "replay"], workspace, interrupts).await?;
    if args.core_only {
        return Ok(());
    }
    say::step("Built-in engine: tokens/s and time between tokens by number of streams");
    setup::packages(workspace, interrupts).await?;
    starter::fetch(workspace, interrupts).await?;
    let words: Vec<&str> = ENGINE.into_iter().chain(args.engine_args.iter().map(String::as_str)).collect();
    cargo(&words, workspace, interrupts).await
}

async fn cargo(words: &[&str], workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    process::run(workspace.cargo(words), &format!("cargo {}", words.join(" ")), interrupts).await
}
