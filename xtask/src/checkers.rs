//! Programs that check what is installed beside the daemon: systemd's for the units, Prometheus' for the rules and
//! the scrape configuration. Debian's package of the second starts a server, so that the program is taken out of it
//! and nothing is installed.

use std::path::Path;

use anyhow::Context;

use crate::exit::{self, Stop};
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::{say, setup};

/// What checks units, and the package that brings it.
const SYSTEMD: [(&str, &str); 1] = [("systemd", "systemd-analyze")];
/// What checks rules, and the package it is taken out of.
const PROMTOOL: &str = "promtool";
const PACKAGE: &str = "prometheus";

/// Sees to it that both are there.
///
/// # Errors
/// When one is missing and cannot be had.
pub async fn get(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    setup::programs(&SYSTEMD, workspace, interrupts).await?;
    if in_path(PROMTOOL).is_some() {
        say::note(format_args!("{PROMTOOL}: there"));
        return Ok(());
    }
    let home = std::env::home_dir().context("there is no home folder to keep `promtool` in")?;
    // Where the tests of packaging look for it.
    let folder = home.join(".cache/llama-orch").join(PROMTOOL);
    let program = folder.join(PROMTOOL);
    if !program.is_file() {
        fetch(&folder, &program, workspace, interrupts).await?;
    }
    say::note(program.display());
    Ok(())
}

async fn fetch(
    folder: &Path,
    program: &Path,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    if in_path("apt-get").is_none() || in_path("dpkg-deb").is_none() {
        let advice =
            format!("`{PROMTOOL}` is not there; it comes with Prometheus, and with apt it can be fetched");
        return Err(Stop::error(exit::PACKAGES, advice));
    }
    let unpacked = folder.join("package");
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked)
            .with_context(|| format!("cannot empty `{}`", unpacked.display()))?;
    }
    std::fs::create_dir_all(&unpacked).with_context(|| format!("cannot make `{}`", unpacked.display()))?;
    say::note(format_args!("fetching {PROMTOOL} out of Debian's package `{PACKAGE}` (19 MB)"));
    setup::update_apt(workspace, interrupts).await?;
    let mut download = workspace.command("apt-get");
    // As root, apt gives the download to a user of its own, who may not write here.
    download.current_dir(&unpacked).args(["-q", "-o", "APT::Sandbox::User=root", "download", PACKAGE]);
    let rerun = format!("apt-get update, then apt-get download {PACKAGE}");
    process::run(download, &rerun, interrupts).await?;
    let package = std::fs::read_dir(&unpacked)
        .context("nothing was fetched")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt has fetched no package")?;
    let mut unpack = workspace.command("dpkg-deb");
    unpack.arg("--extract").arg(&package).arg(&unpacked);
    process::run(unpack, "dpkg-deb --extract", interrupts).await?;
    // Moved at the end, so that a program that is there is a whole one.
    let inside = unpacked.join("usr/bin").join(PROMTOOL);
    std::fs::rename(&inside, program)
        .with_context(|| format!("`{}` has no `{PROMTOOL}`", package.display()))?;
    std::fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove `{}`", unpacked.display()))
}
