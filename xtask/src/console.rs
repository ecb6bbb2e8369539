//! The console's files. They are made from `console/` with Node.js and checked in, so that a build needs none;
//! where Node.js is there, a check makes them anew and compares. And the browser that its tests drive.
//!
//! Rules: ORCH-CON-7

use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::generated::Mode;
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::{say, setup};

/// The sources.
const SOURCES: &str = "console";

/// What is made of them.
const ASSETS: &str = "orchestratord/src/http/console/assets";

/// Where a check makes them.
const ANEW: &str = "console";

/// What the tests of the console need, as Debian and Ubuntu call it, with the program each brings.
const BROWSER: [(&str, &str); 2] = [("chromium", "chromium"), ("chromium-driver", "chromedriver")];

/// Makes the files, or compares them with what would be made.
///
/// # Errors
/// When there is no Node.js to make them with, the sources have a fault, or a file is stale under [`Mode::Check`].
pub async fn build(mode: Mode, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let (Some(node), Some(npm)) = (in_path("node"), in_path("npm")) else {
        if mode == Mode::Write {
            bail!(
                "`node` and `npm` are not there, with which the console is made: install Node.js 20 or later"
            );
        }
        say::note(
            "NOT CHECKED: there is no Node.js here, so whether the console's files are stale is not known",
        );
        return Ok(());
    };
    let sources = workspace.root.join(SOURCES);
    let rerun = "cargo xtask console";
    if is_stale(&sources) {
        let mut install = workspace.command(&npm);
        install.current_dir(&sources).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        process::run(install, rerun, interrupts).await?;
    }
    let mut types = workspace.command(&npm);
    types.current_dir(&sources).args(["run", "--silent", "check"]);
    process::run(types, rerun, interrupts).await?;
    let folder = match mode {
        Mode::Write => workspace.root.join(ASSETS),
        Mode::Check => workspace.target_dir().await?.join(ANEW),
    };
    let mut bundle = workspace.command(&node);
    bundle.current_dir(&sources).arg("build.mjs").arg(&folder);
    process::run(bundle, rerun, interrupts).await?;
    if mode == Mode::Check { compare(&folder, &workspace.root.join(ASSETS)) } else { Ok(()) }
}

/// Whether what npm has installed is not what the lock file says.
fn is_stale(sources: &Path) -> bool {
    let changed = |path: &str| std::fs::metadata(sources.join(path)).and_then(|file| file.modified()).ok();
    changed("node_modules/.package-lock.json") < changed("package-lock.json")
}

fn compare(anew: &Path, kept: &Path) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for entry in std::fs::read_dir(anew).context("nothing was made")? {
        let name = entry?.file_name();
        let read = |folder: &Path| std::fs::read(folder.join(&name)).ok();
        if read(anew) != read(kept) {
            stale.push(name.to_string_lossy().into_owned());
        }
    }
    stale.sort();
    ensure!(stale.is_empty(), "not what `{SOURCES}` says: {}; run `cargo xtask console`", stale.join(", "));
    Ok(())
}

/// Sees to it that there is a browser for the tests of the console.
///
/// # Errors
/// When it is missing and cannot be installed.
pub async fn browser(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    setup::programs(&BROWSER, workspace, interrupts).await
}

/// Takes the pictures of the console that the documentation shows: its tests do, when they are told to.
///
/// # Errors
/// When a test fails.
pub async fn shots(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let mut command = workspace.cargo(["test", "--workspace", "--test", "console"]);
    command.env("LLAMA_ORCH_CONSOLE_SHOTS", workspace.root.join(".docs/console"));
    command.env("LLAMA_ORCH_TEST_BROWSER", "required");
    process::run(command, "cargo xtask console-shots", interrupts).await
}

#[cfg(test)]
mod tests;
