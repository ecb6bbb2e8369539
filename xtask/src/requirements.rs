//! `cargo xtask requirements`: from a rule to its contract, its code and its tests. A rule stands in `.specs`
//! alone; a contract, a file of code or a test that belongs to it cites its id in a comment. The index in
//! `requirements/` is generated from these citations, and never edited.
//!
//! ```text
//! .specs/**/*.md      rules with ids ──┐
//! contracts, code     cited ids ───────┼──► faults, the matrix, requirements/*.yaml
//! tests, scenarios    cited ids ───────┘
//! ```
//!
//! Rules: ORCH-DOC-5
//!
//! Rules: ORCH-DOC-5

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::say;

mod citations;
mod index;
mod rules;
#[cfg(test)]
mod tests;
mod tree;

use citations::{Citation, Target};
use rules::Rule;
use tree::Tree;

/// Where the rules stand.
const SPECS: &str = ".specs/";
/// Where the generated index stands.
const INDEX: &str = "requirements/";

/// `cargo xtask requirements`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Print the matrix as JSON.
    #[arg(long)]
    json: bool,
}

/// What cites a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Links {
    /// Places in contracts: `path#operation`, `path#Schema`, or a path.
    contract: BTreeSet<String>,
    /// Files.
    code: BTreeSet<String>,
    /// By file, the names of tests and the titles of scenarios.
    tests: BTreeMap<String, BTreeSet<String>>,
}

/// What the tree holds, and its faults.
#[derive(Debug, Default)]
pub struct Findings {
    rules: Vec<Rule>,
    links: BTreeMap<String, Links>,
    /// A line each. A stale index is not among them.
    pub faults: Vec<String>,
}

/// Reads rules and citations from the tree.
///
/// # Errors
/// When a file cannot be read.
pub fn read(root: &Path, files: &[String]) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    for file in files.iter().filter(|file| file.starts_with(SPECS) && file.ends_with(".md")) {
        findings.rules.extend(rules::read(file, &text_of(root, file)?));
    }
    let tree = Tree::new(root, files);
    for citation in tree.citations()? {
        findings.take(citation, &tree)?;
    }
    findings.check_rules();
    Ok(findings)
}

/// Reads the tree and compares the index with it.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Findings> {
    let mut findings = read(root, files)?;
    findings.faults.extend(index::stale(root, files, &findings)?);
    Ok(findings)
}

/// `cargo xtask regen-requirements`: writes the index.
///
/// # Errors
/// When a file cannot be read or written.
pub fn regen(root: &Path, files: &[String]) -> anyhow::Result<()> {
    index::write(root, files, &read(root, files)?)
}

fn text_of(root: &Path, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))
}

impl Findings {
    /// Adds one citation to the links of its rule.
    fn take(&mut self, citation: Citation, tree: &Tree<'_>) -> anyhow::Result<()> {
        let Citation { id, file, line, target } = citation;
        if !self.rules.iter().any(|rule| rule.id == id) {
            self.faults.push(format!("{file}:{line}: no spec has `{id}`"));
            return Ok(());
        }
        let links = self.links.entry(id).or_default();
        match target {
            Target::Test { name, ignored: true } => {
                self.faults.push(format!("{file}:{line}: the test `{name}` is ignored"));
            }
            Target::Test { name, ignored: false } => {
                if !tree.is_compiled(&file)? {
                    self.faults.push(format!("`{file}` is part of no crate: nothing declares it"));
                }
                links.tests.entry(file).or_default().insert(name);
            }
            Target::Contract { anchor: Some(anchor) } => {
                links.contract.insert(format!("{file}#{anchor}"));
            }
            Target::Contract { anchor: None } => {
                links.contract.insert(file);
            }
            Target::Code => {
                links.code.insert(file);
            }
            Target::Prose => {}
        }
        Ok(())
    }

    /// Every id is that of one rule, and every MUST has a test, and code or a contract.
    fn check_rules(&mut self) {
        let mut seen = BTreeSet::new();
        for rule in &self.rules {
            let place = rule.place();
            if !seen.insert(&rule.id) {
                self.faults.push(format!("{place}: `{}` is the id of another rule", rule.id));
            }
            if !rule.binds() {
                continue;
            }
            let links = self.links.get(&rule.id);
            if links.is_none_or(|links| links.code.is_empty() && links.contract.is_empty()) {
                self.faults
                    .push(format!("{place}: `{}` says MUST and neither code nor contract cites it", rule.id));
            }
            if links.is_none_or(|links| links.tests.is_empty()) {
                self.faults.push(format!("{place}: `{}` says MUST and no test cites it", rule.id));
            }
        }
    }

    /// The counts, in one line.
    pub fn summary(&self) -> String {
        let binding = self.rules.iter().filter(|rule| rule.binds()).count();
        let tests: BTreeSet<(&String, &String)> = self
            .links
            .values()
            .flat_map(|links| &links.tests)
            .flat_map(|(file, names)| names.iter().map(move |name| (file, name)))
            .collect();
        format!("{} rules, {binding} of them MUST, held by {} tests", self.rules.len(), tests.len())
    }

    /// The matrix for people.
    fn print(&self) {
        for rule in &self.rules {
            say::line(format_args!("{}  {}", rule.id, rule.text));
            let Some(links) = self.links.get(&rule.id) else { continue };
            for place in &links.contract {
                say::line(format_args!("    contract  {place}"));
            }
            for file in &links.code {
                say::line(format_args!("    code      {file}"));
            }
            for (file, names) in &links.tests {
                for name in names {
                    say::line(format_args!("    test      {file}  {name}"));
                }
            }
        }
    }

    /// The matrix for programs.
    fn json(&self) -> serde_json::Value {
        let rows = self.rules.iter().map(|rule| {
            let links = self.links.get(&rule.id).cloned().unwrap_or_default();
            serde_json::json!({
                "id": rule.id,
                "spec": rule.place(),
                "must": rule.binds(),
                "statement": rule.text,
                "contract": links.contract,
                "code": links.code,
                "tests": links.tests,
            })
        });
        rows.collect()
    }

    /// Prints the matrix.
    pub fn show(&self, args: &Args) {
        if args.json {
            say::line(format_args!("{:#}", self.json()));
        } else {
            self.print();
        }
        say::note(self.summary());
    }
}
