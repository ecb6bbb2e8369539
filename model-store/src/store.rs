//! The store: one folder, and two rules. A file in it under its own name is whole and was checked. A fetch
//! never changes or removes a whole file: somebody may serve it, and a fetch may fail. A file whose checksum
//! is not the one that is asked for stays, and the other version gets a name of its own beside it.
//!
//! Rules: ORCH-MODEL-2, ORCH-STORE-1, HOME-MODEL-2

use std::path::{Path, PathBuf};

use crate::at_path::{AtPath, Obstacle, are_parts_of_one, check_parts, look};
use crate::checked::Memory;
use crate::download::{Download, Existing, Tools, adopt_part};
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::ModelRef;
use crate::place;
use crate::progress::{Cancel, Progress, Watch};
use crate::rejections::Rejections;
use crate::starter;
use crate::surroundings::Env;
use crate::web::{Remote, RetryPolicy, Web};

/// Finds and fetches models.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    surroundings: Env,
    patience: RetryPolicy,
    rejections: Rejections,
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
        Self { dir, surroundings, patience: RetryPolicy::default(), rejections: Rejections::default() }
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
        self.places(model, None).into_iter().find(|path| path.is_file())
    }

    /// Where the model's file is, or will be once it is fetched, unless another version is there.
    #[must_use]
    pub fn place(&self, model: &ModelRef) -> PathBuf {
        match model {
            ModelRef::Starter => self.dir.join(starter::FILE),
            ModelRef::File(path) => self.surroundings.expand(path),
            ModelRef::HuggingFace(file) => self.dir.join(place::of_hub_file(file)),
            ModelRef::Url(url) => self.dir.join(place::of_url(url)),
        }
    }

    /// Whether a reference may stand for a file: for one of its versions, under its name or an older name, or
    /// for a model of which the file is a part.
    #[must_use]
    pub fn may_be(&self, model: &ModelRef, path: &Path) -> bool {
        let plain = self.place(model);
        let is_of_version = place::is_version(path, &plain);
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
        let expected = self.expected(model, sha256)?;
        let found = match self.find(model, expected.as_deref(), watch)? {
            Presence::Unchecked(path) | Presence::Right(path) => Some(path),
            Presence::Absent | Presence::Wrong { .. } if matches!(model, ModelRef::File(_)) => {
                return Err(self.no_file(model, expected.as_deref(), watch));
            }
            Presence::Absent => None,
            Presence::Wrong { path, .. } => {
                let path = path.display();
                progress
                    .note(&format!("`{path}` has another checksum and stays; fetching the file beside it"));
                None
            }
        };
        let path = match found {
            Some(path) => path,
            None => match self.download(model, expected.as_deref(), watch)? {
                Some(path) => path,
                // Another process brought a file, and may have been told another checksum.
                None => return self.fetch(model, sha256, progress, cancel),
            },
        };
        let warning = expected.is_none().then(|| no_checksum(model));
        Ok(Fetched { path, warning })
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
        self.find(model, expected.as_deref(), Watch { progress, cancel })
    }

    fn find(
        &self,
        model: &ModelRef,
        expected: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<Presence, FetchError> {
        let mut wrong = None;
        for path in self.places(model, expected) {
            match (look(&path)?, model) {
                (AtPath::File, _) => {}
                (AtPath::Empty, ModelRef::File(_)) => return Err(empty(path)),
                // A fetch puts the right file in an empty one's place: nobody can serve that.
                (AtPath::Empty | AtPath::Nothing, _) => continue,
            }
            if let ModelRef::File(_) = model {
                check_parts(&path)?;
            }
            let Some(expected) = expected else { return Ok(Presence::Unchecked(path)) };
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
        let web = Web::new(&self.surroundings, self.patience);
        let tools = Tools { web: &web, patience: self.patience, rejections: &self.rejections, watch };
        let download =
            |remote: &Remote| Download { remote, target: &target, sha256: expected, existing }.run(&tools);
        let sum = match model {
            ModelRef::Starter => download(&starter::remote(&self.surroundings))
                .map_err(|error| starter::with_ways_out(error, &target))?,
            ModelRef::HuggingFace(file) => download(&hugging_face::remote(file, None, &self.surroundings))?,
            ModelRef::Url(url) => {
                let remote = Remote::open(url);
                if let Some(legacy) = self.legacy_place(model) {
                    adopt_part(&legacy, &target, &remote.url);
                }
                download(&remote)?
            }
            ModelRef::File(_) => unreachable!("a named file is never fetched"),
        };
        let Some(sum) = sum else { return Ok(None) };
        if let Ok(state) = target.metadata() {
            Memory::in_store(&self.dir).remember(&target, &state, &sum);
        }
        Ok(Some(target))
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

fn empty(path: PathBuf) -> FetchError {
    FetchError::Obstacle { path, obstacle: Obstacle::Empty }
}

fn no_checksum(model: &ModelRef) -> String {
    format!("no checksum is given for `{model}`: set the pool's `sha256` to be sure of the file")
}

#[cfg(test)]
mod tests;
