//! Every developer command of llama-orch: `cargo xtask COMMAND`. Builds without llama.cpp, so that it can
//! set up what llama.cpp is built with.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod bench;
mod checkers;
mod clients;
mod console;
mod contracts;
mod daemon;
mod demo;
mod dev_loop;
mod dist;
mod exit;
mod generated;
mod links;
mod llama_server;
mod node;
mod process;
mod python;
mod requirements;
mod say;
mod scan;
mod schema;
mod schemathesis;
mod setup;
mod starter;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use exit::Stop;
use generated::Mode;
use process::{Interrupts, Workspace};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                        set up, build, serve, ask, and keep serving
  cargo xtask demo --once \"Say hello\"     the same, and end after the answer
  cargo xtask dev:loop                    everything that must hold before a change goes in
  cargo xtask dev:loop --fast             the same without the built-in engine";

/// Every developer command of llama-orch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set this machine up, build, start the daemon, ask it something, and keep serving until Ctrl-C.
    ///
    /// Installs what llama.cpp is built with where apt is there and the user may (elsewhere it prints the
    /// command), fetches the starter model, and ends everything it started when it ends.
    Demo(demo::Args),
    /// Run everything that must hold: format, scanner, links, tidy, requirements, contracts, generated files,
    /// clippy, all tests.
    ///
    /// Sets the machine up first, says what each step took, and stops at the first that fails with how to
    /// run that one again.
    #[command(name = "dev:loop")]
    DevLoop(dev_loop::Args),
    /// Install what llama.cpp is built with, and fetch the starter model.
    Setup,
    /// Fetch the starter model: resumed when it was broken off, its checksum checked.
    FetchStarter,
    /// Build a real llama-server for the tests of its adapter, once (10 to 20 minutes on two cores), and keep its
    /// chat templates for those of the worker.
    ///
    /// It is kept in ~/.cache/llama-orch/llama-server, where the tests find it. Without it they say that they
    /// are skipped.
    LlamaServer,
    /// Generate the wire's types and the client from contracts/openapi.
    RegenOpenapi(Regen),
    /// Generate the config's JSON Schema from its Rust types.
    RegenSchema(Regen),
    /// Generate requirements/*.yaml from the ids that contracts, code and tests cite.
    RegenRequirements,
    /// Write down what the command line relies on of the daemon (contracts/pacts), as its client does it.
    RegenPact,
    /// Make the files of the console from its sources in console/, which needs Node.js.
    Console(Regen),
    /// Install the browser that the tests of the console drive, where apt is there. Without it they say that
    /// they are skipped.
    Browser,
    /// Get the programs that check units, rules and the scrape configuration in packaging: systemd-analyze, where
    /// apt is there, and promtool, out of Debian's package.
    ///
    /// promtool is kept in ~/.cache/llama-orch/promtool, without the server that comes with it. Where one of them is
    /// not there, its test says that it is skipped.
    Checkers,
    /// Take the pictures of the console in .docs/console anew, as its tests see it.
    ConsoleShots,
    /// Look for what the HOME profile bans (search_overkill.sh).
    Scan,
    /// Check that relative links and anchors in Markdown lead somewhere.
    Links,
    /// Check the repository's own rules: file heads, file names, the core's dependencies.
    Tidy,
    /// Check that the contracts take nothing back of their last release, and that every error code has its
    /// page.
    Contracts(contracts::Args),
    /// Print which contract, code and tests hold each rule of .specs, and fail where one has none or
    /// requirements/*.yaml is stale.
    Requirements(requirements::Args),
    /// Measure: admission decisions, and the built-in engine's tokens/s and time between tokens.
    Bench(bench::Args),
    /// Send a release daemon what the contracts allow and what they do not: no status that they do not name, and
    /// no 5xx from input.
    ///
    /// Runs schemathesis, kept in ~/.cache/llama-orch/python. The engine is a real `llama-server`, built once.
    Schemathesis(schemathesis::Args),
    /// Ask the daemon, with the starter model in it, through the official client libraries, unmodified.
    ///
    /// They are kept in ~/.cache/llama-orch/python.
    Clients(clients::Args),
    /// Build for machines other than this one.
    Dist(dist::Args),
    /// Run a program that ends when the process PARENT does.
    #[command(name = daemon::GUARD, hide = true)]
    RunWhileParentLives { parent: u32, program: PathBuf, args: Vec<String> },
}

#[derive(Debug, clap::Args)]
struct Regen {
    /// Write nothing; fail when a file is not as it would be written.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.downcast_ref::<Stop>().is_some_and(Stop::is_silent) {
                say::error(&error);
            }
            ExitCode::from(exit::code_of(&error))
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::RunWhileParentLives { parent, program, args } = &cli.command {
        return daemon::run_while_parent_lives(*parent, program, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(dispatch(cli.command));
    // A download that was interrupted may still be in a read: nothing waits for it.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    let mut interrupts = Interrupts::listen()?;
    match command {
        Command::Demo(args) => demo::run(&args, &workspace, &mut interrupts).await,
        Command::DevLoop(args) => dev_loop::run(&args, &workspace, &mut interrupts).await,
        Command::Setup => {
            setup::packages(&workspace, &mut interrupts).await?;
            starter::fetch(&workspace, &mut interrupts).await
        }
        Command::FetchStarter => starter::fetch(&workspace, &mut interrupts).await,
        Command::LlamaServer => llama_server::build(&workspace, &mut interrupts).await,
        Command::RegenOpenapi(args) => {
            let mode = if args.check { Mode::Check } else { Mode::Write };
            generated::openapi(mode, &["--package", "openapi-gen"], &workspace, &mut interrupts).await
        }
        Command::RegenSchema(args) => schema::regen(args.check),
        Command::RegenRequirements => requirements::regen(&workspace.root, &workspace.files()?),
        Command::Console(args) => {
            let mode = if args.check { Mode::Check } else { Mode::Write };
            console::build(mode, &workspace, &mut interrupts).await
        }
        Command::Browser => console::browser(&workspace, &mut interrupts).await,
        Command::Checkers => checkers::get(&workspace, &mut interrupts).await,
        Command::ConsoleShots => console::shots(&workspace, &mut interrupts).await,
        Command::RegenPact => generated::pact(&workspace, &mut interrupts).await,
        Command::Scan => dev_loop::run_scan(&workspace),
        Command::Links => dev_loop::run_links(&workspace),
        Command::Tidy => dev_loop::run_tidy(&workspace).await,
        Command::Contracts(args) => dev_loop::run_contracts(&args, &workspace),
        Command::Requirements(args) => dev_loop::run_requirements(&args, &workspace),
        Command::Bench(args) => bench::run(&args, &workspace, &mut interrupts).await,
        Command::Schemathesis(args) => schemathesis::run(&args, &workspace, &mut interrupts).await,
        Command::Clients(args) => clients::run(&args, &workspace, &mut interrupts).await,
        Command::Dist(args) => dist::run(&args, &workspace, &mut interrupts).await,
        Command::RunWhileParentLives { .. } => Ok(()),
    }
}
