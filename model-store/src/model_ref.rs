//! How a model is named in the configuration and in requests.
//!
//! ```text
//! starter                       the small instruct model that needs no other file
//! file:PATH                     a file; also a bare path that ends in .gguf or starts with / ./ ../ ~/
//! hf:OWNER/REPO/FILE.gguf       a file of a Hugging Face repository; FILE may be in a folder
//! hf:OWNER/REPO:QUANT           the file of a repository with that quantisation; also without `hf:`
//! hf:OWNER/REPO                 the best quantisation of a repository that fits this machine
//! hf:OWNER/REPO@REVISION…       each of them at a branch, tag or commit
//! https://HOST/…                a file on a web server; http:// only from this machine
//! ```
//!
//! Rules: ORCH-MODEL-1

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod hub;

pub(crate) use self::hub::MAIN;
pub use self::hub::{HfFile, HfRepo};

/// Names a model, not yet a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelRef {
    /// The small instruct model that is there when nothing is configured.
    Starter,
    /// A file. A leading `~/` is still in it; [`crate::Store`] puts the home folder there.
    File(PathBuf),
    /// A file of a Hugging Face repository.
    HuggingFace(HfFile),
    /// A Hugging Face repository, whose file is chosen by its quantisation.
    Repository(HfRepo),
    /// A file on a web server.
    Url(String),
}

/// The reason a model reference was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a model reference: {reason}\n  hint: {forms}", forms = ModelRef::FORMS)]
pub struct InvalidModelRef {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: Cow<'static, str>,
}

impl ModelRef {
    /// The forms a reference can have, for messages.
    pub const FORMS: &str = "use `starter`, `file:PATH`, a path that ends in `.gguf`, \
                             `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO:QUANT` or `https://HOST/FILE.gguf`";

    /// Reads a reference.
    ///
    /// # Errors
    /// [`InvalidModelRef`] with what was given, what is wrong with it and the forms there are.
    pub fn parse(text: &str) -> Result<Self, InvalidModelRef> {
        Self::read(text).map_err(|reason| InvalidModelRef { given: text.to_owned(), reason })
    }

    fn read(text: &str) -> Result<Self, Cow<'static, str>> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.chars().any(char::is_control) {
            return Err("it has control characters in it".into());
        }
        if text == "starter" {
            return Ok(Self::Starter);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return read_file(path).map_err(Cow::Borrowed);
        }
        if let Some(named) = hub::named(text) {
            return hub::read(named);
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return match hub::page(text) {
                Some(reason) => Err(reason.into()),
                None => read_url(text).map_err(Cow::Borrowed),
            };
        }
        let is_path = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
        if is_path || (has_gguf_suffix(text) && !text.contains("://")) {
            return Ok(Self::File(text.into()));
        }
        if let Some(repo) = hub::read_with_quant(text) {
            return Ok(Self::Repository(repo));
        }
        let is_url = text.contains("://");
        Err(if is_url { "only https:// is fetched" } else { "it has none of the known forms" }.into())
    }
}

fn read_file(path: &str) -> Result<ModelRef, &'static str> {
    // `file:///models/x.gguf` is how a URL says `/models/x.gguf`.
    let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if path.is_empty() { Err("`file:` needs a path") } else { Ok(ModelRef::File(path.into())) }
}

fn read_url(text: &str) -> Result<ModelRef, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it is not a URL")?;
    if text.contains(char::is_whitespace) {
        return Err("a URL has no spaces");
    }
    let (authority, path) = rest.split_once('/').ok_or("the URL names no file")?;
    if authority.contains('@') {
        return Err("a URL must not carry a user name or a password");
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return Err("the URL names no host");
    }
    if scheme == "http" && !is_loopback(host) {
        return Err("http:// is fetched from this machine only; use https://");
    }
    if file_name_of_url_path(path).is_none() {
        return Err("the URL names no file");
    }
    Ok(ModelRef::Url(text.to_owned()))
}

/// Whether a host is this machine. Only such a one is fetched from over `http`.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The last part of a URL's path, without query and fragment.
pub(crate) fn file_name_of_url_path(path: &str) -> Option<&str> {
    let path = path.split(['?', '#']).next()?;
    path.rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..")
}

fn has_gguf_suffix(text: &str) -> bool {
    text.len() > ".gguf".len() && text.to_ascii_lowercase().ends_with(".gguf")
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starter => f.write_str("starter"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::HuggingFace(file) => write!(f, "hf:{file}"),
            Self::Repository(repo) => write!(f, "hf:{repo}"),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl FromStr for ModelRef {
    type Err = InvalidModelRef;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for ModelRef {
    type Error = InvalidModelRef;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ModelRef> for String {
    fn from(model: ModelRef) -> Self {
        model.to_string()
    }
}

#[cfg(test)]
mod tests;
