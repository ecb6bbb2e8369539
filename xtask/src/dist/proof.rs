//! A release is tried as its user will have it: unpacked in an empty folder, held to its checksums, its programs run,
//! and one task answered by the starter model.
//!
//! Rules: ORCH-INST-6

use std::path::Path;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::{PROGRAMS, SUMS, output, sums};
use crate::daemon::probe::Probe;
use crate::daemon::{self, Ask, Start};
use crate::process::{Interrupts, Workspace};
use crate::{say, starter};

/// The token of the daemon that is asked.
const TOKEN: &str = "a-token-for-one-question";
/// What it serves: the default, small enough for any machine.
const CONFIG: &str = "pools:\n  - id: default\n    model: starter\n    ctx: 1024\n    slots: 1\n";

/// Unpacks the archive of the release `name` below `dir`, and tries what is in it.
///
/// # Errors
/// When it is not what it says it is, a program does not run, or no answer comes.
pub async fn prove(
    archive: &Path,
    name: &str,
    dir: &Path,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let release = unpack(archive, name, dir).await?;
    let empty = dir.join("home");
    std::fs::create_dir_all(&empty).with_context(|| format!("cannot make `{}`", empty.display()))?;
    for program in PROGRAMS {
        let said = output(alone(&release.join(program), &empty).arg("--version")).await?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        ensure!(
            said == format!("{program} {}", env!("CARGO_PKG_VERSION")),
            "`{program} --version` says {said}"
        );
        say::note(said);
    }
    let said = output(alone(&release.join("orchestratord"), &empty).arg("check-config")).await?;
    say::note(format_args!("orchestratord check-config: {}", String::from_utf8_lossy(&said).trim()));
    starter::fetch(workspace, interrupts).await?;
    let program = release.join("orchestratord");
    let start =
        Start { program: &program, name: "orchestratord-release", config: CONFIG, token: Some(TOKEN) };
    let question = |probe: &Probe| {
        let mut command = alone(&release.join("llama-orch"), &empty);
        command.env("LLAMA_ORCH_TOKEN", TOKEN).args([
            "run",
            "--stats",
            "--max-tokens",
            "16",
            "--url",
            &probe.url(),
        ]);
        command.arg("Say hello.");
        vec![Ask { name: "A task for the release", command }]
    };
    daemon::ask(&start, question, "llama-orch run", workspace, interrupts).await
}

/// Unpacks into an empty folder, and compares every file with its checksum.
async fn unpack(archive: &Path, name: &str, dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty `{}`", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
    output(
        Command::new("tar").args(["--extract", "--gzip", "--file"]).arg(archive).arg("--directory").arg(dir),
    )
    .await?;
    let release = dir.join(name);
    let told = release.join(SUMS);
    let wanted =
        std::fs::read_to_string(&told).with_context(|| format!("cannot read `{}`", told.display()))?;
    std::fs::remove_file(&told).with_context(|| format!("cannot remove `{}`", told.display()))?;
    ensure!(sums(&release)? == wanted, "a file of the archive has another checksum than `{SUMS}` says");
    std::fs::write(&told, wanted).with_context(|| format!("cannot write `{}`", told.display()))?;
    Ok(release)
}

/// A program that sees nothing of this user's.
fn alone(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

#[cfg(test)]
mod tests;
