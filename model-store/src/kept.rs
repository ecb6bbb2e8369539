//! What is in the store's folder: whole files, and those whose fetch was broken off; and how one of them is
//! taken out of it.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::at_path::files_of;
use crate::checked::Memory;
use crate::disk::beside;
use crate::model_ref::ModelRef;
use crate::place;
use crate::starter;
use crate::store::Store;

/// The deepest folder that is looked into: an `hf:` reference has its repository's folders below three.
const MAX_DEPTH: usize = 12;

/// The most entries that are looked at, so that a folder that holds everything else too is no hang.
const MAX_ENTRIES: usize = 100_000;

const PART_SUFFIX: &str = ".part";

/// A file of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// What fetches it; the file itself, where nothing says what it came from.
    pub model: ModelRef,
    /// Where it is, or will be once it is whole.
    pub path: PathBuf,
    /// Bytes of it that are there, of all its parts together.
    pub bytes: u64,
    /// How many files it is in; more than one where it is in parts.
    pub files: u32,
    /// Whether it is whole.
    pub extent: Extent,
}

/// How much of a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// A fetch was broken off, or is under way.
    Part {
        /// Bytes that it will have, where the server said so.
        total: Option<u64>,
    },
}

/// Why a file was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is nothing to remove.
    #[error("there is no file `{}`", .0.display())]
    Missing(PathBuf),
    /// It is somebody else's.
    #[error("`{}` is not in the models folder `{}`", path.display(), dir.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The store's folder.
        dir: PathBuf,
    },
    /// A process is fetching it.
    #[error("`{}` is being fetched at this moment", .0.display())]
    BeingFetched(PathBuf),
    /// The system refuses.
    #[error("cannot remove `{}`: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Store {
    /// The models in the folder, whole or not, in the order of their paths. None where there is no folder.
    ///
    /// # Errors
    /// When the folder is there and cannot be read. A folder below it that cannot be is left out.
    pub fn files(&self) -> io::Result<Vec<KeptFile>> {
        Ok(self.with_parts_joined(self.found_below(self.dir())?))
    }

    /// Each file below a folder of this one, parts of one model too. None where it cannot be read.
    pub(crate) fn files_below(&self, folder: &Path) -> Vec<KeptFile> {
        let mut files = self.found_below(folder).unwrap_or_default();
        files.retain(|file| file.extent == Extent::Whole);
        files
    }

    fn found_below(&self, folder: &Path) -> io::Result<Vec<KeptFile>> {
        let mut found = Vec::new();
        let mut entries = 0;
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let listing = match fs::read_dir(&folder) {
                Ok(listing) => listing,
                Err(error) if depth == 0 && error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) => continue,
            };
            for entry in listing.flatten() {
                entries += 1;
                if entries > MAX_ENTRIES {
                    break;
                }
                let path = entry.path();
                let Ok(state) = fs::metadata(&path) else { continue };
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if state.is_dir() {
                    // A link may lead in a circle.
                    let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                    if !hidden && !linked && depth < MAX_DEPTH {
                        folders.push((path, depth + 1));
                    }
                } else {
                    found.extend(self.kept_file(path, state.len()));
                }
            }
        }
        found.sort_by(|a, b| (&a.path, a.extent == Extent::Whole).cmp(&(&b.path, b.extent == Extent::Whole)));
        Ok(found)
    }

    /// Models in several files, each as the one that it is.
    fn with_parts_joined(&self, found: Vec<KeptFile>) -> Vec<KeptFile> {
        let mut models: Vec<KeptFile> = Vec::new();
        for file in found {
            let all = files_of(&file.path);
            let [first, _, ..] = all.as_slice() else {
                models.push(file);
                continue;
            };
            let known = models.iter_mut().rev().find(|model| model.path == *first);
            let is_there = file.extent == Extent::Whole;
            match known {
                Some(model) => {
                    model.bytes += file.bytes;
                    model.files += u32::from(is_there);
                }
                None => models.push(KeptFile {
                    model: self.model_of(first),
                    path: first.clone(),
                    bytes: file.bytes,
                    files: u32::from(is_there),
                    extent: Extent::Whole,
                }),
            }
        }
        for model in &mut models {
            let count = files_of(&model.path).len() as u32;
            if count > 1 && model.files < count {
                (model.files, model.extent) = (count, Extent::Part { total: None });
            }
        }
        models
    }

    /// Takes a model out of the folder with all of its parts, and what was fetched of it so far; gives back how many
    /// bytes that frees. A process that has it open keeps it until it is done.
    ///
    /// # Errors
    /// [`RemoveError`]; nothing was removed then, unless the system refused in between.
    pub fn remove(&self, path: &Path) -> Result<u64, RemoveError> {
        let mut freed = None;
        for file in files_of(path) {
            match self.remove_file(&file) {
                Ok(bytes) => *freed.get_or_insert(0) += bytes,
                Err(RemoveError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        freed.ok_or_else(|| RemoveError::Missing(path.to_owned()))
    }

    fn remove_file(&self, path: &Path) -> Result<u64, RemoveError> {
        self.check_inside(path)?;
        let part = beside(path, "part");
        let size = |path: &Path| fs::symlink_metadata(path).ok().filter(|state| !state.is_dir());
        if size(path).is_none() && size(&part).is_none() {
            return Err(RemoveError::Missing(path.to_owned()));
        }
        // Held while it is removed: a fetch that begins meanwhile begins anew.
        let lock = OpenOptions::new().write(true).open(beside(path, "lock"));
        if let Ok(lock) = &lock
            && let Err(TryLockError::WouldBlock) = lock.try_lock()
        {
            return Err(RemoveError::BeingFetched(path.to_owned()));
        }
        let mut freed = 0;
        for path in [path.to_owned(), part, beside(path, "part.json")] {
            let Some(state) = size(&path) else { continue };
            fs::remove_file(&path).map_err(|cause| RemoveError::Write { path, cause })?;
            freed += state.len();
        }
        Memory::in_store(self.dir()).forget(path);
        Ok(freed)
    }

    fn check_inside(&self, path: &Path) -> Result<(), RemoveError> {
        let outside = || RemoveError::Outside { path: path.to_owned(), dir: self.dir().to_owned() };
        let missing = || RemoveError::Missing(path.to_owned());
        // The folder's own name, not the file's: a link is removed, not what it leads to.
        let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else { return Err(outside()) };
        let folder = fs::canonicalize(folder).map_err(|_| missing())?;
        let dir = fs::canonicalize(self.dir()).map_err(|_| outside())?;
        if folder.starts_with(dir) { Ok(()) } else { Err(outside()) }
    }

    /// The model that a file of the folder is; nothing where it is none.
    fn kept_file(&self, path: PathBuf, bytes: u64) -> Option<KeptFile> {
        let name = path.file_name()?.to_str()?;
        let (path, extent) = match name.strip_prefix('.') {
            Some(hidden) => {
                let notes = path.with_file_name(format!("{name}.json"));
                let path = path.with_file_name(hidden.strip_suffix(PART_SUFFIX)?);
                (path, Extent::Part { total: total_of(&notes) })
            }
            None => (path, Extent::Whole),
        };
        let is_model = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gguf"))
            || [place::URL_DIR, place::LEGACY_URL_DIR]
                .iter()
                .any(|dir| path.starts_with(self.dir().join(dir)));
        is_model.then(|| KeptFile { model: self.model_of(&path), path, bytes, files: 1, extent })
    }

    fn model_of(&self, path: &Path) -> ModelRef {
        let own = || ModelRef::File(path.to_owned());
        let Ok(below) = path.strip_prefix(self.dir()) else { return own() };
        let names: Option<Vec<&str>> = below
            .components()
            .map(|part| match part {
                Component::Normal(name) => OsStr::to_str(name),
                _ => None,
            })
            .collect();
        match names.as_deref() {
            Some([starter::FILE]) => ModelRef::Starter,
            Some(names @ [place::URL_DIR, ..]) => place::url_of(names).unwrap_or_else(own),
            Some(names @ ["hf", ..]) => place::hub_file_of(names).unwrap_or_else(own),
            _ => own(),
        }
    }
}

/// How long the notes beside a part say that the whole is.
fn total_of(notes: &Path) -> Option<u64> {
    let notes: serde_json::Value = serde_json::from_slice(&fs::read(notes).ok()?).ok()?;
    notes["total"].as_u64()
}

#[cfg(test)]
mod tests;
