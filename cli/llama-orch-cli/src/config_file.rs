//! What the daemon's own configuration file says about reaching it: the file that a daemon started here
//! would read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use config_schema::{LoadRequest, load};

use crate::connection::Env;

/// Variables that say which file it is. The others are options, and come before the file.
const VARIABLES: [&str; 2] = ["LLAMA_ORCH_CONFIG", "XDG_CONFIG_HOME"];

/// The file.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// There is none.
    #[default]
    Absent,
    /// There is one, and the daemon would not start with it.
    Broken,
    /// There is one.
    Read { path: PathBuf, listen: SocketAddr, token: Option<String> },
}

impl ConfigFile {
    /// Looks where the daemon looks.
    pub fn find(around: &Env<'_>) -> Self {
        let text = |name: &str| (around.variable)(name).and_then(|value| value.into_string().ok());
        let env: BTreeMap<String, String> =
            VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?))).collect();
        let request = LoadRequest {
            explicit: None,
            env,
            cwd: around.folder.clone(),
            home: text("HOME").map(PathBuf::from).filter(|home| home.is_absolute()),
            overrides: Vec::new(),
        };
        // What is wrong with it is not repeated here: it may be the token that is.
        let Ok(loaded) = load(&request) else { return Self::Broken };
        match loaded.source {
            None => Self::Absent,
            Some(path) => Self::Read {
                path,
                listen: loaded.config.access.listen,
                token: loaded.config.access.token.map(|token| token.expose().to_owned()),
            },
        }
    }

    /// Where the file says that the daemon listens.
    pub const fn listen(&self) -> Option<SocketAddr> {
        match self {
            Self::Read { listen, .. } => Some(*listen),
            Self::Absent | Self::Broken => None,
        }
    }
}
