//! `cargo xtask contracts`: what can be said of the contracts without a daemon. A released contract takes
//! nothing back, and every error code has its page.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::say;

mod compatibility;
mod error_pages;
mod release;

/// `cargo xtask contracts`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Keep the contracts as they are as the release of their version, against which later ones are held.
    #[arg(long)]
    release: bool,
}

/// Checks, or releases.
///
/// # Errors
/// When a file cannot be read or written, or a contract cannot be released.
pub fn run(args: &Args, root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    if args.release {
        let faults = check(root, files)?;
        ensure!(faults.is_empty(), "nothing is released: {}", faults.join("\n  "));
        for file in release::write(root)? {
            say::note(format_args!("released {file}"));
        }
        return Ok(Vec::new());
    }
    check(root, files)
}

/// What is wrong with the contracts, a line each.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut faults = error_pages::check(root, files)?;
    faults.extend(release::check(root, files).context("cannot compare with the released contracts")?);
    Ok(faults)
}
