//! The models of this machine, and those that somebody has fetched without serving them yet. A fetch changes nothing that
//! is served; its list and the number that run at a time are bounded.
//!
//! ```text
//! Waiting ──a place is free──► Fetching, Checking ──► Done
//!    │                                │
//!    └────────────cancel──────────────┴─────────────► Canceled, Failed
//! ```
//!
//! Rules: ORCH-CON-13, ORCH-MODEL-14

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_api::redact::without_folders;
use model_store::{Cancel, Extent, FetchError, KeptFile, ModelRef, Phase, Progress, Store, Transfer};
use tokio::sync::Semaphore;

use crate::tasks;

/// The most fetches on the list, those that are over included.
pub const FETCHES_MAX: usize = 32;

/// The most fetches that run at a time: more would only share the line.
const AT_ONCE: usize = 2;

/// The folder of models.
pub struct ModelFolder {
    store: Arc<Store>,
    list: Mutex<List>,
    places: Semaphore,
}

#[derive(Default)]
struct List {
    last_id: u64,
    fetches: Vec<Fetch>,
}

/// One fetch.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Its number.
    pub id: u64,
    /// What is fetched.
    pub model: ModelRef,
    /// The checksum that it must have.
    sha256: Option<String>,
    /// Where it is.
    pub state: FetchState,
    /// Bytes that are here.
    pub done_bytes: u64,
    /// Bytes in all, where the source says.
    pub total_bytes: Option<u64>,
    /// What there is to say about it.
    pub message: Option<String>,
    cancel: Cancel,
}

/// Where a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchState {
    /// Others are fetched before it.
    Waiting,
    /// Its bytes come.
    Fetching,
    /// Its checksum is computed.
    Checking,
    /// The file is here.
    Done,
    /// It is not, for the reason in its message.
    Failed,
    /// It was canceled. What is here stays for the next fetch.
    Canceled,
}

impl FetchState {
    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }
}

/// A file, and the pools that serve it.
#[derive(Clone, Debug)]
pub struct StoredFile {
    /// The file.
    pub file: KeptFile,
    /// The pools.
    pub pools: Vec<String>,
}

/// The file of a model that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Its name, without folders.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was written, in seconds since 1970.
    pub modified_unix_s: Option<u64>,
}

/// The list of fetches is full of those that are not over.
#[derive(Debug, PartialEq, Eq)]
pub struct ListFull;

