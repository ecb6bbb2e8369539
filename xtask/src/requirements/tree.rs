//! The files that requirements point to: whether they are there, which tests they hold, and which ids they
//! cite. A test counts when it runs: it is marked as one, not ignored, and its file is part of its crate.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{REQUIREMENTS, SPECS, contract, read, rules};

/// A file larger than this is no source: nothing is cited in it.
const LARGEST_SOURCE_BYTES: u64 = 1 << 20;

/// The files of the checkout.
pub struct Tree<'a> {
    root: &'a Path,
    files: BTreeSet<&'a str>,
    /// By package, the modules that its files declare, as far as somebody asked.
    modules: RefCell<BTreeMap<String, BTreeSet<String>>>,
    /// The contracts that were read, or why they could not be.
    contracts: RefCell<BTreeMap<String, Result<Value, String>>>,
}

impl<'a> Tree<'a> {
    /// The tree of `files` below `root`.
    pub fn new(root: &'a Path, files: &'a [String]) -> Self {
        Self {
            root,
            files: files.iter().map(String::as_str).collect(),
            modules: RefCell::default(),
            contracts: RefCell::default(),
        }
    }

    /// Whether there is such a file.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// What is wrong with `path#anchor`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn misses_contract(&self, place: &str) -> anyhow::Result<Option<String>> {
        let (file, anchor) = place.split_once('#').unwrap_or((place, ""));
        if !self.has(file) {
            return Ok(Some(format!("there is no `{file}`")));
        }
        if anchor.is_empty() {
            return Ok(Some(format!("`{place}` names no operation: write `{file}#OPERATION`")));
        }
        if !self.contracts.borrow().contains_key(file) {
            let document = contract::parse(file, &read(self.root, file)?);
            self.contracts.borrow_mut().insert(file.to_owned(), document);
        }
        Ok(match self.contracts.borrow().get(file) {
            Some(Ok(document)) => contract::misses(file, document, anchor),
            Some(Err(error)) => Some(format!("`{file}` cannot be read: {error}")),
            None => None,
        })
    }

    /// What is wrong with the tests `names` of `file`, a line each.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn misses_tests(&self, file: &str, names: &BTreeSet<String>) -> anyhow::Result<Vec<String>> {
        if !self.has(file) {
            return Ok(vec![format!("there is no `{file}`")]);
        }
        let text = read(self.root, file)?;
        let there = if file.ends_with(".feature") { scenarios(&text) } else { tests(&text) };
        let mut missing: Vec<String> = names
            .iter()
            .filter_map(|name| match there.get(name.as_str()) {
                None => Some(format!("`{file}` has no test `{name}`")),
                Some(Fate::Ignored) => Some(format!("the test `{name}` of `{file}` is ignored")),
                Some(Fate::Runs) => None,
            })
            .collect();
        if file.ends_with(".rs") && !self.is_compiled(file)? {
            missing.push(format!("`{file}` is part of no crate: nothing declares it"));
        }
        Ok(missing)
    }

    /// Whether a Rust file is the root of a target, or some file of its package declares it as a module.
    fn is_compiled(&self, file: &str) -> anyhow::Result<bool> {
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
            let text = read(self.root, file)?;
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

    /// Every citation of an id outside the specs and the requirements, with its place.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn citations(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for file in &self.files {
            if file.starts_with(REQUIREMENTS) || file.starts_with(SPECS) || file.ends_with(".lock") {
                continue;
            }
            let path = self.root.join(file);
            if path.metadata().is_ok_and(|meta| meta.len() > LARGEST_SOURCE_BYTES) {
                continue;
            }
            // What is not text cites nothing.
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let lines = text.lines().enumerate();
            for (number, line) in lines.filter(|(_, line)| rules::may_cite(line)) {
                let place = || format!("{file}:{}", number + 1);
                found.extend(rules::cited(line).map(|id| (place(), id.to_owned())));
            }
        }
        Ok(found)
    }
}

/// What becomes of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs with the others.
    Runs,
    /// It is there and does not run.
    Ignored,
}

/// The tests of a Rust file, by name. Reads lines and not syntax, so that those inside of a macro such as
/// `proptest!` are seen as well.
pub fn tests(text: &str) -> BTreeMap<&str, Fate> {
    let mut tests = BTreeMap::new();
    let mut fate = None;
    let mut ignored = false;
    let mut inside_attribute = false;
    for line in text.lines().map(str::trim) {
        if inside_attribute {
            inside_attribute = !line.ends_with(']');
        } else if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']', ' ', '=']).next().unwrap_or_default();
            match path.rsplit("::").next() {
                Some("test") => fate = Some(Fate::Runs),
                Some("ignore") => ignored = true,
                _ => {}
            }
            inside_attribute = !line.ends_with(']');
        } else if line.starts_with("//") || line.is_empty() {
            // Comments may stand between an attribute and its function.
        } else {
            if let (Some(fate), Some(name)) = (fate, function(line)) {
                tests.insert(name, if ignored { Fate::Ignored } else { fate });
            }
            (fate, ignored) = (None, false);
        }
    }
    tests
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| matches!(word, "pub" | "async" | "const"));
    is_head.then(|| after.split(['(', '<']).next().unwrap_or_default().trim())
}

/// The scenarios of a feature, by title; one with a tag that says so does not run.
fn scenarios(text: &str) -> BTreeMap<&str, Fate> {
    let mut scenarios = BTreeMap::new();
    let mut tags = "";
    for line in text.lines().map(str::trim) {
        let title = line.strip_prefix("Scenario:").or_else(|| line.strip_prefix("Scenario Outline:"));
        if let Some(title) = title {
            let skipped =
                tags.split_whitespace().any(|tag| matches!(tag, "@skip" | "@ignore" | "@allow.skipped"));
            scenarios.insert(title.trim(), if skipped { Fate::Ignored } else { Fate::Runs });
        }
        tags = if line.starts_with('@') { line } else { "" };
    }
    scenarios
}
