//! Turns `contracts/openapi/*.yaml` into Rust: the types of the wire (`contracts/api-types`) and the
//! client (`tools/openapi-client`), which uses those types and has none of its own. What it writes is
//! checked in; a test here generates to memory and compares.
//!
//! ```text
//! data.yaml ─┐                ┌─ typify ────► contracts/api-types/src/generated.rs
//!            ├─ one document ─┼─ limits ────► contracts/api-types/src/limits.rs
//! control.yaml ┘              └─ progenitor ► tools/openapi-client/src/generated.rs
//! ```
//!
//! Rules: ORCH-DOC-1

mod document;
mod emit;
mod limits;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

pub use document::{Document, FILES, load_yaml};

/// One generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Where it lies, from the root of the repository.
    pub path: &'static str,
    /// All of its text.
    pub text: String,
}

/// What [`regen`] does with what it generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Writes the files that differ.
    Write,
    /// Fails where a file differs, and writes nothing.
    Check,
}

/// The root of the repository that this crate was built in.
#[must_use]
pub fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the crate lies two folders below the root").to_path_buf()
}

/// Generates every file, to memory.
///
/// # Errors
/// The YAML cannot be read, is no OpenAPI 3.0.3, or describes what cannot be expressed.
pub fn generate(root: &Path) -> anyhow::Result<Vec<Generated>> {
    let document = Document::load(root)?;
    Ok(vec![
        Generated { path: "contracts/api-types/src/generated.rs", text: emit::types(&document)? },
        Generated { path: "contracts/api-types/src/limits.rs", text: limits::emit(&document)? },
        Generated { path: "tools/openapi-client/src/generated.rs", text: emit::client(&document)? },
    ])
}

/// Generates every file and writes or compares it. Answers the paths that differed.
///
/// # Errors
/// As [`generate`]; in [`Mode::Check`] also that a file differs, with the command that makes it current.
pub fn regen(root: &Path, mode: Mode) -> anyhow::Result<Vec<&'static str>> {
    let mut differing = Vec::new();
    for file in generate(root)? {
        let path = root.join(file.path);
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        if current == file.text {
            continue;
        }
        differing.push(file.path);
        if mode == Mode::Write {
            std::fs::write(&path, &file.text)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
    }
    if mode == Mode::Check && !differing.is_empty() {
        bail!("not what contracts/openapi says: {}; run `cargo xtask regen-openapi`", differing.join(", "));
    }
    Ok(differing)
}

#[cfg(test)]
mod tests;
