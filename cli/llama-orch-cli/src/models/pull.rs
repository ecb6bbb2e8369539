//! `models pull`: a model's file on this machine before it is needed.
//!
//! Rules: ORCH-CLI-6

use std::sync::Arc;
use std::time::{Duration, Instant};

use model_store::{Cancel, FetchError, Fetched, Phase, Progress, Transfer};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::Shelf;
use crate::args::PullArgs;
use crate::clock;
use crate::connection::Host;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;
use crate::ui::Ui;

/// The least time from one word on the progress to the next: on a terminal, and in a log.
const LIVE_STEP: Duration = Duration::from_millis(200);
const LOG_STEP: Duration = Duration::from_secs(5);
/// Notes that wait to be said; a fetch says few.
const NOTES_BOUND: usize = 64;

/// Fetches it.
///
/// # Errors
/// It cannot be fetched, the name is none, the configuration is wrong, or a signal came.
pub async fn pull(cx: &mut Context, args: PullArgs) -> Result<Exit, Stop> {
    let shelf = Shelf::find()?;
    let model = shelf.reference(&args.model)?;
    if cx.api.host() == Host::Other {
        cx.ui.say(&format!(
            "this fetches to this machine; the daemon at {} is on another one, and fetches by itself what it serves",
            cx.api.url()
        ));
    }
    let sha256 = args.sha256.or_else(|| shelf.checksum(&model));
    let cancel = Cancel::default();
    let (seen, mut progress) = watch::channel(None);
    let (say, mut notes) = mpsc::channel(NOTES_BOUND);
    let (store, named, stop) = (shelf.store, model.clone(), cancel.clone());
    let fetching = tokio::task::spawn_blocking(move || {
        let reporter = Reporter { seen, say };
        let fetched = store.fetch(&named, sha256.as_deref(), &reporter, &stop);
        (fetched, reporter.seen.borrow().as_ref().map(|seen: &Seen| seen.done))
    });
    tokio::pin!(fetching);
    let mut shown = Shown::default();
    let mut signal = None;
    let (fetched, done) = loop {
        tokio::select! {
            biased;
            exit = cx.interrupts.next(), if signal.is_none() => {
                cancel.cancel();
                signal = Some(exit);
            }
            ended = &mut fetching => break ended.map_err(|_| Failure::new(Exit::Failed, "the fetch panicked"))?,
            Some(note) = notes.recv() => cx.ui.note(&note),
            Ok(()) = progress.changed() => {
                let seen = progress.borrow_and_update().clone();
                if let Some(seen) = seen {
                    shown.show(&mut cx.ui, &seen, clock::now());
                }
            }
        }
    };
    // What was said at the last moment: of a small model, whether it fits.
    while let Ok(note) = notes.try_recv() {
        cx.ui.note(&note);
    }
    cx.ui.clear_live();
    match fetched {
        Ok(fetched) => {
            said(cx, &model.to_string(), &fetched, args.json)?;
            Ok(Exit::Done)
        }
        Err(FetchError::Canceled) => {
            let kept = text::bytes(done.unwrap_or(0));
            cx.ui.note(&format!("{kept} are kept: `llama-orch models pull {model}` goes on from there"));
            Err(Stop::Signal(signal.unwrap_or(Exit::Failed)))
        }
        Err(error) => Err(Failure::of_text(exit_of(&error), &error.to_string()).into()),
    }
}

fn said(cx: &mut Context, model: &str, fetched: &Fetched, json: bool) -> Result<(), Stop> {
    if let Some(warning) = &fetched.warning {
        cx.ui.note(warning);
    }
    if json {
        let bytes = model_store::bytes_of(&fetched.path);
        let line =
            json!({ "model_ref": model, "path": fetched.path, "bytes": bytes, "warning": fetched.warning });
        return Ok(cx.ui.print(&line.to_string())?);
    }
    Ok(cx.ui.print(&fetched.path.display().to_string())?)
}

const fn exit_of(error: &FetchError) -> Exit {
    match error {
        FetchError::Missing(_) | FetchError::NotFound { .. } | FetchError::Denied { .. } => Exit::Refused,
        _ => Exit::Failed,
    }
}

/// How far a fetch is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    phase: Phase,
    source: Arc<str>,
    done: u64,
    total: Option<u64>,
}

/// Passes the newest figures on from the thread that fetches.
struct Reporter {
    seen: watch::Sender<Option<Seen>>,
    say: mpsc::Sender<String>,
}

impl Progress for Reporter {
    fn transfer(&self, transfer: Transfer<'_>) {
        let Transfer { phase, source, done, total } = transfer;
        self.seen.send_replace(Some(Seen { phase, source: source.into(), done, total }));
    }

    fn note(&self, text: &str) {
        // One that nobody has the time to read is lost.
        let _ = self.say.try_send(text.to_owned());
    }
}

/// What was shown last, and since when bytes flow.
#[derive(Default)]
struct Shown {
    last: Option<Instant>,
    /// Of the phase that is going on: when it began, and with how many bytes.
    began: Option<(Phase, Instant, u64)>,
}

impl Shown {
    fn show(&mut self, ui: &mut Ui, seen: &Seen, now: Instant) {
        let (start, from) = match self.began {
            Some((phase, start, from)) if phase == seen.phase && from <= seen.done => (start, from),
            _ => {
                self.began = Some((seen.phase, now, seen.done));
                (now, seen.done)
            }
        };
        let step = if ui.live_is_cheap() { LIVE_STEP } else { LOG_STEP };
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < step) {
            return;
        }
        self.last = Some(now);
        ui.live(&describe(seen, seen.done - from, now.saturating_duration_since(start)));
    }
}

/// How far it is, how fast, and how long it will take.
fn describe(seen: &Seen, gained: u64, elapsed: Duration) -> String {
    let word = match seen.phase {
        Phase::Fetching => "fetching from",
        Phase::Checking => "checking",
    };
    let mut line = format!("{word} {}: {}", seen.source, text::bytes(seen.done));
    if let Some(total) = seen.total.filter(|total| *total > 0) {
        let percent = seen.done.min(total) * 100 / total;
        line.push_str(&format!(" of {} ({percent} %)", text::bytes(total)));
    }
    let rate = gained as f64 / elapsed.as_secs_f64();
    if elapsed >= Duration::from_secs(1) && rate >= 1.0 {
        line.push_str(&format!(", {}/s", text::bytes(rate as u64)));
        if let Some(left) = seen.total.and_then(|total| total.checked_sub(seen.done)).filter(|left| *left > 0)
        {
            let left = Duration::try_from_secs_f64(left as f64 / rate).unwrap_or(Duration::MAX);
            line.push_str(&format!(", {} left", text::countdown(left)));
        }
    }
    line
}

#[cfg(test)]
mod tests;
