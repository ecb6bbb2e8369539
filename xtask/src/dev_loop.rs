//! `cargo xtask dev:loop`: everything that must hold before a change goes in, in the order in which it
//! fails fastest.
//!
//! llama.cpp is compiled once. Cargo runs a build script once for a profile, a set of features and a
//! selection of packages, and `check` and `build` share it; so every step that reaches llama.cpp selects
//! the whole workspace with its default features, its tests included, in the dev profile. The dev
//! profile's `build-override` does its part: see [`crate::tidy`].

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::exit::Stop;

use crate::generated::{self, Mode};
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::say::{self, Stopwatch};
use crate::{
    clients, console, contracts, links, requirements, scan, schema, schemathesis, setup, starter, tidy,
};

/// `cargo xtask dev:loop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the built-in engine out, and with it llama.cpp, the starter model and the tests that need
    /// them: for everyday work.
    #[arg(long)]
    fast: bool,
}

/// What the loop is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Everything,
    WithoutEngine,
}

impl Scope {
    /// What selects the packages and features.
    const fn selection(self) -> &'static [&'static str] {
        match self {
            Self::Everything => &["--workspace"],
            Self::WithoutEngine => &["--workspace", "--exclude", "worker-llamacpp", "--no-default-features"],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Packages,
    Starter,
    Format,
    Scan,
    Links,
    Tidy,
    Requirements,
    Contracts,
    Console,
    Generated(Scope),
    Clippy(Scope),
    Tests(Scope),
    DocTests(Scope),
    Schemathesis,
    Clients,
}

impl Step {
    /// The steps, in order.
    fn all(scope: Scope) -> Vec<Self> {
        let quick = [
            Self::Format,
            Self::Scan,
            Self::Links,
            Self::Tidy,
            Self::Requirements,
            Self::Contracts,
            Self::Console,
            Self::Generated(scope),
        ];
        let checks: &[Self] = match scope {
            Scope::Everything => &[Self::Clippy(Scope::Everything), Self::Clippy(Scope::WithoutEngine)],
            Scope::WithoutEngine => &[Self::Clippy(Scope::WithoutEngine)],
        };
        let set_up: &[Self] = match scope {
            Scope::Everything => &[Self::Packages, Self::Starter],
            Scope::WithoutEngine => &[],
        };
        let fuzz: &[Self] = match scope {
            Scope::Everything => &[Self::Schemathesis, Self::Clients],
            Scope::WithoutEngine => &[],
        };
        [set_up, &quick, checks, &[Self::Tests(scope), Self::DocTests(scope)], fuzz].concat()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Packages => "system packages",
            Self::Starter => "starter model",
            Self::Format => "format",
            Self::Scan => "scanner",
            Self::Links => "links",
            Self::Tidy => "tidy",
            Self::Requirements => "requirements",
            Self::Contracts => "contracts",
            Self::Console => "console",
            Self::Generated(_) => "generated files",
            Self::Clippy(Scope::Everything) => "clippy",
            Self::Clippy(Scope::WithoutEngine) => "clippy without the engine",
            Self::Tests(_) => "tests",
            Self::DocTests(_) => "tests in documentation",
            Self::Schemathesis => "schemathesis",
            Self::Clients => "client libraries",
        }
    }

    /// What a person types to run this step alone.
    fn rerun(self) -> String {
        match self {
            Self::Packages | Self::Starter => "cargo xtask setup".to_owned(),
            Self::Format => "cargo fmt --all --check".to_owned(),
            Self::Scan => "cargo xtask scan".to_owned(),
            Self::Links => "cargo xtask links".to_owned(),
            Self::Tidy => "cargo xtask tidy".to_owned(),
            Self::Requirements => "cargo xtask requirements".to_owned(),
            Self::Contracts => "cargo xtask contracts".to_owned(),
            Self::Console => "cargo xtask console --check".to_owned(),
            Self::Generated(_) => {
                "cargo xtask regen-openapi --check && cargo xtask regen-schema --check".to_owned()
            }
            Self::Schemathesis => "cargo xtask schemathesis".to_owned(),
            Self::Clients => "cargo xtask clients".to_owned(),
            Self::Clippy(_) | Self::Tests(_) | Self::DocTests(_) => {
                format!("cargo {}", self.cargo_words().join(" "))
            }
        }
    }

    fn cargo_words(self) -> Vec<&'static str> {
        match self {
            Self::Format => vec!["fmt", "--all", "--check"],
            Self::Clippy(scope) => {
                [&["clippy"], scope.selection(), &["--all-targets", "--", "-D", "warnings"]].concat()
            }
            Self::Tests(scope) if has_nextest() => [&["nextest", "run"], scope.selection()].concat(),
            Self::Tests(scope) => {
                [&["test"], scope.selection(), &["--lib", "--bins", "--tests", "--examples"]].concat()
            }
            Self::DocTests(scope) => [&["test"], scope.selection(), &["--doc"]].concat(),
            Self::Packages
            | Self::Starter
            | Self::Scan
            | Self::Links
            | Self::Tidy
            | Self::Requirements
            | Self::Contracts
            | Self::Console
            | Self::Generated(_)
            | Self::Schemathesis
            | Self::Clients => Vec::new(),
        }
    }

    async fn run(self, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        match self {
            Self::Packages => setup::packages(workspace, interrupts).await,
            Self::Starter => starter::fetch(workspace, interrupts).await,
            Self::Scan => run_scan(workspace),
            Self::Links => run_links(workspace),
            Self::Tidy => run_tidy(workspace).await,
            Self::Requirements => check_requirements(workspace),
            Self::Contracts => run_contracts(&contracts::Args::default(), workspace),
            Self::Schemathesis => schemathesis::run_where_an_engine_is(workspace, interrupts).await,
            Self::Clients => clients::run(&clients::Args::default(), workspace, interrupts).await,
            Self::Console => console::build(Mode::Check, workspace, interrupts).await,
            Self::Generated(scope) => {
                schema::regen(true)?;
                generated::openapi(Mode::Check, scope.selection(), workspace, interrupts).await
            }
            Self::Format | Self::Clippy(_) | Self::Tests(_) | Self::DocTests(_) => {
                process::run(workspace.cargo(self.cargo_words()), &self.rerun(), interrupts).await
            }
        }
    }
}

