//! The store: one folder, and two rules. A file in it under its own name is whole and was checked. A fetch
//! never changes or removes a whole file: somebody may serve it, and a fetch may fail. A file whose checksum
//! is not the one that is asked for stays, and the other version gets a name of its own beside it.
//!
//! Rules: ORCH-MODEL-2, ORCH-STORE-1, ORCH-STORE-8, HOME-MODEL-2

use std::path::{Path, PathBuf};

use crate::at_path::{
    AtPath, are_parts_of_one, check_parts, files_of, first_of, look, why_empty, with_part_name,
};
use crate::checked::Memory;
use crate::download::{Download, Existing, Tools, adopt_part};
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::{HfRepo, ModelRef};
use crate::place;
use crate::progress::{Cancel, Progress, Watch};
use crate::rejections::Rejections;
use crate::starter;
use crate::surroundings::Env;
use crate::web::{Remote, RetryPolicy, Web};

mod parts;

/// The share of the memory that weights may take, in percent. The rest is for the KV cache and buffers.
const WEIGHTS_PERCENT: u64 = 85;
/// What an engine takes whatever its model is.
const RUNTIME_BYTES: u64 = 512 << 20;

/// Finds and fetches models.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    surroundings: Env,
    patience: RetryPolicy,
    rejections: Rejections,
    /// Bytes that the weights of a model may take, where that is known.
    memory: Option<u64>,
}

/// A model's file, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// What to tell the user once: that nothing says whether this is the file that was meant.
    pub warning: Option<String>,
}

/// Whether a model's file is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not.
    Absent,
    /// There is a file, and nothing says which checksum it must have.
    Unchecked(PathBuf),
    /// There is the file with the right checksum.
    Right(PathBuf),
    /// There is a file with another checksum.
    Wrong {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: String,
    },
}

impl Store {
    /// A store in a folder, which is made when something is fetched.
    #[must_use]
    pub fn new(dir: PathBuf, surroundings: Env) -> Self {
        let (patience, rejections) = (RetryPolicy::default(), Rejections::default());
        Self { dir, surroundings, patience, rejections, memory: None }
    }

    /// With the memory of this machine, of which a model's weights may take a share: it decides which quantisation of
    /// a repository is the best that fits.
    #[must_use]
    pub fn with_memory(self, bytes: Option<u64>) -> Self {
        let for_weights = |bytes: u64| (bytes / 100 * WEIGHTS_PERCENT).saturating_sub(RUNTIME_BYTES);
        Self { memory: bytes.map(for_weights), ..self }
    }

    pub(crate) const fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Whether the weights of a model of so many bytes fit the memory of this machine; nothing where that is not known.
    #[must_use]
    pub fn fits(&self, bytes: u64) -> Option<bool> {
        self.memory.map(|memory| bytes <= memory)
    }

    /// The checksum of a file, where it was computed before and the file is still the same. Reads nothing of it.
    #[must_use]
    pub fn known_sum(&self, path: &Path) -> Option<String> {
        Memory::in_store(&self.dir).known(path)
    }

    pub(crate) const fn env(&self) -> &Env {
        &self.surroundings
    }

