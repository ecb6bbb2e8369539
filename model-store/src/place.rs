//! Paths of models in the store's folder: an injective map from a reference to a path, so that no two models
//! ever share a file.
//!
//! ```text
//! starter                       SmolLM2-135M-Instruct.Q4_1.gguf
//! hf:OWNER/REPO/a/b.gguf        hf/OWNER/REPO/a/b.gguf
//! hf:OWNER/REPO@v1/a b.gguf     hf/OWNER/REPO@v1/a%20b.gguf
//! https://HOST:1/a+b/c.gguf?d   url/https/HOST%3A1/a%2Bb%2Fc.gguf%3Fd
//! another version of a file     NAME@FIRST-16-DIGITS-OF-ITS-SHA256.gguf beside it
//! … of one in several parts     NAME@FIRST-16-DIGITS-OF-ITS-SHA256-00001-of-00003.gguf
//! ```
//!
//! A URL is three folders deep whatever its own depth is: no file's name is another one's folder. `%` and
//! `@` occur in no name unescaped, so an escaped name reads back as its URL, and no URL reads as a version.
//!
//! Rules: ORCH-STORE-3

use std::path::{Path, PathBuf};

use crate::at_path::PartName;
use crate::checked::Sum;
use crate::model_ref::{HfFile, ModelRef, file_name_of_url_path, is_loopback};

/// The folder of files that URLs name.
pub(crate) const URL_DIR: &str = "url";
/// The folder where versions up to 1.0 kept them, under names that could collide.
pub(crate) const LEGACY_URL_DIR: &str = "web";

/// The longest escaped name. File systems take 255 bytes; `.NAME@VERSION.part.json` has to fit too.
const MAX_NAME_BYTES: usize = 200;
/// What is left of a longer one in front of its hash.
const KEPT_NAME_BYTES: usize = 120;
/// Stands before the hash of a name that was too long. Never in an escaped name.
const HASH_MARK: char = '~';
/// Stands before a version. Never in an escaped name, nor in one of `hf:`.
const VERSION_MARK: char = '@';
const VERSION_DIGITS: usize = 16;
/// Hexadecimal digits of a URL's hash in a legacy name.
const LEGACY_HASH_DIGITS: usize = 12;

/// The path of a URL's file below the store's folder.
pub(crate) fn of_url(url: &str) -> PathBuf {
    let url = without_fragment(url);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    [URL_DIR, scheme, &escaped(authority), &escaped(path)].iter().collect()
}

/// The URL whose file is at a path below the store's folder, given as its parts. Nothing for a name that
/// was shortened, for a version, and for what was put there by hand.
pub(crate) fn url_of(names: &[&str]) -> Option<ModelRef> {
    let [URL_DIR, scheme, authority, path] = names else { return None };
    let url = format!("{scheme}://{}/{}", unescaped(authority)?, unescaped(path)?);
    let model = ModelRef::parse(&url).ok()?;
    (of_url(&url) == names.iter().collect::<PathBuf>()).then_some(model)
}

/// The path of the version with a checksum of the file at `path`, for when another version is there.
pub(crate) fn of_version(path: &Path, sha256: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = &sha256[..sha256.len().min(VERSION_DIGITS)];
    // The numbers stay at the end: by them the engine finds the other parts.
    if let Some(part) = PartName::read(&name) {
        let stem = format!("{}{VERSION_MARK}{version}", part.stem);
        return path.with_file_name(PartName { stem: &stem, ..part }.name(part.number));
    }
    path.with_file_name(match name.rsplit_once('.') {
        Some((stem, suffix)) if !stem.is_empty() => format!("{stem}{VERSION_MARK}{version}.{suffix}"),
        _ => format!("{name}{VERSION_MARK}{version}"),
    })
}

/// Whether `path` is a version of the file at `plain`.
pub(crate) fn is_version(path: &Path, plain: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version =
        name.rsplit_once(VERSION_MARK).map(|(_, rest)| rest.split(['.', '-']).next().unwrap_or_default());
    version.is_some_and(|version| of_version(plain, version) == path)
}

