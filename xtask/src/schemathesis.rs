//! `cargo xtask schemathesis`: the contracts against a release daemon. The daemon is built without the built-in
//! engine, which would be compiled once more for this alone, and serves the starter model through a real
//! `llama-server` that it starts itself.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::daemon::probe::Probe;
use crate::daemon::{self, Ask, Start};
use crate::process::{self, Interrupts, Workspace};
use crate::{llama_server, python, say, starter};

const PACKAGE: &str = "schemathesis==4.32.5";

/// The contracts, in order: whoever asks the OpenAI plane waits for the answer, so it comes before tasks wait; the
/// control plane comes last, because it may retire the model.
const CONTRACTS: [&str; 3] = ["openai.yaml", "data.yaml", "control.yaml"];

/// Seconds that an answer may take: it may be as long as the context.
const REQUEST_LIMIT_S: &str = "90";

/// The token of the daemon that is asked.
const TOKEN: &str = "a-token-for-schemathesis";

/// `cargo xtask schemathesis`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The most examples made up for each operation, beside those of the contract and its bounds
    #[arg(long, default_value_t = EXAMPLES, value_parser = clap::value_parser!(u32).range(1..))]
    examples: u32,
    /// The seed of the examples
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const EXAMPLES: u32 = 15;

/// Runs it, and builds `llama-server` where it is not there.
///
/// # Errors
/// When an answer is not what a contract says, and when something that it needs cannot be had.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    llama_server::build(workspace, interrupts).await?;
    let programs = python::environment("schemathesis", &[PACKAGE], workspace, interrupts).await?;
    starter::fetch(workspace, interrupts).await?;
    let program = build(workspace, interrupts).await?;
    let config = config(&llama_server::program()?);
    let start =
        Start { program: &program, name: "orchestratord-schemathesis", config: &config, token: Some(TOKEN) };
    let fuzzers = |probe: &Probe| {
        let fuzzer = |name| Ask { name, command: fuzzer(args, &programs, name, probe, workspace) };
        CONTRACTS.map(fuzzer).into()
    };
    daemon::ask(&start, fuzzers, "cargo xtask schemathesis", workspace, interrupts).await
}

/// As [`run`] with its defaults; where there is no `llama-server` it says that it is skipped.
///
/// # Errors
/// As [`run`].
pub async fn run_where_an_engine_is(
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    if !llama_server::program()?.is_file() {
        say::note("SKIPPED: there is no llama-server (`cargo xtask llama-server` builds it)");
        return Ok(());
    }
    run(&Args { examples: EXAMPLES, seed: 1 }, workspace, interrupts).await
}

async fn build(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<PathBuf> {
    // A folder of its own: the executable in the usual one has the engine in it.
    let folder = workspace.target_dir().await?.join("without-engine");
    let mut build = workspace.cargo(["build", "--release", "--package", "orchestratord"]);
    build.args(["--no-default-features", "--target-dir"]).arg(&folder);
    // It is asked for answers, not for speed, and optimising across crates is most of a release build.
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(build, "cargo build --release --package orchestratord --no-default-features", interrupts)
        .await?;
    Ok(folder.join("release/orchestratord"))
}

/// Answers are short, also where a request asks for any number of tokens: that is a ceiling, and the context is small.
fn config(server: &Path) -> String {
    let server = server.display();
    format!(
        "pools:\n  - id: default\n    model: starter\n    slots: 2\n    defaults:\n      max_tokens: 16\n    server:\n      \
         command: ['{server}', -m, '{{model}}', --port, '{{port}}', -np, '{{slots}}', -c, '256', -t, '1']\n"
    )
}

/// The fuzzer, told to ask this contract's questions.
fn fuzzer(args: &Args, programs: &Path, contract: &str, probe: &Probe, workspace: &Workspace) -> Command {
    let contracts = workspace.root.join("contracts");
    let mut schemathesis = workspace.command(programs.join("schemathesis"));
    schemathesis.arg("--config-file").arg(contracts.join("schemathesis.toml")).arg("run");
    schemathesis.arg(contracts.join("openapi").join(contract)).args(["--url", &probe.url()]);
    schemathesis.args(["--max-examples", &args.examples.to_string(), "--seed", &args.seed.to_string()]);
    schemathesis
        .args(["--request-timeout", REQUEST_LIMIT_S, "--warnings", "off", "--continue-on-failure"])
        .env("LLAMA_ORCH_TOKEN", TOKEN);
    schemathesis
}
