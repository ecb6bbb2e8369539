//! `cargo xtask dist`: a build for machines other than this one. A build from source is for this
//! machine's own processor (`.cargo/config.toml`) and may not start on another.

use std::path::Path;

use anyhow::Context;

use crate::process::{self, Interrupts, Workspace};
use crate::{say, setup};

/// What runs on most machines of the last ten years: AVX2 and FMA on x86-64, plain NEON on 64-bit ARM.
const USUAL_CPU: &str = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "generic" };
/// The programs and what goes with them.
const PROGRAMS: [&str; 2] = ["orchestratord", "llama-orch"];
const PAPERS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

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
/// When it cannot be built.
pub async fn run(args: &Args, workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    say::step("System packages");
    setup::packages(workspace, interrupts).await?;
    say::step(&format!("Build for {}", args.target_cpu));
    let dist = workspace.target_dir().await?.join("dist");
    let built = dist.join("build");
    let features =
        args.features.iter().map(|name| format!("orchestratord/{name}")).collect::<Vec<_>>().join(",");
    let mut words =
        vec!["build", "--release", "--package", "orchestratord", "--package", "llama-orch-cli", "--bins"];
    if !features.is_empty() {
        words.extend(["--features", &features]);
    }
    let mut command = workspace.cargo(&words);
    command
        .env("CARGO_TARGET_DIR", &built)
        // Replaces the flags of `.cargo/config.toml`; llama.cpp's build reads the same flag.
        .env("RUSTFLAGS", format!("-C target-cpu={}", args.target_cpu));
    process::run(command, &format!("cargo xtask dist --target-cpu {}", args.target_cpu), interrupts).await?;
    let folder = dist.join(format!(
        "llama-orch-{}-{}-{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        args.target_cpu
    ));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for program in PROGRAMS {
        copy(&built.join("release").join(program), &folder.join(program))?;
    }
    for paper in PAPERS {
        copy(&workspace.root.join(paper), &folder.join(paper))?;
    }
    say::line(folder.display());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to)
        .with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))?;
    Ok(())
}
