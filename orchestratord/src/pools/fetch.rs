//! A model's file: found or fetched, with its progress sent to the driver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config_schema::PoolModel;
use model_store::{Cancel, FetchError, ModelRef, Progress, Transfer};

use super::resources::PoolResources;
use crate::health_view::{FetchView, ReloadStage};
use crate::pool_protocol::PoolEvent;

/// The least time between two words on a fetch's progress, and between two lines of it in the log.
const PROGRESS_STEP: Duration = Duration::from_millis(250);
const PROGRESS_LOG_STEP: Duration = Duration::from_secs(5);

/// A fetch that has sent no progress by then, such as one from a dead network file system, sends that it is under way:
/// the order to load is answered.
pub(super) const SILENT_FETCH: Duration = Duration::from_secs(10);

/// What is to be served.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// As the config names it.
    pub(super) reference: PoolModel,
    /// The checksum its file must have.
    pub(super) sha256: Option<String>,
}

/// A model's file. A model that a server knows by its name has none: its name stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelFile {
    pub(super) path: PathBuf,
    /// Nothing where it could not be read.
    pub(super) identity: Option<FileIdentity>,
}

/// What tells a file from another one that has taken its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    bytes: u64,
    modified: SystemTime,
}

impl FileIdentity {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self { bytes: metadata.len(), modified: metadata.modified().ok()? })
    }
}

/// Cancels a fetch when its future is dropped. Its thread may stay in a system call for a while.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl PoolResources {
    /// The model's file, tried once. Dropped, it cancels the fetch.
    ///
    /// # Errors
    /// Why it is not here, for the owner of the machine.
    pub(super) async fn fetch(&self, model: &Model, purpose: FetchPurpose) -> Result<ModelFile, String> {
        match &model.reference {
            PoolModel::Reference(reference) => self.transfer(reference, model, purpose).await,
            PoolModel::Served(name) => Ok(ModelFile { path: PathBuf::from(name), identity: None }),
        }
    }

    async fn transfer(
        &self,
        reference: &ModelRef,
        model: &Model,
        purpose: FetchPurpose,
    ) -> Result<ModelFile, String> {
        let pool = &self.context.pool;
        let cancel = Cancel::default();
        let _cancel_on_drop = CancelOnDrop(cancel.clone());
        let (views, mut seen) = tokio::sync::watch::channel(None::<FetchView>);
        let fetching = tokio::task::spawn_blocking({
            let (store, reference, sha256) =
                (Arc::clone(&self.context.store), reference.clone(), model.sha256.clone());
            move || {
                let fetched = store.fetch(&reference, sha256.as_deref(), &Reporter(views), &cancel)?;
                let identity = FileIdentity::of(&fetched.path);
                Ok((ModelFile { path: fetched.path, identity }, fetched.warning))
            }
        });
        tokio::pin!(fetching);
        let silence = tokio::time::sleep(SILENT_FETCH);
        tokio::pin!(silence);
        let (mut is_silent, mut last_line) = (true, None::<tokio::time::Instant>);
        loop {
            tokio::select! {
                done = &mut fetching => {
                    let done = done.map_err(|_| "the fetch panicked".to_owned())?;
                    let (file, warning) = done.map_err(describe)?;
                    if let Some(warning) = warning {
                        tracing::warn!(%pool, model = %model.reference, "{warning}");
                    }
                    return Ok(file);
                }
                () = &mut silence, if is_silent => {
                    is_silent = false;
                    tracing::warn!(%pool, model = %model.reference, "the fetch makes no progress");
                    self.send(purpose.event(FetchView { done_bytes: 0, total_bytes: None })).await;
                }
                Ok(()) = seen.changed() => {
                    let Some(view) = *seen.borrow_and_update() else { continue };
                    is_silent = false;
                    self.send(purpose.event(view)).await;
                    if last_line.is_none_or(|last| last.elapsed() >= PROGRESS_LOG_STEP) {
                        last_line = Some(now());
                        tracing::info!(
                            %pool, model = %model.reference, done_bytes = view.done_bytes,
                            total_bytes = view.total_bytes, "fetching"
                        );
                    }
                    tokio::time::sleep(PROGRESS_STEP).await;
                }
            }
        }
    }
}

/// What a fetch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchPurpose {
    Load,
    /// Beside what the pool does otherwise.
    Reload,
}

impl FetchPurpose {
    /// How the driver hears how far it is.
    fn event(self, view: FetchView) -> PoolEvent {
        match self {
            Self::Load => PoolEvent::Fetching(view),
            Self::Reload => PoolEvent::Reloading(ReloadStage::Fetching(Some(view))),
        }
    }
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
