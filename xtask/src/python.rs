//! Programs of the Python package index, each in an environment of its own in the user's cache folder.

use std::path::PathBuf;

use anyhow::Context;

use crate::process::{self, Interrupts, Workspace, in_path};
use crate::{exit, say};

/// The file in an environment that says what was installed, written last.
const INSTALLED: &str = "installed.txt";

/// Sees to it that there is an environment of this name with these packages, each `name==version`; the folder
/// of its programs.
///
/// # Errors
/// When there is no Python, or the packages cannot be fetched.
pub async fn environment(
    name: &str,
    packages: &[&str],
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<PathBuf> {
    let home = std::env::home_dir().context("there is no home folder to keep Python packages in")?;
    let folder = home.join(".cache/llama-orch/python").join(name);
    let (programs, installed) = (folder.join("bin"), folder.join(INSTALLED));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    let Some(python) = in_path("python3") else {
        let advice =
            "`python3` is not there: install it with your system's package manager (python3-venv too)";
        return Err(exit::Stop::error(exit::PACKAGES, advice));
    };
    say::note(format_args!("installing {} into {}", packages.join(" "), folder.display()));
    let mut make = workspace.command(python);
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let made = process::run(make, "python3 -m venv (package python3-venv)", interrupts).await;
    made.context("cannot make an environment for Python packages")?;
    let mut fetch = workspace.command(programs.join("pip"));
    fetch.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
    process::run(fetch, &format!("pip install {}", packages.join(" ")), interrupts).await?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write `{}`", installed.display()))?;
    Ok(programs)
}
