//! `cargo xtask dist`: a build for machines other than this one, with all that is installed beside it: manual
//! pages, completions, units, dashboards; a SHA-256 of each file, and the whole as one archive. A build from
//! source is for this machine's own processor (`.cargo/config.toml`) and may not start on another. What comes out
//! is looked at ([`needs`]) and tried ([`proof`]) before it is named.
//!
//! Rules: ORCH-INST-5

mod needs;
mod proof;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use crate::process::{self, Interrupts, Workspace};
use crate::{say, setup};

use needs::{Needs, Runtimes};

/// What runs on most machines of the last ten years: AVX2 and FMA on x86-64, plain NEON on 64-bit ARM.
const USUAL_CPU: &str = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "generic" };
/// The programs and what goes with them.
const PROGRAMS: [&str; 2] = ["orchestratord", "llama-orch"];
const PAPERS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];
/// What is installed beside them, from `packaging`; a test of xtask's holds that it is there.
const INSTALLED: [&str; 7] = [
    "README.md",
    "systemd/system/llama-orch.service",
    "systemd/user/llama-orch.service",
    "systemd/llama-orch.sysusers.conf",
    "grafana/llama-orch.json",
    "prometheus/prometheus.yml",
    "prometheus/llama-orch.rules.yml",
];
/// The shells that are told how to complete commands.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];
/// Bytes of a file that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Where it stands what each program needs of a machine.
const NEEDS: &str = "NEEDS.txt";
/// Where each file's checksum is, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The processor to build for, as rustc names it: x86-64-v2 (no AVX), x86-64-v3 (AVX2), x86-64-v4
    /// (AVX-512), generic, native, … `rustc --print target-cpus` lists them.
    #[arg(long, value_name = "CPU", default_value = USUAL_CPU)]
    target_cpu: String,
    /// Back ends of the built-in engine beside the processor: cuda, vulkan, metal, rocm.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    features: Vec<String>,
}

/// Builds into a folder of its own, so that the build for this machine stays as it is.
///
/// # Errors
/// When it cannot be built, needs what not every machine has, or does not work.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    say::step("System packages");
    setup::packages(workspace, interrupts).await?;
    say::step(&format!("Build for {}", args.target_cpu));
    let runtimes = Runtimes::of_toolchain().await;
    if runtimes == Runtimes::Shared {
        say::note(
            "NOT STATIC: this compiler has no libstdc++.a and libgomp.a, so that the programs need both libraries",
        );
    }
    let dist = workspace.target_dir().await?.join("dist");
    let built = dist.join("build");
    build(args, runtimes, &built, workspace, interrupts).await?;
    let name = format!(
        "llama-orch-{}-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        args.target_cpu
    );
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    collect(&built.join("release"), &folder, workspace)?;
    if cfg!(target_os = "linux") {
        say::step("What the programs need");
        fs::write(folder.join(NEEDS), look(&folder, args, runtimes).await?)
            .context("cannot write what they need")?;
    }
    say::step("Manual pages and completions");
    describe(&folder).await?;
    fs::write(folder.join(SUMS), sums(&folder)?).context("cannot write the checksums")?;
    say::step("Archive");
    let archive = pack(&folder).await?;
    say::step("Unpacked in an empty folder");
    proof::prove(&archive, &name, &dist.join("unpacked"), workspace, interrupts).await?;
    say::line(folder.display());
    say::line(archive.display());
    Ok(())
}

async fn build(
    args: &Args,
    runtimes: Runtimes,
    built: &Path,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let mut features: Vec<String> =
        args.features.iter().map(|name| format!("orchestratord/{name}")).collect();
    if runtimes == Runtimes::Inside {
        features.push("orchestratord/static-runtime".to_owned());
    }
    let features = features.join(",");
    let mut words = vec!["build", "--release", "--locked", "--bins"];
    words.extend(["--package", "orchestratord", "--package", "llama-orch-cli"]);
    if !features.is_empty() {
        words.extend(["--features", &features]);
    }
    let mut command = workspace.cargo(&words);
    command
        .env("CARGO_TARGET_DIR", built)
        // Replaces the flags of `.cargo/config.toml`; llama.cpp's build reads the same flag.
        .env("RUSTFLAGS", format!("-C target-cpu={}", args.target_cpu))
        // What a debugger wants is of no use where the source is not.
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        // Built once and run often: worth the minutes.
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4");
    process::run(command, &format!("cargo xtask dist --target-cpu {}", args.target_cpu), interrupts).await
}

