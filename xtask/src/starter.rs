//! Fetches the starter model into the folder where the daemon looks for it: with progress, resumed when
//! it was broken off, its checksum checked. The fetching is `model-store`'s; this file shows it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use model_store::{
    Cancel, Fetched, ModelRef, Phase, Progress, Store, Surroundings, Transfer, default_models_dir,
};

use crate::exit::{self, Stop};
use crate::process::Interrupts;
use crate::say::{self, Stopwatch};

/// How often a fetch that nobody watches says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);
const MEBIBYTE: u64 = 1024 * 1024;

/// Sees to it that the starter model is on this machine.
///
/// # Errors
/// [`exit::FETCH`] when it is not there and cannot be fetched.
pub async fn fetch(interrupts: &mut Interrupts) -> anyhow::Result<()> {
    let cancel = Cancel::default();
    let heard = cancel.clone();
    let fetching = tokio::task::spawn_blocking(move || fetch_blocking(&heard));
    let outcome = interrupts.guard(fetching).await;
    if outcome.is_err() {
        cancel.cancel();
    }
    let fetched = outcome?.context("the fetch broke off")??;
    say::note(fetched.path.display());
    if let Some(warning) = fetched.warning {
        say::note(warning);
    }
    Ok(())
}

fn fetch_blocking(cancel: &Cancel) -> anyhow::Result<Fetched> {
    let surroundings = Surroundings::of_process();
    let folder = surroundings
        .var("LLAMA_ORCH_MODELS_DIR")
        .map(PathBuf::from)
        .or_else(|| default_models_dir(&surroundings))
        .ok_or_else(|| {
            anyhow!("there is no home folder to keep models in: set LLAMA_ORCH_MODELS to a folder")
        })?;
    let shown = Shown::default();
    let fetched = Store::new(folder, surroundings).fetch(&ModelRef::Starter, None, &shown, cancel);
    shown.clear();
    fetched.map_err(|error| Stop::error(exit::FETCH, error.to_string()))
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
        Phase::Unpacking => "unpacking",
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