fn has_nextest() -> bool {
    in_path("cargo-nextest").is_some()
}

/// Runs the loop.
///
/// # Errors
/// The first step that fails, with how to run it again.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let scope = if args.fast { Scope::WithoutEngine } else { Scope::Everything };
    let steps = Step::all(scope);
    let total = Stopwatch::start();
    let mut times = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        say::step(&format!("[{}/{}] {}", number + 1, steps.len(), step.name()));
        let watch = Stopwatch::start();
        let outcome = step.run(workspace, interrupts).await;
        let took = watch.elapsed();
        times.push((step.name(), took, outcome.is_ok()));
        if let Err(error) = outcome {
            summary(&times, total.elapsed());
            return Err(explain(*step, error));
        }
        say::note(format_args!("{}: {}", step.name(), say::seconds(took)));
    }
    summary(&times, total.elapsed());
    say::note("all steps passed");
    if scope == Scope::WithoutEngine {
        say::note("the built-in engine was left out: `cargo xtask dev:loop` checks it too");
    }
    Ok(())
}

fn explain(step: Step, error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<Stop>().is_some_and(Stop::is_silent) {
        return error;
    }
    error.context(format!("`{}` failed; this step alone: {}", step.name(), step.rerun()))
}

fn summary(times: &[(&str, Duration, bool)], total: Duration) {
    say::step("Summary");
    for (name, took, passed) in times {
        let mark = if *passed { "ok" } else { "FAILED" };
        say::note(format_args!("{mark:<6} {:>12}  {name}", say::seconds(*took)));
    }
    say::note(format_args!("{:<6} {:>12}  in all", "", say::seconds(total)));
}

/// The scanner, as a command.
///
/// # Errors
/// When it finds something.
pub fn run_scan(workspace: &Workspace) -> anyhow::Result<()> {
    fail_on("what the HOME profile bans", &scan::find(&workspace.root, &workspace.root)?)
}

/// The check of links, as a command.
///
/// # Errors
/// When a link leads nowhere.
pub fn run_links(workspace: &Workspace) -> anyhow::Result<()> {
    fail_on("links that lead nowhere", &links::check(&workspace.root, &workspace.files()?)?)
}

/// The repository's own rules, as a command.
///
/// # Errors
/// When a rule is broken.
pub async fn run_tidy(workspace: &Workspace) -> anyhow::Result<()> {
    let mut report = tidy::check(&workspace.root, &workspace.files()?)?;
    report.broken.extend(tidy::check_core(workspace).await.context("cannot read what the core depends on")?);
    for (lines, file) in &report.long {
        say::note(format_args!("long, and allowed: {file} has {lines} lines"));
    }
    fail_on("broken rules", &report.broken)
}

/// The way from each rule to its tests, as a command: prints it.
///
/// # Errors
/// When a rule has no test, or a path leads nowhere.
pub fn run_requirements(args: &requirements::Args, workspace: &Workspace) -> anyhow::Result<()> {
    let findings = requirements::check(&workspace.root, &workspace.files()?)?;
    findings.show(args);
    fail_on("faults of requirements", &findings.faults)
}

/// The same as a step of the loop: says how much there is.
fn check_requirements(workspace: &Workspace) -> anyhow::Result<()> {
    let findings = requirements::check(&workspace.root, &workspace.files()?)?;
    say::note(findings.summary());
    fail_on("faults of requirements", &findings.faults)
}

/// What can be said of the contracts without a daemon, as a command.
///
/// # Errors
/// When one takes something back, or a code has no page.
pub fn run_contracts(args: &contracts::Args, workspace: &Workspace) -> anyhow::Result<()> {
    fail_on("faults of contracts", &contracts::run(args, &workspace.root, &workspace.files()?)?)
}

fn fail_on(what: &str, found: &[String]) -> anyhow::Result<()> {
    for one in found {
        say::line(one);
    }
    ensure!(found.is_empty(), "found {what}: {}", found.len());
    Ok(())
}

#[cfg(test)]
mod tests;
