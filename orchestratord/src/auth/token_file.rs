//! The token's file: made at the first start, readable by its owner alone, and found by the command line.
//!
//! Rules: ORCH-SEC-3

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::ApiToken;

/// The most that is read of the file: the longest token there may be, and a line end.
const MAX_BYTES: u64 = 1024;

/// Where the token is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// No folder to keep it in.
    #[error("neither `XDG_CONFIG_HOME` nor `HOME` is set, so the token has no place\nset `LLAMA_ORCH_TOKEN`")]
    NoHome,
    /// The file is there and cannot be read.
    #[error("cannot read the token file `{}`\nmake it readable, remove it, or set `LLAMA_ORCH_TOKEN`", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file is there and holds no token.
    #[error(
        "the token file `{}` holds {holds}\nput one line of 16 to 512 visible characters into it, or remove it and a \
         new token is made",
        path.display()
    )]
    NotAToken {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: &'static str,
    },
    /// The file cannot be made.
    #[error("cannot make the token file `{}`\nset `LLAMA_ORCH_TOKEN`, or `XDG_CONFIG_HOME` to a folder that can be \
             written", .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
}

impl TokenFile {
    /// The file at `path`.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file in the user's config folder: `llama-orch/token` in `$XDG_CONFIG_HOME`, else in `~/.config`.
    /// `variable` looks an environment variable up.
    ///
    /// # Errors
    /// [`TokenFileError::NoHome`] when neither folder is known.
    pub fn of_user(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, TokenFileError> {
        // A relative folder would be another one in each working folder; the XDG rule is to ignore it.
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .ok_or(TokenFileError::NoHome)?;
        Ok(Self::at(folder.join("llama-orch").join("token")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token in the file; a new one, kept there, when there is no file.
    ///
    /// # Errors
    /// [`TokenFileError`] when the file holds no token, cannot be read or cannot be made.
    pub fn load_or_make(&self) -> Result<ApiToken, TokenFileError> {
        match File::open(&self.path) {
            Ok(file) => self.read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(),
            Err(error) => Err(TokenFileError::Unreadable(self.path.clone(), error)),
        }
    }

    fn read(&self, file: File) -> Result<ApiToken, TokenFileError> {
        let mut text = String::new();
        warn_if_others_may_read(&file, &self.path);
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| TokenFileError::Unreadable(self.path.clone(), error))?;
        let token = text.trim();
        let holds = if token.is_empty() {
            "nothing"
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            "characters that cannot stand in a header"
        } else if !(16..=512).contains(&token.len()) {
            "a token of the wrong length"
        } else {
            return Ok(ApiToken::new(token));
        };
        Err(TokenFileError::NotAToken { path: self.path.clone(), holds })
    }

    /// Writes a new token beside the file and links it there, so that nobody reads half a token, and of two
    /// daemons that start at once both take the one that was first.
    fn make(&self) -> Result<ApiToken, TokenFileError> {
        let unwritable = |error| TokenFileError::Unwritable(self.path.clone(), error);
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let folder = self.path.parent().unwrap_or(Path::new("."));
        make_private_folder(folder).map_err(unwritable)?;
        let beside = folder.join(format!(".token-{}", Uuid::new_v4().simple()));
        let linked = private_file(&beside)
            .and_then(|mut file| {
                writeln!(file, "{token}")?;
                file.sync_all()
            })
            .and_then(|()| fs::hard_link(&beside, &self.path));
        // The name beside is of no use after the link, and of none without it.
        let _ = fs::remove_file(&beside);
        match linked {
            Ok(()) => {
                tracing::info!(path = %self.path.display(), "made a new API token");
                Ok(ApiToken::new(token))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = File::open(&self.path);
                self.read(file.map_err(|error| TokenFileError::Unreadable(self.path.clone(), error))?)
            }
            Err(error) => Err(unwritable(error)),
        }
    }
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn warn_if_others_may_read(file: &File, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = file.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:04o}"),
            "others on this machine may read the API token: run `chmod 600` on its file"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_others_may_read(_: &File, _: &Path) {}
