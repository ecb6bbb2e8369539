//! The types of the wire and the client, generated from OpenAPI by `openapi-gen`. That is a program of its
//! own, so that the other commands start without compiling a code generator.

use anyhow::ensure;

use crate::process::{self, Interrupts, Workspace};

/// The generator.
const GENERATOR: &str = "openapi-gen";

/// What to do about files that differ from what would be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write them.
    Write,
    /// Fail, naming them.
    Check,
}

/// Generates. `selection` is what cargo selects packages and features with, so that a caller that builds
/// more than this shares what is compiled here.
///
/// # Errors
/// When it cannot be built, the contract makes no sense, or a file is stale under [`Mode::Check`].
pub async fn openapi(
    mode: Mode,
    selection: &[&str],
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let words = [&["build"], selection, &["--bin", GENERATOR]].concat();
    process::run(workspace.cargo(&words), &format!("cargo {}", words.join(" ")), interrupts).await?;
    let program = workspace.target_dir().await?.join("debug").join(GENERATOR);
    ensure!(program.exists(), "cargo built no `{}`", program.display());
    let mut command = workspace.command(program);
    let rerun = match mode {
        Mode::Write => "cargo xtask regen-openapi",
        Mode::Check => {
            command.arg("--check");
            "cargo xtask regen-openapi --check"
        }
    };
    process::run(command, rerun, interrupts).await
}

/// Writes the pact: the tests that hold it do, when they are told to.
///
/// # Errors
/// When the client does something else than the pact's interactions say.
pub async fn pact(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let words =
        ["test", "--package", "consumer-tests", "--test", "orchqueue_pact", "the_pact_in_the_repository"];
    let mut command = workspace.cargo(words);
    command.env("LLAMA_ORCH_REGEN_PACT", "1");
    process::run(command, "cargo xtask regen-pact", interrupts).await
}
