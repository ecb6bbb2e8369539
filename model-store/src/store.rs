//! The store: one folder, and the rule that a file in it under its own name is whole and was checked.

use std::path::{Path, PathBuf};

use crate::checked::{Memory, Sum};
use crate::download::{Download, Tools};
use crate::error::FetchError;
use crate::hugging_face;
use crate::model_ref::{HfFile, ModelRef, file_name_of_url_path};
use crate::progress::{Cancel, Progress, Watch};
use crate::starter;
use crate::surroundings::Surroundings;
use crate::web::{Patience, Remote, Web};

/// Hexadecimal digits of a URL's hash in a file's name: short to read, and no two of one user's URLs meet.
const URL_HASH_DIGITS: usize = 12;

/// Finds and fetches models.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    surroundings: Surroundings,
    patience: Patience,
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
    pub fn new(dir: PathBuf, surroundings: Surroundings) -> Self {
        Self { dir, surroundings, patience: Patience::default() }
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
        let own = Some(self.place(model)).filter(|path| path.is_file());
        own.or_else(|| match model {
            ModelRef::Starter => hugging_face::find(&starter::on_the_hub(), &self.surroundings),
            ModelRef::HuggingFace(file) => hugging_face::find(file, &self.surroundings),
            ModelRef::File(_) | ModelRef::Url(_) => None,
        })
    }

    /// Where the model's file is, or will be once it is fetched.
    #[must_use]
    pub fn place(&self, model: &ModelRef) -> PathBuf {
        match model {
            ModelRef::Starter => self.dir.join(starter::FILE),
            ModelRef::File(path) => self.surroundings.expand(path),
            ModelRef::HuggingFace(HfFile { owner, repo, path }) => {
                self.dir.join("hf").join(owner).join(repo).join(path)
            }
            ModelRef::Url(url) => self.dir.join("web").join(url_path(url)),
        }
    }

    /// Makes sure that the model's file is on this machine and is the one that was meant. Blocks until it
    /// is, however long that takes; a broken transfer is resumed, also by a later call.
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
        let warning = || expected.is_none().then(|| no_checksum(model));
        if let Some(path) = self.locate(model) {
            if self.is_as_expected(&path, model, expected.as_deref(), watch)? {
                return Ok(Fetched { path, warning: warning() });
            }
        } else if let ModelRef::File(_) = model {
            return Err(FetchError::Missing(self.place(model)));
        }
        let target = self.place(model);
        let web = Web::new(&self.surroundings, self.patience);
        let tools = Tools { web: &web, patience: self.patience, watch };
        let sum = match model {
            ModelRef::Starter => Some(starter::fetch(&target, &self.surroundings, &tools)?),
            ModelRef::HuggingFace(file) => {
                let remote = hugging_face::remote(file, None, &self.surroundings);
                Download { remote: &remote, target: &target, sha256: expected.as_deref() }.run(&tools)?
            }
            ModelRef::Url(url) => {
                let remote = Remote::open(url);
                Download { remote: &remote, target: &target, sha256: expected.as_deref() }.run(&tools)?
            }
            ModelRef::File(_) => unreachable!("a file is located or missing"),
        };
        match sum {
            Some(sum) => {
                if let Ok(state) = target.metadata() {
                    Memory::in_store(&self.dir).remember(&target, &state, &sum);
                }
            }
            // Another process brought it, and may have been told another checksum.
            None => {
                if !self.is_as_expected(&target, model, expected.as_deref(), watch)? {
                    return self.fetch(model, sha256, progress, cancel);
                }
            }
        }
        Ok(Fetched { path: target, warning: warning() })
    }

    /// Looks whether the model's file is on this machine and is the one that is meant; fetches and removes
    /// nothing. Blocks while a file is read through that was not checked before.
    ///
    /// # Errors
    /// [`FetchError`]: the file cannot be read, or the check was canceled.
    pub fn check(
        &self,
        model: &ModelRef,
        sha256: Option<&str>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Presence, FetchError> {
        let expected = self.expected(model, sha256)?;
        let Some(path) = self.locate(model) else { return Ok(Presence::Absent) };
        let Some(expected) = expected else { return Ok(Presence::Unchecked(path)) };
        let found = Memory::in_store(&self.dir).sum(&path, Watch { progress, cancel })?;
        Ok(if found == expected { Presence::Right(path) } else { Presence::Wrong { path, found } })
    }

    /// The checksum that the file must have, in lower case. The starter model's is known.
    fn expected(&self, model: &ModelRef, given: Option<&str>) -> Result<Option<String>, FetchError> {
        let given = given.map(str::to_ascii_lowercase);
        match (model, given) {
            (ModelRef::Starter, Some(given)) if given != starter::SHA256 => Err(FetchError::Checksum {
                path: self.place(model),
                expected: given,
                found: starter::SHA256.to_owned(),
                removed: false,
                hint: "leave the pool's `sha256` out: the starter model's is known",
            }),
            (ModelRef::Starter, _) => Ok(Some(starter::SHA256.to_owned())),
            (_, given) => Ok(given),
        }
    }

    /// Whether a file that is there is the one that was meant. If not: one that the store fetched makes
    /// room for the right one, one in somebody else's cache is left alone, and one that was named is an
    /// error.
    fn is_as_expected(
        &self,
        path: &Path,
        model: &ModelRef,
        expected: Option<&str>,
        watch: Watch<'_>,
    ) -> Result<bool, FetchError> {
        let Some(expected) = expected else { return Ok(true) };
        let found = Memory::in_store(&self.dir).sum(path, watch)?;
        if found == expected {
            return Ok(true);
        }
        if let ModelRef::File(_) = model {
            return Err(FetchError::Checksum {
                path: path.to_owned(),
                expected: expected.to_owned(),
                found,
                removed: false,
                hint: "correct the pool's `sha256`, or replace the file",
            });
        }
        watch.progress.note(&format!("`{}` has another checksum; fetching the file", path.display()));
        if path == self.place(model) {
            std::fs::remove_file(path).map_err(|cause| FetchError::Write { path: path.to_owned(), cause })?;
        }
        Ok(false)
    }
}

fn no_checksum(model: &ModelRef) -> String {
    format!("no checksum is given for `{model}`: set the pool's `sha256` to be sure of the file")
}

/// A path in the store for a URL: the host, then the path, so that two servers' files of one name do not
/// meet. What is not a plain letter becomes `_`. A query may be all that tells two files apart: with one,
/// the name has a hash of the URL in it.
fn url_path(url: &str) -> PathBuf {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let name = file_name_of_url_path(path).unwrap_or("model");
    let folders = path.split('?').next().unwrap_or_default().strip_suffix(name).unwrap_or_default();
    let parts = std::iter::once(host).chain(folders.split('/')).filter(|part| !part.is_empty()).map(plain);
    let name = plain(name);
    let name = if path.contains('?') { marked(&name, url) } else { name };
    parts.chain([name]).collect()
}

/// The name with a short hash of the URL in front of its suffix.
fn marked(name: &str, url: &str) -> String {
    let mut sum = Sum::default();
    sum.update(url.as_bytes());
    let hash = &sum.finish()[..URL_HASH_DIGITS];
    match name.rsplit_once('.') {
        Some((stem, suffix)) if !stem.is_empty() => format!("{stem}-{hash}.{suffix}"),
        _ => format!("{name}-{hash}"),
    }
}

fn plain(part: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = part.chars().map(plain).collect();
    if name.bytes().all(|byte| byte == b'.') { "_".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
