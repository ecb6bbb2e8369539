//! Finding the file and putting the layers together: command line over environment over file over
//! default. The environment is passed in, so that a test says what is in it.
//!
//! Rules: ORCH-CONF-2, ORCH-CONF-3, ORCH-CONF-8

use std::collections::BTreeMap;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use model_store::{Env, default_models_dir};
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

use crate::check::Check;
use crate::config::Config;
use crate::env::{Layers, Override};
use crate::error::ConfigError;
use crate::raw;
use crate::resolve::{Places, resolve};
use crate::shape::Shape;
use crate::tree::{Node, Path};
use crate::{FILE_NAME, Problem};

/// The largest file that is read: far above any configuration, far below what would hurt.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// All that a configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// The file named by `--config`.
    pub explicit: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The working folder.
    pub cwd: PathBuf,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Options set on the command line.
    pub overrides: Vec<Override>,
}

impl LoadRequest {
    /// A request with this process's environment and folders. Variables that are not UTF-8 are left out.
    ///
    /// # Errors
    /// When the working folder is gone.
    pub fn of_process(explicit: Option<PathBuf>, overrides: Vec<Override>) -> io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Ok(Self {
            explicit,
            env: std::env::vars_os().filter_map(text).collect(),
            cwd: std::env::current_dir()?,
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            overrides,
        })
    }

    /// The folder of the user's configuration of llama-orch, where the token is kept too: in
    /// `$XDG_CONFIG_HOME` or `~/.config`. Nothing when there is no home.
    #[must_use]
    pub fn user_config_dir(&self) -> Option<PathBuf> {
        // A relative folder in the variable is to be ignored, as the XDG base directory specification says.
        let named = self.env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let dir = named.or_else(|| self.home.as_ref().map(|home| home.join(".config")));
        dir.map(|dir| dir.join("llama-orch"))
    }

    fn default_models_dir(&self) -> PathBuf {
        let surroundings = Env { env: self.env.clone(), home: self.home.clone() };
        default_models_dir(&surroundings).unwrap_or_else(|| self.cwd.join("llama-orch-models"))
    }
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it was read from; nothing when there is none and defaults hold.
    pub source: Option<PathBuf>,
    /// What is odd but no error: variables of ours that name no option, options without effect.
    pub warnings: Vec<Problem>,
}

/// Finds the file, reads it, lays environment and command line over it, and checks the whole.
///
/// # Errors
/// [`ConfigError`]: a file that was named and cannot be read, one that is not YAML, and everything in any
/// layer that does not fit, all of it at once.
pub fn load(request: &LoadRequest) -> Result<Loaded, ConfigError> {
    let found = find_file(request)?;
    let source = found.as_ref().map(|(path, _)| path.clone());
    let mut root = match &found {
        Some((path, text)) => Node::from_yaml(text).map_err(|error| syntax(path, &error))?,
        None => Node::empty(),
    };
    let shape = Shape::of_file();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    if root.is_map() {
        let mut layers = Layers::over(&mut root, &shape);
        layers.apply_env(&request.env);
        layers.apply_flags(&request.overrides);
        (problems, warnings) = (layers.problems, layers.warnings);
    }
    let mut check = Check::new(&root, source.as_deref());
    check.problems = problems;
    check.walk(&root, &shape, &Path::default());
    let config =
        if check.problems.is_empty() { make(request, &root, source.as_deref(), &mut check) } else { None };
    let problems = check.problems;
    let Some(config) = config else { return Err(ConfigError::Invalid { problems }) };
    Ok(Loaded { config, source, warnings })
}

fn make(
    request: &LoadRequest,
    root: &Node,
    source: Option<&FilePath>,
    check: &mut Check<'_>,
) -> Option<Config> {
    let file: raw::File = match serde_json::from_value(root.to_json()) {
        Ok(file) => file,
        Err(error) => {
            check.report(&Path::default(), error.to_string(), None);
            return None;
        }
    };
    let default_models_dir = request.default_models_dir();
    let places = Places {
        file_dir: source.and_then(FilePath::parent).unwrap_or(&request.cwd),
        cwd: &request.cwd,
        home: request.home.as_deref(),
        env: &request.env,
        default_models_dir: &default_models_dir,
    };
    resolve(&file, root, &places, check)
}

/// The first file of the search order and its text. A file that somebody named must be there; the
/// searched ones may be absent.
fn find_file(request: &LoadRequest) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let from_env = request.env.get("LLAMA_ORCH_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = request.explicit.clone().map(|path| (path, "named by `--config`"));
    if let Some((path, named_by)) =
        named.or_else(|| from_env.map(|path| (path, "named by `LLAMA_ORCH_CONFIG`")))
    {
        let path = request.cwd.join(path);
        let text =
            read(&path).map_err(|source| ConfigError::Read { path: path.clone(), named_by, source })?;
        return Ok(Some((path, text)));
    }
    let folders = [Some(request.cwd.clone()), request.user_config_dir()];
    for path in folders.into_iter().flatten().map(|folder| folder.join(FILE_NAME)) {
        match read(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(ConfigError::Read { path, named_by: "found by the search", source }),
        }
    }
    Ok(None)
}

fn read(path: &FilePath) -> io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > MAX_FILE_BYTES {
        let message = format!("it has {bytes} bytes; a configuration has at most {MAX_FILE_BYTES}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let bytes = std::fs::read(path)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, not_utf8(&error)))
}

fn not_utf8(error: &std::string::FromUtf8Error) -> String {
    let bytes = error.as_bytes();
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "it is UTF-16; save it as UTF-8".to_owned();
    }
    let valid = &bytes[..error.utf8_error().valid_up_to()];
    let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
    format!("line {line} is not UTF-8; save the file as UTF-8")
}

fn syntax(path: &FilePath, error: &serde_saphyr::Error) -> ConfigError {
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    let mut message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
    if message.starts_with("tabs disallowed") {
        message.push_str("\n  hint: indent with spaces");
    }
    ConfigError::Syntax { path: path.to_owned(), line, column, message }
}

#[cfg(test)]
mod tests;
