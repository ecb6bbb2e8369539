//! A model's file: found or fetched, with its progress told and a fetch that failed tried again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config_schema::PoolModel;
use model_store::{Cancel, FetchError, ModelRef, Progress, Transfer};

use super::Means;
use crate::health_view::{FetchView, ReloadStage};
use crate::keeper::PoolEvent;

/// The wait before a failed fetch is tried again: at first, and at most.
const FETCH_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// The least time between two words on a fetch's progress, and between two lines of it in the log.
const PROGRESS_STEP: Duration = Duration::from_millis(250);
const PROGRESS_LOG_STEP: Duration = Duration::from_secs(5);

/// What is to be served, and where its file is.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// As the config names it.
    pub(super) reference: PoolModel,
    /// The checksum its file must have.
    pub(super) sha256: Option<String>,
}

impl Means {
    /// The model's file, however long that takes; nothing when the shutdown came first. A model that a server
    /// knows by its name has none: its name stands for it.
    pub(super) async fn fetched(&self, model: &Model) -> Option<PathBuf> {
        let mut wait = FETCH_RETRY.0;
        loop {
            let why = match self.fetch_once(model, Told::OfLoad).await {
                Ok(path) => return Some(path),
                Err(_) if self.shutdown.is_cancelled() => return None,
                Err(why) => why,
            };
            tracing::error!(pool = %self.pool, model = %model.reference, reason = why, retry_s = wait.as_secs(), "no model");
            self.tell(PoolEvent::FetchFailed { why, retry_in: wait }).await;
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(FETCH_RETRY.1);
        }
    }

    /// The model's file, tried once.
    ///
    /// # Errors
    /// Why it is not here, for the owner of the machine.
    pub(super) async fn fetch_once(&self, model: &Model, told: Told) -> Result<PathBuf, String> {
        match &model.reference {
            PoolModel::Reference(reference) => self.transfer(reference, model, told).await,
            PoolModel::Served(name) => Ok(PathBuf::from(name)),
        }
    }

    async fn transfer(&self, reference: &ModelRef, model: &Model, told: Told) -> Result<PathBuf, String> {
        let cancel = Cancel::default();
        let (views, mut seen) = tokio::sync::watch::channel(None::<FetchView>);
        let fetching = tokio::task::spawn_blocking({
            let (store, reference, sha256) =
                (Arc::clone(&self.store), reference.clone(), model.sha256.clone());
            let cancel = cancel.clone();
            move || store.fetch(&reference, sha256.as_deref(), &Reporter(views), &cancel)
        });
        tokio::pin!(fetching);
        let mut last_line = None::<tokio::time::Instant>;
        loop {
            tokio::select! {
                done = &mut fetching => {
                    let fetched = done.map_err(|_| "the fetch panicked".to_owned())?.map_err(describe)?;
                    if let Some(warning) = &fetched.warning {
                        tracing::warn!(pool = %self.pool, model = %model.reference, "{warning}");
                    }
                    return Ok(fetched.path);
                }
                // Its thread may sit in a system call for a while yet: nobody waits for it.
                () = self.shutdown.cancelled() => {
                    cancel.cancel();
                    return Err("canceled".to_owned());
                }
                Ok(()) = seen.changed() => {
                    let Some(view) = *seen.borrow_and_update() else { continue };
                    self.tell(match told {
                        Told::OfLoad => PoolEvent::Fetching(view),
                        Told::OfReload => PoolEvent::Reloading(ReloadStage::Fetching(Some(view))),
                    })
                    .await;
                    if last_line.is_none_or(|last| last.elapsed() >= PROGRESS_LOG_STEP) {
                        last_line = Some(now());
                        tracing::info!(
                            pool = %self.pool, model = %model.reference, done_bytes = view.done_bytes,
                            total_bytes = view.total_bytes, "fetching"
                        );
                    }
                    tokio::time::sleep(PROGRESS_STEP).await;
                }
            }
        }
    }
}

/// What a fetch is for, and so as what the driver hears how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    OfLoad,
    /// Beside a model that serves.
    OfReload,
}

#[expect(clippy::disallowed_methods, reason = "how often the log speaks decides nothing")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// An error and its causes, for the owner of the machine.
fn describe(error: FetchError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Passes the newest figures on; those in between are of no use to anybody.
struct Reporter(tokio::sync::watch::Sender<Option<FetchView>>);

impl Progress for Reporter {
    fn transfer(&self, transfer: Transfer<'_>) {
        self.0.send_replace(Some(FetchView { done_bytes: transfer.done, total_bytes: transfer.total }));
    }

    fn note(&self, text: &str) {
        tracing::info!("{text}");
    }
}
