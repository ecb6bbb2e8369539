//! What stands at a path where a model's file should be, in words that say what to do. "There is no file"
//! is true of a folder, a dead link and a closed folder too, and helps nobody there.
//!
//! Rules: ORCH-STORE-4

use std::fs::{self, FileType, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::content::{STUB_BYTES, Stub};
use crate::error::FetchError;

/// How many files of a folder a message names.
const MAX_NAMED: usize = 3;
/// How many entries of a folder are looked at for them.
const MAX_ENTRIES: usize = 1000;
/// The most files that a model may be in. A name that says more is no part's.
const MAX_PARTS: u32 = 1000;

/// Something that is no obstacle.
#[derive(Debug)]
pub(crate) enum AtPath {
    /// A file with something in it, which can be read.
    File,
    /// A file of no bytes, or one that stands for a model and is none: a page of HTML, a Git LFS pointer.
    Empty,
    /// Nothing.
    Nothing,
}

/// Why a path has no file that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// A folder has the name.
    #[error("it is a folder\n  hint: name the `.gguf` file in it{}", listed(files))]
    Folder {
        /// Some of the models in it.
        files: Vec<String>,
    },
    /// A link leads to nothing.
    #[error(
        "`{}` is a link to `{}`, which does not exist\n  hint: mount the disk that it leads to, or correct the link",
        link.display(),
        target.display()
    )]
    DeadLink {
        /// The link: the file's own name, or a folder above it.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Links lead in a circle.
    #[error("its links lead in a circle\n  hint: correct the link")]
    LinkLoop,
    /// A folder above it is closed to this user.
    #[error(
        "the folder `{}` may not be entered by the user who runs this program\n  hint: allow it with \
         `chmod +x`, or move the file",
        folder.display()
    )]
    ClosedFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is closed to this user.
    #[error("it may not be read by the user who runs this program\n  hint: allow it with `chmod +r`")]
    ClosedFile,
    /// A file has the name of a folder above it.
    #[error("`{}` is a file, not a folder\n  hint: correct the path", file.display())]
    FileAbove {
        /// That file.
        file: PathBuf,
    },
    /// Something that is neither file nor folder.
    #[error("it is a {kind}, not a file\n  hint: name a GGUF file")]
    Special {
        /// What it is.
        kind: &'static str,
    },
    /// A file of no bytes.
    #[error("it is empty\n  hint: copy or fetch the file again")]
    Empty,
    /// Something else than a model was put there.
    #[error("it is {0}\n  hint: {hint}", hint = .0.hint())]
    Stub(Stub),
    /// A later file of a model that is in several.
    #[error("it is file {number} of a model in {count} files\n  hint: name the first one, `{first}`")]
    LaterPart {
        /// Which it is.
        number: u32,
        /// How many there are.
        count: u32,
        /// The name of the first.
        first: String,
    },
    /// A file of a model that is in several is not there.
    #[error(
        "the model is in {count} files, and `{missing}` is not there\n  hint: put all {count} into one folder"
    )]
    PartMissing {
        /// How many there are.
        count: u32,
        /// The name of the first that is missing.
        missing: String,
    },
}

/// Looks at a path. Reads no more of the file than its first bytes.
///
/// # Errors
/// [`FetchError::Obstacle`], or [`FetchError::Read`] for what only the system can explain.
pub(crate) fn look(path: &Path) -> Result<AtPath, FetchError> {
    let state = match fs::metadata(path) {
        Ok(state) => state,
        Err(error) => return unreachable_path(path, error),
    };
    if state.is_dir() {
        return Err(stop(path, Obstacle::Folder { files: models_in(path) }));
    }
    if !state.is_file() {
        return Err(stop(path, Obstacle::Special { kind: kind(state.file_type()) }));
    }
    if state.len() == 0 {
        return Ok(AtPath::Empty);
    }
    match fs::File::open(path) {
        Ok(file) => Ok(if stub_in(file).is_some() { AtPath::Empty } else { AtPath::File }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(stop(path, Obstacle::ClosedFile))
        }
        Err(cause) => Err(FetchError::Read { path: path.to_owned(), cause }),
    }
}

/// Why a file of the user's own that counts as empty is no model.
pub(crate) fn why_empty(path: &Path) -> Obstacle {
    fs::File::open(path).ok().and_then(stub_in).map_or(Obstacle::Empty, Obstacle::Stub)
}

fn stub_in(file: fs::File) -> Option<Stub> {
    let mut start = Vec::with_capacity(STUB_BYTES);
    file.take(STUB_BYTES as u64).read_to_end(&mut start).ok()?;
    Stub::of(&start)
}

/// Checks that a file which is one of several, by its name, is the first and has the others beside it.
///
/// # Errors
/// [`FetchError::Obstacle`].
pub(crate) fn check_parts(path: &Path) -> Result<(), FetchError> {
    let Some(part) = path.file_name().and_then(|name| PartName::read(name.to_str()?)) else { return Ok(()) };
    let PartName { number, count, .. } = part;
    if number != 1 {
        return Err(stop(path, Obstacle::LaterPart { number, count, first: part.name(1) }));
    }
    // Links may lead to files under other names: they are sought where the link is, as the engine does.
    let missing =
        (2..=count).map(|number| part.name(number)).find(|name| !path.with_file_name(name).exists());
    missing.map_or(Ok(()), |missing| Err(stop(path, Obstacle::PartMissing { count, missing })))
}

