//! `cargo xtask requirements`: from a rule to its contract, its code and its tests. The rules stand in
//! `.specs`, the way from each to its tests in `requirements/*.yaml`; here both are held to the tree.
//!
//! ```text
//! .specs/**/*.md          rules with ids ──┐
//! requirements/*.yaml     id → … → tests ──┼──► faults, or the matrix
//! every other text file   cited ids ───────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::say;

mod contract;
mod rules;
#[cfg(test)]
mod tests;
mod tree;

use rules::Rule;
use tree::Tree;

/// Where the rules stand.
const SPECS: &str = ".specs/";
/// Where the way from each rule to its tests stands.
const REQUIREMENTS: &str = "requirements/";

/// `cargo xtask requirements`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Print the matrix as JSON.
    #[arg(long)]
    json: bool,
}

/// The way from a rule to its tests, as `requirements/*.yaml` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The rule's id.
    id: String,
    /// The rule, word for word.
    statement: String,
    /// Where contracts say so: `path#operation`, `path#Schema` or, of JSON, `path#/pointer`.
    #[serde(default)]
    contract: Vec<String>,
    /// The files that make it so.
    code: Vec<String>,
    /// By file, the names of the tests that hold it.
    tests: BTreeMap<String, BTreeSet<String>>,
}

/// What stands in the tree, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Findings {
    rules: Vec<Rule>,
    requirements: BTreeMap<String, Requirement>,
    /// A line each.
    pub faults: Vec<String>,
}

/// Reads the tree and holds rules, requirements and citations against each other.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    for file in files.iter().filter(|file| file.starts_with(SPECS) && file.ends_with(".md")) {
        findings.rules.extend(rules::read(file, &read(root, file)?));
    }
    for file in files.iter().filter(|file| file.starts_with(REQUIREMENTS) && file.ends_with(".yaml")) {
        findings.take(file, &read(root, file)?);
    }
    let tree = Tree::new(root, files);
    findings.check_rules();
    findings.check_requirements(&tree)?;
    findings.check_citations(&tree)?;
    Ok(findings)
}

fn read(root: &Path, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))
}

impl Findings {
    /// Takes the requirements of one file.
    fn take(&mut self, file: &str, text: &str) {
        let read: Vec<Requirement> = match serde_saphyr::from_str(text) {
            Ok(read) => read,
            Err(error) => {
                self.faults.push(format!("{file}: {error}"));
                return;
            }
        };
        for requirement in read {
            let id = requirement.id.clone();
            if self.requirements.insert(id.clone(), requirement).is_some() {
                self.faults.push(format!("{file}: `{id}` stands here or elsewhere a second time"));
            }
        }
    }

    /// Every id is one rule's, and every MUST has a requirement.
    fn check_rules(&mut self) {
        let mut seen = BTreeSet::new();
        for rule in &self.rules {
            if !seen.insert(&rule.id) {
                self.faults.push(format!("{}: `{}` is the id of another rule", rule.place(), rule.id));
            }
            if rule.binds() && !self.requirements.contains_key(&rule.id) {
                self.faults.push(format!("{}: `{}` says MUST and has no requirement", rule.place(), rule.id));
            }
        }
    }

    /// Every requirement is of a rule and leads somewhere.
    fn check_requirements(&mut self, tree: &Tree<'_>) -> anyhow::Result<()> {
        let rules: BTreeMap<&str, &Rule> = self.rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        for (id, requirement) in &self.requirements {
            let mut fault = |what: String| self.faults.push(format!("requirement `{id}`: {what}"));
            match rules.get(id.as_str()) {
                None => fault("no spec has this id".to_owned()),
                Some(rule) if !rule.binds() => fault(format!("{} does not say MUST", rule.place())),
                Some(rule) if rule.text != rules::one_line(&requirement.statement) => {
                    fault(format!("the statement is not that of {}", rule.place()));
                }
                Some(_) => {}
            }
            if requirement.code.is_empty() {
                fault("no code is named".to_owned());
            }
            if requirement.tests.values().all(BTreeSet::is_empty) {
                fault("no test is named".to_owned());
            }
            for file in requirement.code.iter().filter(|file| !tree.has(file)) {
                fault(format!("there is no `{file}`"));
            }
            for place in &requirement.contract {
                if let Some(what) = tree.misses_contract(place)? {
                    fault(what);
                }
            }
            for (file, names) in &requirement.tests {
                for what in tree.misses_tests(file, names)? {
                    fault(what);
                }
            }
        }
        Ok(())
    }

    /// Every id that is cited anywhere is one rule's.
    fn check_citations(&mut self, tree: &Tree<'_>) -> anyhow::Result<()> {
        let known: BTreeSet<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        for (place, id) in tree.citations()? {
            if !known.contains(id.as_str()) {
                self.faults.push(format!("{place}: no spec has `{id}`"));
            }
        }
        Ok(())
    }

    /// In one line: how much there is.
    pub fn summary(&self) -> String {
        let binding = self.rules.iter().filter(|rule| rule.binds()).count();
        let tests: BTreeSet<(&String, &String)> = self
            .requirements
            .values()
            .flat_map(|requirement| &requirement.tests)
            .flat_map(|(file, names)| names.iter().map(move |name| (file, name)))
            .collect();
        format!("{} rules, {binding} of them MUST, held by {} tests", self.rules.len(), tests.len())
    }

    /// For people.
    fn print(&self) {
        for rule in &self.rules {
            say::line(format_args!("{}  {}", rule.id, rule.text));
            let Some(requirement) = self.requirements.get(&rule.id) else { continue };
            for place in &requirement.contract {
                say::line(format_args!("    contract  {place}"));
            }
            for file in &requirement.code {
                say::line(format_args!("    code      {file}"));
            }
            for (file, names) in &requirement.tests {
                for name in names {
                    say::line(format_args!("    test      {file}  {name}"));
                }
            }
        }
    }

    /// For programs: every rule, with its requirement where it has one.
    fn json(&self) -> serde_json::Value {
        let rows = self.rules.iter().map(|rule| {
            let requirement = self.requirements.get(&rule.id);
            serde_json::json!({
                "id": rule.id,
                "spec": rule.place(),
                "must": rule.binds(),
                "statement": rule.text,
                "contract": requirement.map(|it| &it.contract),
                "code": requirement.map(|it| &it.code),
                "tests": requirement.map(|it| &it.tests),
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
