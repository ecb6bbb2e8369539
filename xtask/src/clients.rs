//! `cargo xtask clients`: client libraries, official ones and those that programs are built with, unmodified and with
//! their defaults, against the daemon with the real model.
//! The daemon is the one of the dev profile, whose llama.cpp the other steps of the loop have built.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::process::Command;

use crate::daemon::probe::Probe;
use crate::daemon::{self, Ask, Start};
use crate::process::{self, Interrupts, Workspace};
use crate::{node, python, say, starter};

/// The libraries.
const PACKAGES: [&str; 10] = [
    "openai==3.57.0",
    "anthropic==2.14.0",
    "langchain-openai==1.7.4",
    "langchain-anthropic==1.7.10",
    "pydantic-ai-slim[openai,anthropic]==2.68.0",
    "litellm==1.110.2",
    "ollama==0.6.3",
    "langchain-ollama==1.1.0",
    "llm==0.36",
    "llm-ollama==0.19.1",
];

/// A library that takes only older ones beside it.
const INSTRUCTOR: [&str; 1] = ["instructor[anthropic]==1.17.0"];

/// Where their tests are.
const TESTS: &str = "test-harness/clients";

/// Where those of libraries for Node.js are.
const NODE_TESTS: &str = "test-harness/clients/js";

/// The token of the daemon that is asked.
const TOKEN: &str = "a-token-for-client-libraries";

/// One slot and a short queue, so that a test can fill them, with answers that go on until somebody leaves them.
const CONFIG: &str = "queue:\n  interactive: 2\n  batch: 8\npools:\n  - id: default\n    model: starter\n    slots: 1\n    ctx: 2048\n    defaults: {loop_tokens: 0}\n";

/// The address for clients of Ollama, in the configuration of the daemon.
fn config(ollama: SocketAddr) -> String {
    format!("{CONFIG}ollama:\n  listen: '{ollama}'\n")
}

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
    let instructor = python::environment("clients-instructor", &INSTRUCTOR, workspace, interrupts).await?;
    starter::fetch(workspace, interrupts).await?;
    let program = match &args.daemon {
        Some(program) => program.clone(),
        None => {
            process::run(workspace.cargo(BUILD), "cargo build --workspace --all-targets", interrupts).await?;
            workspace.target_dir().await?.join("debug/orchestratord")
        }
    };
    let node = node::environment(&workspace.root.join(NODE_TESTS), workspace, interrupts).await?;
    if node.is_none() {
        say::note("NOT CHECKED: there is no Node.js here, so its client libraries are left out");
    }
    let ollama = Probe::on_a_free_port()?.address();
    let config = config(ollama);
    let start =
        Start { program: &program, name: "orchestratord-clients", config: &config, token: Some(TOKEN) };
    let tests = |probe: &Probe| {
        let told = |mut tests: Command| {
            tests.env("LLAMA_ORCH_URL", probe.url()).env("LLAMA_ORCH_TOKEN", TOKEN);
            tests.env("OLLAMA_HOST", format!("http://{ollama}")).env_remove("OLLAMA_API_KEY");
            tests
        };
        let folder = workspace.root.join(TESTS);
        let of_python = [
            ("Client libraries", &programs, folder.clone()),
            ("Client library instructor", &instructor, folder.join("instructor")),
        ];
        let of_python = of_python.map(|(name, programs, tests)| {
            let mut python = workspace.command(programs.join("python"));
            python.args(["-m", "unittest", "discover", "--verbose", "--start-directory"]).arg(tests);
            python.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", &folder);
            Ask { name, command: told(python) }
        });
        let of_node = node.map(|node| {
            let mut tests = workspace.command(node);
            // One file at a time: they share a daemon of one slot.
            tests.args(["--test", "--test-concurrency=1"]).current_dir(workspace.root.join(NODE_TESTS));
            Ask { name: "Client libraries for Node.js", command: told(tests) }
        });
        of_python.into_iter().chain(of_node).collect()
    };
    daemon::ask(&start, tests, "cargo xtask clients", workspace, interrupts).await
}
