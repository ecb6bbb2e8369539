//! The scanner of the HOME profile: runs `search_overkill.sh`, which holds the rules.
//!
//! Rules: HOME-SCAN-1

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// The scanner's file, in the root folder.
pub const SCRIPT: &str = "search_overkill.sh";

/// What the scanner found below `folder`: a line each, nothing when it is clean.
///
/// # Errors
/// When the scanner could not run.
pub fn find(root: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("bash")
        .arg(root.join(SCRIPT))
        .arg(folder)
        .output()
        .context("cannot start `bash`, which runs the scanner")?;
    let found: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), found.is_empty()) {
        (Some(0), true) => {}
        (Some(1), false) => {}
        (code, _) => {
            ensure!(false, "`{SCRIPT}` ended with {code:?}: {}", errors.trim());
        }
    }
    ensure!(errors.trim().is_empty(), "`{SCRIPT}` complained: {}", errors.trim());
    Ok(found)
}

#[cfg(test)]
mod tests;
