//! The environment variables and the home folder that the store looks at, passed in so that a test says
//! what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment and the home folder.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The home folder.
    pub home: Option<PathBuf>,
}

impl Env {
    /// This process's own. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            env: std::env::vars_os().filter_map(text).collect(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
        }
    }

    /// A variable that is set to something.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable that names a folder.
    pub(crate) fn dir(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// The user's cache folder. A relative one in the variable is to be ignored, as the XDG base directory
    /// specification says.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        let named = self.dir("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
        named.or_else(|| self.home.as_ref().map(|home| home.join(".cache")))
    }

    /// The path with a leading `~/` replaced by the home folder, where there is one.
    pub(crate) fn expand(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }
}

/// Where models are kept when no configuration says otherwise: `$LLAMA_ORCH_MODELS`, else
/// `$XDG_CACHE_HOME/llama-orch/models`, else `~/.cache/llama-orch/models`. Nothing without a home.
#[must_use]
pub fn default_models_dir(surroundings: &Env) -> Option<PathBuf> {
    let cache = || surroundings.cache_dir().map(|cache| cache.join("llama-orch/models"));
    surroundings.dir("LLAMA_ORCH_MODELS").or_else(cache)
}