/// The path that versions up to 1.0 gave a URL's file.
pub(crate) fn legacy_of_url(url: &str) -> PathBuf {
    let url = without_fragment(url);
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let name = file_name_of_url_path(path).unwrap_or("model");
    let folders = path.split('?').next().unwrap_or_default().strip_suffix(name).unwrap_or_default();
    let parts = std::iter::once(host).chain(folders.split('/')).filter(|part| !part.is_empty());
    let name = if path.contains('?') { hashed(&legacy(name), url) } else { legacy(name) };
    std::iter::once(LEGACY_URL_DIR.to_owned()).chain(parts.map(legacy)).chain([name]).collect()
}

/// Whether the legacy path of a URL could be no other URL's. `_` stood for every unusual character there,
/// `http` and `https` met, and empty folders went; a query left a hash of the whole URL.
pub(crate) fn has_own_legacy_place(url: &str) -> bool {
    let url = without_fragment(url);
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    if rest.contains('?') {
        return true;
    }
    let host = rest.split('/').next().unwrap_or_default();
    let is_plain = !rest.contains("//") && !legacy_of_url(url).to_string_lossy().contains('_');
    is_plain && scheme == "https" && !is_loopback(host)
}

/// The path of a Hugging Face file below the store's folder.
pub(crate) fn of_hub_file(file: &HfFile) -> PathBuf {
    let folder = of_repository(&file.owner, &file.repo, file.revision.as_deref());
    file.path.split('/').fold(folder, |folder, part| folder.join(escaped(part)))
}

/// The folder of a repository's files below the store's folder. `@` is in no repository's name.
pub(crate) fn of_repository(owner: &str, repo: &str, revision: Option<&str>) -> PathBuf {
    let repo = match revision {
        Some(revision) => format!("{repo}{VERSION_MARK}{}", escaped(revision)),
        None => repo.to_owned(),
    };
    ["hf", owner, &repo].iter().collect()
}

/// The Hugging Face file at a path below the store's folder, given as its parts. Nothing for a version, and for
/// what was put there by hand.
pub(crate) fn hub_file_of(names: &[&str]) -> Option<ModelRef> {
    let ["hf", owner, repo, path @ ..] = names else { return None };
    let (repo, revision) = match repo.split_once(VERSION_MARK) {
        Some((repo, revision)) => (repo, Some(unescaped(revision)?)),
        None => (*repo, None),
    };
    let path: Option<Vec<String>> = path.iter().map(|part| unescaped(part)).collect();
    let file = HfFile { owner: (*owner).into(), repo: repo.into(), revision, path: path?.join("/") };
    let is_its_path = of_hub_file(&file) == names.iter().collect::<PathBuf>();
    // What cannot be written as a reference was not fetched by one.
    ModelRef::parse(&format!("hf:{file}")).ok().filter(|_| is_its_path)
}

/// Whether a part of a path gets a name that is not cut.
pub(crate) fn fits(part: &str) -> bool {
    escaped_whole(part).len() <= MAX_NAME_BYTES
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

/// One name of a path for any text; a text that is too long is cut, and gets its hash.
pub(crate) fn escaped(text: &str) -> String {
    let mut name = escaped_whole(text);
    if name.len() > MAX_NAME_BYTES {
        name.truncate(KEPT_NAME_BYTES);
        name.push(HASH_MARK);
        name.push_str(&hash(text));
    }
    name
}

fn escaped_whole(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            // A hidden file, or a step up.
            b'.' if place == 0 => name.push_str("%2E"),
            b'-' | b'_' | b'.' => name.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            byte => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

/// A text without its `%XX`; nothing where they are no UTF-8.
pub(crate) fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hash(text: &str) -> String {
    let mut sum = Sum::default();
    sum.update(text.as_bytes());
    sum.finish()
}

fn hashed(name: &str, url: &str) -> String {
    let hash = &hash(url)[..LEGACY_HASH_DIGITS];
    match name.rsplit_once('.') {
        Some((stem, suffix)) if !stem.is_empty() => format!("{stem}-{hash}.{suffix}"),
        _ => format!("{name}-{hash}"),
    }
}

fn legacy(part: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = part.chars().map(plain).collect();
    if name.bytes().all(|byte| byte == b'.') { "_".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
