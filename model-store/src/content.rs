//! What a file that should be a model is instead, by its first bytes: a proxy's page, a pointer that Git LFS has put
//! in the file's place.
//!
//! Rules: ORCH-STORE-7

use std::fmt;

/// The bytes by which it is told.
pub(crate) const STUB_BYTES: usize = 64;

/// What every model file begins with.
const GGUF: &[u8] = b"GGUF";
const LFS: &[u8] = b"version https://git-lfs";
const HTML: [&str; 4] = ["<!doctype html", "<html", "<head", "<?xml"];

/// Something that stands where a model should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stub {
    /// A page for a browser.
    Html,
    /// What Git leaves where it did not fetch the file itself.
    LfsPointer,
}

impl Stub {
    /// What the first bytes of a file say; nothing where they may be those of a model.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(LFS) {
            return Some(Self::LfsPointer);
        }
        let start = start.trim_ascii_start();
        let begins = |with: &str| {
            start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        HTML.iter().any(|with| begins(with)).then_some(Self::Html)
    }

    /// What to do about a file of the user's own.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Html => "download the file again, from the URL of its content and not of its page",
            Self::LfsPointer => "fetch the file itself with `git lfs pull`",
        }
    }
}

impl fmt::Display for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Html => "a page of HTML, not a model",
            Self::LfsPointer => "a Git LFS pointer, not the model that it stands for",
        })
    }
}

/// Why the beginning of a download is not that of a model; nothing where it is, or where the checksum will tell.
pub(crate) fn fault(start: &[u8], sha256: Option<&str>) -> Option<String> {
    match Stub::of(start) {
        Some(stub) => Some(format!("it is {stub}")),
        None if sha256.is_none() && !start.starts_with(GGUF) => {
            Some("it does not begin with `GGUF`, as every model file does".to_owned())
        }
        None => None,
    }
}

/// The URL of the content whose page `url` is, as the hub forms both.
pub(crate) fn content_url(url: &str) -> Option<String> {
    url.contains("/blob/").then(|| url.replacen("/blob/", "/resolve/", 1))
}

#[cfg(test)]
mod tests;