/// Whether two files are of one model in several files.
pub(crate) fn are_parts_of_one(one: &Path, other: &Path) -> bool {
    let part = |path: &'_ Path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let part = PartName::read(&name)?;
        Some(path.with_file_name(part.name(1)))
    };
    part(one).is_some_and(|first| part(other) == Some(first))
}

/// The files of the model whose first file is at `path`: that one alone, or all of its parts.
#[must_use]
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    match path.file_name().and_then(|name| PartName::read(name.to_str()?)) {
        Some(part) => (1..=part.count).map(|number| path.with_file_name(part.name(number))).collect(),
        None => vec![path.to_owned()],
    }
}

/// The bytes of the model whose first file is at `path`, all of its parts together.
#[must_use]
pub fn bytes_of(path: &Path) -> u64 {
    let bytes = |path: PathBuf| fs::metadata(path).map_or(0, |state| state.len());
    files_of(path).into_iter().map(bytes).sum()
}

/// The first of the files of the model that the file at `path` is of.
pub(crate) fn first_of(path: &Path) -> PathBuf {
    files_of(path).swap_remove(0)
}

/// Where the link at `path` leads, where only the name there says that it is the first part of a model. The engine
/// finds the other parts by that name.
pub(crate) fn with_part_name(path: PathBuf) -> PathBuf {
    let is_part = |path: &Path| path.file_name().and_then(|name| PartName::read(name.to_str()?)).is_some();
    match fs::canonicalize(&path) {
        Ok(real) if !is_part(&path) && is_part(&real) => real,
        _ => path,
    }
}

/// The name of a file of a model in several: `STEM-00001-of-00003.gguf`, as llama.cpp splits them.
#[derive(Clone, Copy)]
pub(crate) struct PartName<'a> {
    pub(crate) stem: &'a str,
    pub(crate) suffix: &'a str,
    pub(crate) number: u32,
    pub(crate) count: u32,
}

impl<'a> PartName<'a> {
    pub(crate) fn read(name: &'a str) -> Option<Self> {
        const DIGITS: usize = 5;
        let (rest, suffix) = name.rsplit_once('.')?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let figure = |text: &str| {
            let all_digits = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
            all_digits.then(|| text.parse().ok()).flatten()
        };
        let (number, count) = (figure(number)?, figure(count)?);
        (1 <= number && number <= count && count <= MAX_PARTS).then_some(Self { stem, suffix, number, count })
    }

    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}-{number:05}-of-{:05}.{}", self.stem, self.count, self.suffix)
    }
}

fn stop(path: &Path, obstacle: Obstacle) -> FetchError {
    FetchError::Obstacle { path: path.to_owned(), obstacle }
}

/// Why the system did not tell of a path.
fn unreachable_path(path: &Path, error: io::Error) -> Result<AtPath, FetchError> {
    match error.kind() {
        io::ErrorKind::NotFound => match dead_link(path) {
            Some((link, target)) => Err(stop(path, Obstacle::DeadLink { link, target })),
            None => Ok(AtPath::Nothing),
        },
        io::ErrorKind::PermissionDenied => {
            Err(stop(path, Obstacle::ClosedFolder { folder: closed_folder(path) }))
        }
        io::ErrorKind::NotADirectory => {
            let is_file = |above: &&Path| fs::metadata(above).is_ok_and(|state: Metadata| !state.is_dir());
            let file = path.ancestors().skip(1).find(is_file).unwrap_or(path).to_owned();
            Err(stop(path, Obstacle::FileAbove { file }))
        }
        _ if is_loop(&error) => Err(stop(path, Obstacle::LinkLoop)),
        _ => Err(FetchError::Read { path: path.to_owned(), cause: error }),
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// The first dead link on the way to a path, and where it leads.
fn dead_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let on_the_way: Vec<&Path> = path.ancestors().collect();
    let link = on_the_way.into_iter().rev().find(|above| {
        let is_link = fs::symlink_metadata(above).is_ok_and(|state| state.is_symlink());
        is_link && fs::metadata(above).is_err()
    })?;
    let target = fs::read_link(link).ok()?;
    Some((link.to_owned(), link.parent().unwrap_or(Path::new("")).join(target)))
}

/// The first folder on the way to a path that may not be entered.
fn closed_folder(path: &Path) -> PathBuf {
    let is_closed = |above: &&Path| {
        let below_is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        fs::symlink_metadata(above.join(".")).is_err_and(below_is_denied)
    };
    let on_the_way: Vec<&Path> = path.ancestors().skip(1).collect();
    let closed = on_the_way.into_iter().rev().find(is_closed);
    // Otherwise a link leads into one.
    closed.or(path.parent()).unwrap_or(path).to_owned()
}

#[cfg(unix)]
fn kind(file_type: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_fifo() {
        "named pipe"
    } else if file_type.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(not(unix))]
fn kind(_: FileType) -> &'static str {
    "device"
}

fn models_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES);
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_model(name))
        .collect();
    names.sort();
    names.truncate(MAX_NAMED);
    names
}

fn is_model(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gguf"))
}

fn listed(files: &[String]) -> String {
    let names: Vec<String> = files.iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(", such as {}", names.join(", ")) }
}

#[cfg(test)]
mod tests;
