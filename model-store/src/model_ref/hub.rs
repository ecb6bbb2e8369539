//! References to what Hugging Face has: a file of a repository, or the repository with a quantisation.
//!
//! ```text
//! OWNER/REPO[@REVISION]/FILE.gguf       a file
//! OWNER/REPO[@REVISION][:QUANT]         the file of that quantisation, or of the best one that fits
//! ```
//!
//! `%20` and the like are read as URLs mean them. `hf.co/` and `huggingface.co/` stand for `hf:`.
//!
//! Rules: ORCH-MODEL-1, ORCH-MODEL-17

use std::borrow::Cow;
use std::fmt;

use super::{ModelRef, has_gguf_suffix};
use crate::place;
use crate::quant::is_quant;

/// Where the hub's pages are.
const HOSTS: [&str; 2] = ["huggingface.co", "hf.co"];
/// The revision that holds where none is given.
pub(crate) const MAIN: &str = "main";
/// The longest revision: a commit has 40 digits.
const REVISION_CHARS: usize = 128;
/// The longest quantisation tag.
const QUANT_CHARS: usize = 64;

/// A file of a Hugging Face repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HfFile {
    /// Who owns the repository.
    pub owner: String,
    /// The repository.
    pub repo: String,
    /// The branch, tag or commit; nothing for `main`.
    pub revision: Option<String>,
    /// The file in it, with `/` between folders.
    pub path: String,
}

/// A Hugging Face repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HfRepo {
    /// Who owns it.
    pub owner: String,
    /// Its name.
    pub repo: String,
    /// The branch, tag or commit; nothing for `main`.
    pub revision: Option<String>,
    /// The quantisation; nothing for the best one that fits this machine.
    pub quant: Option<String>,
}

impl HfRepo {
    /// A file of this repository.
    pub(crate) fn file(&self, path: &str) -> HfFile {
        let Self { owner, repo, revision, .. } = self.clone();
        HfFile { owner, repo, revision, path: path.to_owned() }
    }
}

/// What follows `hf:`, where the text begins like a name of the hub.
pub(super) fn named(text: &str) -> Option<&str> {
    text.strip_prefix("hf:")
        .or_else(|| HOSTS.iter().find_map(|host| text.strip_prefix(host)?.strip_prefix('/')))
}

/// Reads what follows `hf:`.
pub(super) fn read(named: &str) -> Result<ModelRef, Cow<'static, str>> {
    const FORM: &str =
        "`hf:` needs an owner and a repository, with `/` between them, then `/FILE.gguf` or `:QUANT`";
    let mut parts = named.splitn(3, '/');
    let (Some(owner), Some(repo), path) = (parts.next(), parts.next(), parts.next()) else {
        return Err(FORM.into());
    };
    let (repo, quant) = match (path, repo.split_once(':')) {
        (None, Some((repo, quant))) => (repo, Some(quant)),
        _ => (repo, None),
    };
    let (repo, revision) = match repo.split_once('@') {
        Some((repo, revision)) => (repo, Some(read_revision(revision)?)),
        None => (repo, None),
    };
    if !is_name(owner) || !is_name(repo) {
        return Err("owners and repositories are letters, digits, `-`, `_` and `.`".into());
    }
    let (owner, repo) = (owner.to_owned(), repo.to_owned());
    let revision = revision.filter(|revision| revision != MAIN);
    match path {
        Some(path) => Ok(ModelRef::HuggingFace(HfFile { owner, repo, revision, path: read_path(path)? })),
        None => {
            // Ollama's word for the one that a repository gives without a word.
            let quant = quant.filter(|quant| *quant != "latest").map(read_quant).transpose()?;
            Ok(ModelRef::Repository(HfRepo { owner, repo, revision, quant }))
        }
    }
}

/// Reads `OWNER/REPO:QUANT`, which other programs take without `hf:` too.
pub(super) fn read_with_quant(text: &str) -> Option<HfRepo> {
    let (repo, quant) = text.split_once(':')?;
    // Names of other programs have tags too: `someone/model:latest`.
    if repo.split('/').count() != 2 || !is_quant(quant.strip_prefix("UD-").unwrap_or(quant)) {
        return None;
    }
    match read(text) {
        Ok(ModelRef::Repository(repo)) => Some(repo),
        _ => None,
    }
}

/// What to write instead of the URL of a page of the hub; nothing for the URL of a file's content.
pub(super) fn page(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1.split(['?', '#']).next()?;
    let (host, path) = rest.split_once('/')?;
    if !HOSTS.contains(&host.strip_prefix("www.").unwrap_or(host)) {
        return None;
    }
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    match parts.as_slice() {
        [owner, repo, "blob", revision, path @ ..] if !path.is_empty() => {
            let at = if *revision == MAIN { String::new() } else { format!("@{revision}") };
            let file = path.join("/");
            Some(format!("it is the page of a file, not the file; use `hf:{owner}/{repo}{at}/{file}`"))
        }
        [owner, repo] | [owner, repo, "tree", ..] if is_name(owner) && is_name(repo) => Some(format!(
            "it is the page of a repository; use `hf:{owner}/{repo}` for the best quantisation that fits, \
             `hf:{owner}/{repo}:QUANT` or `hf:{owner}/{repo}/FILE.gguf`"
        )),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !name.bytes().all(|byte| byte == b'.')
}

fn read_path(path: &str) -> Result<String, Cow<'static, str>> {
    let path = place::unescaped(path).unwrap_or_else(|| path.to_owned());
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("a file of a repository has no control characters and no `\\` in its name".into());
    }
    if path.split('/').any(|part| part.is_empty() || part.bytes().all(|byte| byte == b'.')) {
        return Err("the file must be in the repository, with one `/` between folders".into());
    }
    if path.split('/').any(|part| !place::fits(part)) {
        return Err("the file's name is too long".into());
    }
    if !has_gguf_suffix(&path) {
        return Err("the file must end in `.gguf`".into());
    }
    Ok(path)
}

fn read_revision(revision: &str) -> Result<String, Cow<'static, str>> {
    let revision = place::unescaped(revision).unwrap_or_else(|| revision.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let fits = (1..=REVISION_CHARS).contains(&revision.len()) && revision.chars().all(plain);
    let stays = revision.split('/').all(|part| !part.is_empty() && !part.bytes().all(|byte| byte == b'.'));
    if fits && stays {
        Ok(revision)
    } else {
        Err("a revision is a branch, a tag or a commit; `%2F` stands for a `/` in it".into())
    }
}

fn read_quant(quant: &str) -> Result<String, Cow<'static, str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=QUANT_CHARS).contains(&quant.len()) && quant.chars().all(plain) {
        Ok(quant.to_owned())
    } else {
        Err("behind `:` stands a quantisation, such as `Q4_K_M`".into())
    }
}

/// `@REVISION`, where there is one.
struct At<'a>(&'a Option<String>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "@{}", revision.replace('/', "%2F")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for HfFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, repo, revision, path } = self;
        write!(f, "{owner}/{repo}{}/{}", At(revision), path.replace('%', "%25"))
    }
}

impl fmt::Display for HfRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, repo, revision, quant } = self;
        write!(f, "{owner}/{repo}{}", At(revision))?;
        match quant {
            Some(quant) => write!(f, ":{quant}"),
            None => Ok(()),
        }
    }
}
