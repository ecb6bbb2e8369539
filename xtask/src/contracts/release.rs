//! The released contracts: kept as they were, by version, in `contracts/openapi/released`.
//!
//! Rules: ORCH-DOC-3

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::compatibility;

/// The contracts that are released.
const NAMES: [&str; 2] = ["data", "control"];
const FOLDER: &str = "contracts/openapi";
const RELEASED: &str = "contracts/openapi/released/";

/// A version of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let numbers: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match numbers.as_deref() {
            Ok([major, minor, patch]) => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => bail!("`{text}` is no version: use three numbers, as `1.0.0`"),
        }
    }

    /// Whether what was promised at `before` may be taken back now.
    fn may_break(self, before: Self) -> bool {
        self.major > before.major || (self.major == 0 && before.major == 0 && self.minor > before.minor)
    }

    /// The least version that may.
    fn next_breaking(self) -> Self {
        match self.major {
            0 => Self { major: 0, minor: self.minor + 1, patch: 0 },
            major => Self { major: major + 1, minor: 0, patch: 0 },
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What the contracts take back of their last releases without a new version, a line each.
///
/// # Errors
/// When a contract cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for name in NAMES {
        let file = format!("{FOLDER}/{name}.yaml");
        if !files.contains(&file) {
            continue;
        }
        let Some((before, old)) = last_release(root, files, name)? else { continue };
        let new = read(root, &file)?;
        let now = version_of(&new).with_context(|| format!("cannot read `{file}`"))?;
        faults.extend(faults_between(&file, (before, &old), (now, &new)));
    }
    Ok(faults)
}

/// The same for one contract.
pub fn faults_between(file: &str, old: (Version, &Value), new: (Version, &Value)) -> Vec<String> {
    let ((before, old), (now, new)) = (old, new);
    if now < before {
        return vec![format!("{file}: version {now} is older than the released {before}")];
    }
    if now.may_break(before) {
        return Vec::new();
    }
    let needs = before.next_breaking();
    let broken = compatibility::taken_back(old, new);
    broken
        .into_iter()
        .map(|what| format!("{file}: {what} (released in {before}; this needs version {needs})"))
        .collect()
}

/// Keeps the contracts of now as the releases of their versions. Which files were written.
///
/// # Errors
/// When a version is released already with another content.
pub fn write(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut written = Vec::new();
    for name in NAMES {
        let file = format!("{FOLDER}/{name}.yaml");
        let version = version_of(&read(root, &file)?)?;
        let target = format!("{RELEASED}{name}-{version}.yaml");
        let text = std::fs::read_to_string(root.join(&file))?;
        match std::fs::read_to_string(root.join(&target)) {
            Ok(kept) if kept == text => continue,
            Ok(_) => bail!("`{target}` is there with another content: give `{file}` a new `info.version`"),
            Err(_) => {}
        }
        std::fs::create_dir_all(root.join(RELEASED))?;
        std::fs::write(root.join(&target), text).with_context(|| format!("cannot write `{target}`"))?;
        written.push(target);
    }
    Ok(written)
}

/// The highest released version of a contract.
fn last_release(root: &Path, files: &[String], name: &str) -> anyhow::Result<Option<(Version, Value)>> {
    let mut last: Option<(Version, &String)> = None;
    for file in files {
        let version = file.strip_prefix(RELEASED).and_then(|file| file.strip_suffix(".yaml"));
        let Some(version) = version.and_then(|rest| rest.strip_prefix(name)?.strip_prefix('-')) else {
            continue;
        };
        let version = Version::parse(version).with_context(|| format!("the name of `{file}`"))?;
        if last.is_none_or(|(highest, _)| version > highest) {
            last = Some((version, file));
        }
    }
    let Some((version, file)) = last else { return Ok(None) };
    let document = read(root, file)?;
    ensure!(version_of(&document)? == version, "`{file}` says another version inside");
    Ok(Some((version, document)))
}

fn read(root: &Path, file: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("`{file}` is not YAML"))
}

fn version_of(document: &Value) -> anyhow::Result<Version> {
    Version::parse(document["info"]["version"].as_str().context("`info.version` is missing")?)
}

#[cfg(test)]
mod tests;
