//! The files of the checkout: which ids they cite, and whether a file with tests is part of its crate.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::citations::{self, Citation};
use super::{INDEX, SPECS, text_of};

/// A file larger than this is no source: nothing is cited in it.
const LARGEST_SOURCE_BYTES: u64 = 1 << 20;

/// The files of the checkout.
pub struct Tree<'a> {
    root: &'a Path,
    files: BTreeSet<&'a str>,
    /// By package, the modules that its files declare, as far as somebody asked.
    modules: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

impl<'a> Tree<'a> {
    /// The tree of `files` below `root`.
    pub fn new(root: &'a Path, files: &'a [String]) -> Self {
        Self { root, files: files.iter().map(String::as_str).collect(), modules: RefCell::default() }
    }

    /// Whether there is such a file.
    fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// Whether a file runs with its package: a Rust file that is the root of a target or is declared as a
    /// module by some file of its package, and any file of another kind.
    ///
    /// # Errors
    /// When a file of the package cannot be read.
    pub fn is_compiled(&self, file: &str) -> anyhow::Result<bool> {
        if !file.ends_with(".rs") {
            return Ok(true);
        }
        let Some(package) = self.package_of(file) else { return Ok(false) };
        let inside = file[package.len()..].trim_start_matches('/');
        let parts: Vec<&str> = inside.split('/').collect();
        match parts.as_slice() {
            ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["tests" | "benches", _] => return Ok(true),
            ["tests" | "benches", _, "main.rs"] => return Ok(true),
            _ => {}
        }
        let stem = parts.last().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        if !self.modules.borrow().contains_key(package) {
            let declared = self.modules_of(package)?;
            self.modules.borrow_mut().insert(package.to_owned(), declared);
        }
        Ok(self.modules.borrow().get(package).is_some_and(|declared| declared.contains(stem)))
    }

    /// The names behind `mod` in the files of a package.
    fn modules_of(&self, package: &str) -> anyhow::Result<BTreeSet<String>> {
        let mut declared = BTreeSet::new();
        let inside = format!("{package}/");
        for file in self.files.iter().filter(|file| file.starts_with(&inside) && file.ends_with(".rs")) {
            let text = text_of(self.root, file)?;
            let names = text.lines().filter_map(|line| {
                let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
                let is_declaration = before.is_empty() || before.ends_with(' ');
                (is_declaration && !before.contains("//")).then(|| name.to_owned())
            });
            declared.extend(names);
        }
        Ok(declared)
    }

    /// The folder of the nearest manifest above `file`.
    fn package_of<'f>(&self, file: &'f str) -> Option<&'f str> {
        let folders = file.rmatch_indices('/').map(|(end, _)| &file[..end]);
        folders.into_iter().find(|folder| self.has(&format!("{folder}/Cargo.toml")))
    }

    /// Every citation of an id outside the specs and the index.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn citations(&self) -> anyhow::Result<Vec<Citation>> {
        let mut found = Vec::new();
        for file in &self.files {
            if file.starts_with(INDEX) || file.starts_with(SPECS) || file.ends_with(".lock") {
                continue;
            }
            let path = self.root.join(file);
            if path.metadata().is_ok_and(|meta| meta.len() > LARGEST_SOURCE_BYTES) {
                continue;
            }
            // What is not text cites nothing.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            found.extend(citations::read(file, &text));
        }
        Ok(found)
    }
}