    pub(crate) const fn patience(&self) -> RetryPolicy {
        self.patience
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model's file, when it is on this machine already: in the store, in the Hugging Face cache, or
    /// where a `file:` reference says. Looks at names only; [`Self::fetch`] checks.
    #[must_use]
    pub fn locate(&self, model: &ModelRef) -> Option<PathBuf> {
        let has_all = |path: &PathBuf| match model {
            ModelRef::File(_) => path.is_file(),
            _ => files_of(path).iter().all(|part| part.is_file()),
        };
        self.places(model, None).into_iter().find(has_all)
    }

    /// Where the model's file is, or will be once it is fetched, unless another version is there.
    #[must_use]
    pub fn place(&self, model: &ModelRef) -> PathBuf {
        match model {
            ModelRef::Starter => self.dir.join(starter::FILE),
            ModelRef::File(path) => self.surroundings.expand(path),
            ModelRef::HuggingFace(file) => self.dir.join(place::of_hub_file(file)),
            ModelRef::Repository(repo) => match self.settled(repo) {
                Some((file, _)) => self.dir.join(place::of_hub_file(&file)),
                None => {
                    let HfRepo { owner, repo, revision, .. } = repo;
                    self.dir.join(place::of_repository(owner, repo, revision.as_deref()))
                }
            },
            ModelRef::Url(url) => self.dir.join(place::of_url(url)),
        }
    }

    /// Whether a reference may stand for a file: for one of its versions, under its name or an older name, or
    /// for a model of which the file is a part.
    #[must_use]
    pub fn may_be(&self, model: &ModelRef, path: &Path) -> bool {
        let plain = self.place(model);
        let is_of_version = place::is_version(&first_of(path), &plain);
        let places = [self.locate(model), self.legacy_place(model), Some(plain)];
        is_of_version || places.iter().flatten().any(|place| place == path || are_parts_of_one(place, path))
    }

    /// Every path at which the model's file may be, the likeliest first. Without a checksum to tell, only
    /// those that can be of no other model.
    fn places(&self, model: &ModelRef, sha256: Option<&str>) -> Vec<PathBuf> {
        let plain = self.place(model);
        let version = sha256.map(|sha256| place::of_version(&plain, sha256));
        let (version, legacy, cached) = match model {
            ModelRef::File(_) => (None, None, None),
            ModelRef::Starter => {
                (version, None, hugging_face::find(&starter::on_the_hub(), &self.surroundings))
            }
            ModelRef::HuggingFace(file) => (version, None, hugging_face::find(file, &self.surroundings)),
            ModelRef::Repository(repo) => {
                let settled = self.settled(repo).map(|(file, _)| file);
                (version, None, settled.and_then(|file| hugging_face::find(&file, &self.surroundings)))
            }
            ModelRef::Url(url) => {
                let is_sure = sha256.is_some() || place::has_own_legacy_place(url);
                (version, self.legacy_place(model).filter(|_| is_sure), None)
            }
        };
        [Some(plain), version, legacy, cached].into_iter().flatten().collect()
    }

    /// Where versions up to 1.0 kept it.
    fn legacy_place(&self, model: &ModelRef) -> Option<PathBuf> {
        match model {
            ModelRef::Url(url) => Some(self.dir.join(place::legacy_of_url(url))),
            _ => None,
        }
    }

    /// Makes sure that the model's file is on this machine and is the one that was meant. Blocks until it
    /// is, however long that takes; a broken transfer is resumed, also by a later call. No other file is
    /// changed, whatever happens.
    ///
    /// # Errors
    /// [`FetchError`], with what to do about it.
    pub fn fetch(
        &self,
        model: &ModelRef,
        sha256: Option<&str>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Fetched, FetchError> {
        let watch = Watch { progress, cancel };
        if let ModelRef::Repository(repo) = model {
            let (file, known) = self.settle(repo, watch)?;
            return self.fetch_file(&ModelRef::HuggingFace(file), sha256, known.as_deref(), watch);
        }
        self.fetch_file(model, sha256, None, watch)
    }

    /// `known` is the checksum by which a download is verified where none is given: what is here is used as it is.
    fn fetch_file(
        &self,
        model: &ModelRef,
        sha256: Option<&str>,
        known: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<Fetched, FetchError> {
        let expected = self.expected(model, sha256)?;
        let wanted = expected.as_deref().or(known);
        let warning = wanted.is_none().then(|| no_checksum(model));
        loop {
            let found = match self.find(model, expected.as_deref(), watch)? {
                Presence::Unchecked(path) | Presence::Right(path) => Some(path),
                Presence::Absent | Presence::Wrong { .. } if matches!(model, ModelRef::File(_)) => {
                    return Err(self.no_file(model, expected.as_deref(), watch));
                }
                Presence::Absent => None,
                Presence::Wrong { path, .. } => {
                    let path = path.display();
                    watch.progress.note(&format!(
                        "`{path}` has another checksum and stays; fetching the file beside it"
                    ));
                    None
                }
            };
            let path = match found {
                Some(path) => Some(path),
                None => self.download(model, wanted, watch)?,
            };
            // Otherwise another process brought a file, and may have been told another checksum.
            if let Some(path) = path {
                self.fetch_parts(model, &path, watch)?;
                return Ok(Fetched { path, warning });
            }
        }
    }

    /// Looks whether the model's file is on this machine and is the one that is meant; fetches and changes
    /// nothing. Blocks while a file is read through that was not checked before.
    ///
    /// # Errors
    /// [`FetchError`]: something is in its place, the file cannot be read, or the check was canceled.
    pub fn check(
        &self,
        model: &ModelRef,
        sha256: Option<&str>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Presence, FetchError> {
        let expected = self.expected(model, sha256)?;
        if let ModelRef::Repository(repo) = model {
            let Some((file, _)) = self.settled(repo) else { return Ok(Presence::Absent) };
            return self.find(&ModelRef::HuggingFace(file), expected.as_deref(), Watch { progress, cancel });
        }
        self.find(model, expected.as_deref(), Watch { progress, cancel })
    }

    fn find(
        &self,
        model: &ModelRef,
        expected: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<Presence, FetchError> {
        let mut wrong = None;
        self.check_first_part(model)?;
        for path in self.places(model, expected) {
            let path = if matches!(model, ModelRef::File(_)) { with_part_name(path) } else { path };
            match (look(&path)?, model) {
                (AtPath::File, _) => {}
                (AtPath::Empty, ModelRef::File(_)) => {
                    let obstacle = why_empty(&path);
                    return Err(FetchError::Obstacle { path, obstacle });
                }
                // A fetch puts the right file in an empty one's place: nobody can serve that.
                (AtPath::Empty | AtPath::Nothing, _) => continue,
            }
            if let ModelRef::File(_) = model {
                check_parts(&path)?;
            }
            let Some(expected) = expected else { return Ok(Presence::Unchecked(path)) };
            if is_named_by(&path, expected) {
                return Ok(Presence::Right(path));
            }
            let found = Memory::in_store(&self.dir).sum(&path, watch)?;
            if found == expected {
                return Ok(Presence::Right(path));
            }
            wrong.get_or_insert(Presence::Wrong { path, found });
        }
        Ok(wrong.unwrap_or(Presence::Absent))
    }

    /// Why a `file:` reference has no file that fits.
    fn no_file(&self, model: &ModelRef, expected: Option<&str>, watch: Watch<'_>) -> FetchError {
        match self.find(model, expected, watch) {
            Ok(Presence::Wrong { path, found }) => FetchError::Checksum {
                path,
                expected: expected.unwrap_or_default().to_owned(),
                found,
                hint: "correct the pool's `sha256`, or replace the file",
            },
            Ok(_) => FetchError::Missing(self.place(model)),
            Err(error) => error,
        }
    }

    /// Fetches the file to where no other is. Nothing when a file came there meanwhile.
    fn download(
        &self,
        model: &ModelRef,
        expected: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<Option<PathBuf>, FetchError> {
        let plain = self.place(model);
        let (target, existing) = match (look(&plain)?, expected) {
            (AtPath::File, Some(expected)) => (place::of_version(&plain, expected), Existing::Repair),
            _ => (plain, Existing::Keep),
        };
        let download = |remote: &Remote| {
            let download = Download { remote, target: &target, sha256: expected, existing };
            self.download_to(&download, watch)
        };
        let is_new = match model {
            ModelRef::Starter => {
                let fetched =
                    self.check_online(model).and_then(|()| download(&starter::remote(&self.surroundings)));
                fetched.map_err(|error| starter::with_ways_out(error, &target))?
            }
            ModelRef::HuggingFace(file) => {
                self.check_online(model)?;
                download(&hugging_face::remote(file, None, &self.surroundings))?
            }
            ModelRef::Url(url) => {
                let remote = Remote::open(url);
                if let Some(legacy) = self.legacy_place(model) {
                    adopt_part(&legacy, &target, &remote.url);
                }
                download(&remote)?
            }
            ModelRef::File(_) => unreachable!("a named file is never fetched"),
            ModelRef::Repository(_) => unreachable!("a repository is settled to a file first"),
        };
        Ok(is_new.then_some(target))
    }

    /// Fetches one file. Whether it was fetched: another may have come there meanwhile.
    fn download_to(&self, download: &Download<'_>, watch: Watch<'_>) -> Result<bool, FetchError> {
        let web = Web::new(&self.surroundings, self.patience);
        let (patience, rejections, memory) = (self.patience, &self.rejections, self.memory);
        let tools = Tools { web: &web, patience, rejections, memory, watch };
        let Some(sum) = download.run(&tools)? else { return Ok(false) };
        let target = download.target;
        if let Ok(state) = target.metadata() {
            Memory::in_store(&self.dir).remember(target, &state, &sum);
        }
        Ok(true)
    }

    /// The checksum that the file must have, in lower case. The starter model's is known.
    fn expected(&self, model: &ModelRef, given: Option<&str>) -> Result<Option<String>, FetchError> {
        let given = given.map(str::to_ascii_lowercase);
        match (model, given) {
            (ModelRef::Starter, Some(given)) if given != starter::SHA256 => Err(FetchError::Checksum {
                path: self.place(model),
                expected: given,
                found: starter::SHA256.to_owned(),
                hint: "leave the pool's `sha256` out: the starter model's is known",
            }),
            (ModelRef::Starter, _) => Ok(Some(starter::SHA256.to_owned())),
            (_, given) => Ok(given),
        }
    }
}

/// Whether a store of other programs, as Ollama's, names a file by its checksum: it has verified the file, and reading it
/// through once more would hold its first load up by minutes.
fn is_named_by(path: &Path, sha256: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix("sha256-")) == Some(sha256)
}

fn no_checksum(model: &ModelRef) -> String {
    format!("no checksum is given for `{model}`: set the pool's `sha256` to be sure of the file")
}

#[cfg(test)]
mod tests;