/// Puts the programs and what goes with them into the release's folder.
fn collect(built: &Path, folder: &Path, workspace: &Workspace) -> anyhow::Result<()> {
    for program in PROGRAMS {
        copy(&built.join(program), &folder.join(program))?;
    }
    for paper in PAPERS {
        copy(&workspace.root.join(paper), &folder.join(paper))?;
    }
    for file in INSTALLED {
        // The list of what is in the folder is told apart from the product's own.
        let name = if file == "README.md" { "INSTALL.md" } else { file };
        copy(&workspace.root.join("packaging").join(file), &folder.join(name))?;
    }
    Ok(())
}

/// A line for each program with what it needs. One that needs what not every machine has is no release.
async fn look(folder: &Path, args: &Args, runtimes: Runtimes) -> anyhow::Result<String> {
    let mut lines = String::new();
    for program in PROGRAMS {
        let needs = Needs::of(&folder.join(program)).await?;
        say::note(format_args!("{program}: {needs}"));
        let strangers = needs.strangers(&args.features, runtimes).join(", ");
        ensure!(strangers.is_empty(), "`{program}` needs what not every machine has: {strangers}");
        writeln!(lines, "{program}: {needs}")?;
    }
    Ok(lines)
}

/// Has the programs that were built write what they say of themselves.
async fn describe(folder: &Path) -> anyhow::Result<()> {
    let program = folder.join("llama-orch");
    let pages = folder.join("man").join("man1");
    output(tokio::process::Command::new(&program).args(["man", "--dir"]).arg(&pages)).await?;
    let page = output(tokio::process::Command::new(folder.join("orchestratord")).arg("man")).await?;
    let path = pages.join("orchestratord.1");
    fs::write(&path, page).with_context(|| format!("cannot write `{}`", path.display()))?;
    for shell in SHELLS {
        let script = output(tokio::process::Command::new(&program).args(["completions", shell])).await?;
        let path = folder.join("completions").join(format!("llama-orch.{shell}"));
        make_parent(&path)?;
        fs::write(&path, script).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

async fn output(command: &mut tokio::process::Command) -> anyhow::Result<Vec<u8>> {
    let done = command.output().await.with_context(|| format!("cannot start {command:?}"))?;
    ensure!(done.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(done.stdout)
}

/// A line for each file below `folder`, in order.
fn sums(folder: &Path) -> anyhow::Result<String> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    let mut lines = String::new();
    for path in files {
        let name = path.strip_prefix(folder).expect("it was found below").display();
        writeln!(lines, "{}  {name}", sum_of(&path)?)?;
    }
    Ok(lines)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read `{}`", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn sum_of(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut sum = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk).with_context(|| format!("cannot read `{}`", path.display()))?;
        if read == 0 {
            break;
        }
        sum.update(&chunk[..read]);
    }
    let mut text = String::new();
    for byte in sum.finalize() {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// The folder as one archive, the same for the same files, with its checksum beside it.
async fn pack(folder: &Path) -> anyhow::Result<PathBuf> {
    let (dir, name) = (folder.parent().context("a folder above")?, folder.file_name().context("a name")?);
    let archive = dir.join(format!("{}.tar.gz", name.display()));
    let mut tar = tokio::process::Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--create", "--gzip", "--file"]);
    tar.arg(&archive).arg("--directory").arg(dir).arg(name);
    output(&mut tar).await?;
    let line = format!("{}  {}\n", sum_of(&archive)?, archive.file_name().context("a name")?.display());
    fs::write(archive.with_extension("gz.sha256"), line).context("cannot write the archive's checksum")?;
    Ok(archive)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    make_parent(to)?;
    fs::copy(from, to).with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))?;
    Ok(())
}

fn make_parent(path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().context("a folder above")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))
}

#[cfg(test)]
mod tests;
