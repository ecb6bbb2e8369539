//! The repository's own rules about its Rust files and its crates. What a formatter and clippy cannot
//! see is checked here.
//!
//! Rules: ORCH-SHAPE-3

use std::path::Path;

use anyhow::{Context, ensure};

use crate::process::Workspace;

mod glossary;

/// Where the words themselves are.
const GLOSSARY_FILE: &str = "tidy/glossary.rs";

/// A file longer than this is reported, not refused: a reader should hold a file at once.
const LONG_FILE_LINES: usize = 400;

/// The page whose invariants name the tests that guard them.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Crates that do I/O, async, HTTP or logging. The core decides; it does none of it.
const NOT_IN_THE_CORE: [&str; 12] = [
    "tokio",
    "tracing",
    "log",
    "axum",
    "hyper",
    "reqwest",
    "tower",
    "futures-util",
    "async-trait",
    "rustix",
    "mio",
    "parking_lot",
];

/// What a check of the files found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken rules: the check fails.
    pub broken: Vec<String>,
    /// Long files, longest first: worth a look.
    pub long: Vec<(usize, String)>,
}

/// Checks the Rust files and manifests among `files`.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for file in files {
        let name = file.rsplit('/').next().unwrap_or(file);
        if name != "Cargo.toml" && !file.ends_with(".rs") {
            continue;
        }
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))?;
        if name == "Cargo.toml" {
            report.broken.extend(engine_rules(&text).into_iter().map(|rule| format!("{file}: {rule}")));
            report.broken.extend(manifest_rule(&text).map(|rule| format!("{file}: {rule}")));
        } else {
            report.broken.extend(source_rules(file, name, &text));
            if !file.ends_with(GLOSSARY_FILE) && !is_generated(&text) {
                report.broken.extend(glossary::find(&text).into_iter().map(|rule| format!("{file}: {rule}")));
            }
            let lines = text.lines().count();
            if lines > LONG_FILE_LINES && !is_generated(&text) {
                report.long.push((lines, file.clone()));
            }
        }
    }
    report.broken.extend(check_named_tests(root, files)?);
    report.long.sort_by(|a, b| b.cmp(a));
    Ok(report)
}

/// Every test that the architecture names as a guard is there.
fn check_named_tests(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let Ok(page) = std::fs::read_to_string(root.join(ARCHITECTURE)) else { return Ok(Vec::new()) };
    let mut missing: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|name| is_test_name(name)).collect();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text =
            std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))?;
        missing.retain(|name| !text.contains(&format!("fn {name}(")));
    }
    Ok(missing.iter().map(|name| format!("{ARCHITECTURE}: there is no test `{name}`")).collect())
}

/// Names are claims, and claims have several words.
fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn manifest_rule(text: &str) -> Option<&'static str> {
    let is_package = text.lines().any(|line| line.trim() == "[package]");
    let mut after_lints = text.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    let inherits = after_lints.any(|line| line.replace(' ', "") == "workspace=true");
    (is_package && !inherits).then_some("must have `[lints]` with `workspace = true`")
}

/// What a manifest must say, for llama.cpp to be built once and as fast as it can be.
const ENGINE_PROFILES: [(&str, &str, &str); 3] = [
    // Cargo leaves debug information out of a build dependency, except where the same crate is also built as
    // an ordinary one: then both share one build. `check` never builds the ordinary one and `test` does, so
    // that llama.cpp's build script would be another one for each, and llama.cpp compiled twice. A written
    // setting holds for both.
    ("[profile.dev.build-override]", "debug=", "or clippy and the tests each build llama.cpp"),
    // With debug information llama.cpp's build script has CMake build with -O2.
    ("[profile.dev.package.llama-cpp-sys-2]", "debug=false", "or the engine is built with -O2"),
    ("[profile.release.package.llama-cpp-sys-2]", "debug=false", "or the engine is built with -O2"),
];

fn engine_rules(text: &str) -> Vec<String> {
    if !text.lines().any(|line| line.trim() == "[workspace]") {
        return Vec::new();
    }
    let is_set = |section: &str, setting: &str| {
        let lines = text.lines().skip_while(|line| line.trim() != section).skip(1);
        lines.take_while(|line| !line.starts_with('[')).any(|line| line.replace(' ', "").starts_with(setting))
    };
    ENGINE_PROFILES
        .iter()
        .filter(|(section, setting, _)| !is_set(section, setting))
        .map(|(section, _, otherwise)| format!("must set `debug = false` in `{section}`, {otherwise}"))
        .collect()
}

fn source_rules(file: &str, name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if name == "mod.rs" {
        broken.push(format!("{file}: no `mod.rs`: a module `foo` is `foo.rs`, with `foo/` beside it"));
    }
    if matches!(name, "utils.rs" | "util.rs" | "helpers.rs" | "misc.rs") {
        broken.push(format!("{file}: no `{name}`: name a file after what it owns"));
    }
    if !is_test_module(file, name) && !is_generated(text) && !text.starts_with("//!") {
        broken.push(format!("{file}:1: must start with `//!`: what it owns and what it does not"));
    }
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.trim_start().starts_with(concat!("#[", "ignore")) {
            broken.push(format!("{file}:{number}: no ignored test: one that cannot run here is not written"));
        }
        if let Some(word) =
            [concat!("TO", "DO"), concat!("FIX", "ME")].iter().find(|word| line.contains(**word))
        {
            broken.push(format!("{file}:{number}: no `{word}`: a comment says why, not what is missing"));
        }
    }
    broken
}

/// A module of tests, which its parent describes. The root file of an integration test is no module:
/// it says what it tests.
fn is_test_module(file: &str, name: &str) -> bool {
    let in_tests_folder = file.contains("/tests/");
    let is_integration_root = file
        .rsplit_once("/tests/")
        .is_some_and(|(owner, rest)| !owner.contains("/src") && !rest.contains('/'));
    name == "tests.rs" || (in_tests_folder && !is_integration_root)
}

fn is_generated(text: &str) -> bool {
    text.lines().take(5).any(|line| line.contains("@generated") || line.starts_with("//! Generated from "))
}

/// Checks that the core depends on none of our crates and on nothing that does I/O.
///
/// # Errors
/// When cargo does not answer.
pub async fn check_core(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let all = tree(workspace, &["-e", "normal,build,dev", "--depth", "1"]).await?;
    let shipped = tree(workspace, &["-e", "normal,build"]).await?;
    Ok(core_rules(&all, &shipped))
}

async fn tree(workspace: &Workspace, args: &[&str]) -> anyhow::Result<String> {
    let output = workspace
        .cargo(["tree", "-q", "-p", "orchestrator-core", "--prefix", "none", "--target", "all"])
        .args(args)
        .output()
        .await
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "`cargo tree -p orchestrator-core` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `direct`: lines of `cargo tree` one deep, all kinds; `shipped`: all of what is shipped.
fn core_rules(direct: &str, shipped: &str) -> Vec<String> {
    let ours = direct
        .lines()
        .skip(1)
        .filter(|line| line.contains(" (/"))
        .map(|line| format!("orchestrator-core: depends on `{}` of this workspace", first_word(line)));
    let foreign = shipped
        .lines()
        .map(first_word)
        .filter(|name| NOT_IN_THE_CORE.contains(name))
        .map(|name| format!("orchestrator-core: depends on `{name}`, which decides nothing"));
    let mut broken: Vec<String> = ours.chain(foreign).collect();
    broken.sort();
    broken.dedup();
    broken
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