impl ModelFolder {
    /// The folder of this store.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store, list: Mutex::default(), places: Semaphore::new(AT_ONCE) })
    }

    /// The files, and which of the pools, given with their models, serve each. Blocks while it looks.
    ///
    /// # Errors
    /// Why the folder cannot be read.
    pub fn files(&self, pools: &[(String, String)]) -> std::io::Result<Vec<StoredFile>> {
        let served: Vec<_> =
            pools.iter().filter_map(|(pool, model)| Some((pool, ModelRef::parse(model).ok()?))).collect();
        let of = |file: KeptFile| {
            let serves = |model: &ModelRef| match self.store.locate(model) {
                Some(path) => file.extent == Extent::Whole && canonical(&path) == canonical(&file.path),
                None => self.store.may_be(model, &file.path),
            };
            let pools = served.iter().filter(|(_, model)| serves(model)).map(|(pool, _)| (*pool).clone());
            StoredFile { pools: pools.collect(), file }
        };
        Ok(self.store.files()?.into_iter().map(of).collect())
    }

    /// The file of a model, where it is on this machine. Blocks while it looks.
    #[must_use]
    pub fn file_of(&self, model: &str) -> Option<ModelFile> {
        let path = self.store.locate(&ModelRef::parse(model).ok()?)?;
        let about = path.metadata().ok()?;
        let since = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Some(ModelFile {
            name: path.file_name()?.to_string_lossy().into_owned(),
            bytes: model_store::bytes_of(&path),
            modified_unix_s: since.map(|since| since.as_secs()),
        })
    }

    /// The fetches, the last one first.
    #[must_use]
    pub fn fetches(&self) -> Vec<Fetch> {
        self.list().fetches.iter().rev().cloned().collect()
    }

    /// Fetches a model, unless that is being done already. Returns the number of the fetch.
    ///
    /// # Errors
    /// [`ListFull`].
    pub fn fetch(self: &Arc<Self>, model: ModelRef, sha256: Option<String>) -> Result<u64, ListFull> {
        let (id, cancel) = {
            let mut list = self.list();
            let same =
                |fetch: &&Fetch| !fetch.state.is_over() && fetch.model == model && fetch.sha256 == sha256;
            if let Some(known) = list.fetches.iter().find(same) {
                return Ok(known.id);
            }
            // Another try takes the place of one that is over.
            list.fetches.retain(|fetch| !(fetch.state.is_over() && fetch.model == model));
            if list.fetches.len() >= FETCHES_MAX {
                let over = list.fetches.iter().position(|fetch| fetch.state.is_over()).ok_or(ListFull)?;
                list.fetches.remove(over);
            }
            list.last_id += 1;
            let (id, cancel) = (list.last_id, Cancel::default());
            list.fetches.push(Fetch {
                id,
                model: model.clone(),
                sha256: sha256.clone(),
                state: FetchState::Waiting,
                done_bytes: 0,
                total_bytes: None,
                message: None,
                cancel: cancel.clone(),
            });
            (id, cancel)
        };
        tasks::spawn(Arc::clone(self).run(id, model, sha256, cancel));
        Ok(id)
    }

    /// Cancels a fetch, or takes one that is over off the list. Whether there was one.
    pub fn cancel(&self, id: u64) -> bool {
        let mut list = self.list();
        let Some(at) = list.fetches.iter().position(|fetch| fetch.id == id) else { return false };
        if list.fetches[at].state.is_over() {
            list.fetches.remove(at);
        } else {
            list.fetches[at].cancel.cancel();
            list.fetches[at].state = FetchState::Canceled;
        }
        true
    }

    /// Carries a fetch out. Dropped with the daemon, it ends the transfer.
    async fn run(self: Arc<Self>, id: u64, model: ModelRef, sha256: Option<String>, cancel: Cancel) {
        let _ends_with_the_daemon = CancelOnDrop(cancel.clone());
        let Ok(_place) = self.places.acquire().await else { return };
        if cancel.is_canceled() {
            return;
        }
        tracing::info!(%model, "fetching a model for the models folder");
        let folder = Arc::clone(&self);
        let reference = model.clone();
        let fetching = tokio::task::spawn_blocking(move || {
            let reporter = Reporter { folder: &folder, id };
            folder.store.fetch(&reference, sha256.as_deref(), &reporter, &cancel)
        });
        let outcome = fetching.await;
        self.change(id, |fetch| match outcome {
            Ok(Ok(fetched)) => {
                let bytes = model_store::bytes_of(&fetched.path);
                (fetch.state, fetch.done_bytes, fetch.total_bytes) = (FetchState::Done, bytes, Some(bytes));
                fetch.message = fetched.warning.as_deref().map(without_folders);
            }
            Ok(Err(FetchError::Canceled)) => fetch.state = FetchState::Canceled,
            Ok(Err(error)) => {
                let why = format!("{:#}", anyhow::Error::new(error));
                tracing::warn!(%model, reason = why, "a model was not fetched");
                (fetch.state, fetch.message) = (FetchState::Failed, Some(without_folders(&why)));
            }
            Err(_) => {
                let why = "the daemon has a defect; its log says more".to_owned();
                (fetch.state, fetch.message) = (FetchState::Failed, Some(why));
            }
        });
    }

    /// Changes a fetch that is not over.
    fn change(&self, id: u64, change: impl FnOnce(&mut Fetch)) {
        let mut list = self.list();
        if let Some(fetch) = list.fetches.iter_mut().find(|fetch| fetch.id == id && !fetch.state.is_over()) {
            change(fetch);
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn canonical(path: &std::path::Path) -> std::path::PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Ends a transfer when the future that waits for it is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Writes how far a fetch is into the list.
struct Reporter<'f> {
    folder: &'f ModelFolder,
    id: u64,
}

impl Progress for Reporter<'_> {
    fn transfer(&self, transfer: Transfer<'_>) {
        self.folder.change(self.id, |fetch| {
            fetch.state = match transfer.phase {
                Phase::Fetching => FetchState::Fetching,
                Phase::Checking => FetchState::Checking,
            };
            (fetch.done_bytes, fetch.total_bytes) = (transfer.done, transfer.total);
        });
    }

    fn note(&self, text: &str) {
        tracing::info!("{text}");
    }
}

#[cfg(test)]
mod tests;
