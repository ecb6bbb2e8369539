//! What can be wrong with a configuration, said so that the reader knows where to look and what to write.
//!
//! Rules: ORCH-CONF-3

use std::fmt;
use std::path::PathBuf;

use crate::tree::Origin;

/// Why no configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there, or cannot be read.
    #[error("cannot read the configuration `{}` ({named_by})", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What named it: `--config`, `LLAMA_ORCH_CONFIG`, or the search.
        named_by: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 when the parser does not know.
        line: u64,
        /// The column, from 1; 0 when the parser does not know.
        column: u64,
        /// What the parser said.
        message: String,
    },
    /// It is YAML, but not a configuration.
    #[error("{}", lines(problems))]
    Invalid {
        /// Everything that is wrong, in the order in which it stands.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, when what is wrong stands in one.
    pub file: Option<PathBuf>,
    /// Where it came from.
    pub origin: Origin,
    /// The option's path, as `pools[0].slots`.
    pub path: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { line, column } => {
                if let Some(file) = &self.file {
                    write!(f, "{}:{line}:{column}: ", file.display())?;
                }
            }
            Origin::Env(name) | Origin::Flag(name) => write!(f, "{name}: ")?,
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// The one of `known` that a reader most likely meant by `word`.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|one| (strsim::damerau_levenshtein(&word, &one.to_lowercase()), one))
        .filter(|(distance, one)| *distance <= 1.max(one.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, one)| one)
}
