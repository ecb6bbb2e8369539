//! Programs of Node.js: what a folder's lock file says, installed there by `npm ci` and kept until that file changes.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::process::{self, Interrupts, Workspace, in_path};
use crate::say;

/// The file in `node_modules` that says what was installed, written last.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Sees to it that what the lock file of `folder` says is installed there; the program that runs it. Nothing where there
/// is no Node.js.
///
/// # Errors
/// When the packages cannot be fetched.
pub async fn environment(
    folder: &Path,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Option<PathBuf>> {
    let (Some(node), Some(npm)) = (in_path("node"), in_path("npm")) else { return Ok(None) };
    let lock = folder.join("package-lock.json");
    let wanted =
        std::fs::read_to_string(&lock).with_context(|| format!("cannot read `{}`", lock.display()))?;
    let installed = folder.join(INSTALLED);
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(node));
    }
    say::note(format_args!("installing packages of Node.js into {}", folder.display()));
    let mut install = workspace.command(&npm);
    install.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    process::run(install, "npm ci", interrupts).await?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write `{}`", installed.display()))?;
    Ok(Some(node))
}
