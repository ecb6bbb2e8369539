//! The pages of the error codes: the contract, the daemon and `contracts/error-codes` have the same codes,
//! and every page says what a person needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// Where the pages are: one a code, named after it.
const PAGES: &str = "contracts/error-codes/";

/// The contracts that list the codes of refusals and failures.
const CONTRACTS: [&str; 2] = ["contracts/openapi/data.yaml", "contracts/openapi/control.yaml"];

/// Where the daemon has them. Its codes of reloads are generated from the contract.
const DAEMON: &str = "orchestratord/src/backpressure.rs";

/// The codes that every place has.
const SHARED: &str = "ErrorCode";
/// The codes that one contract has beside them.
const OF_RELOADS: &str = "RollbackCode";

/// What every page has, in this order.
const HEADINGS: [&str; 3] = ["## What happened", "## Usual cause", "## What to do"];

/// Holds the codes of `files` against each other. A line for each that is missing somewhere.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let read = |file: &str| {
        std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read `{file}`"))
    };
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut of_reloads = BTreeSet::new();
    for file in files {
        if CONTRACTS.contains(&file.as_str()) {
            let document: Value = serde_saphyr::from_str(&read(file)?)?;
            let shared = of_schema(&document, SHARED);
            places.insert(file, shared.with_context(|| format!("`{file}` has no schema `{SHARED}`"))?);
            of_reloads.extend(of_schema(&document, OF_RELOADS).unwrap_or_default());
        } else if file == DAEMON {
            places.insert(file, of_daemon(&read(file)?));
        } else if let Some(code) = file.strip_prefix(PAGES).and_then(|name| name.strip_suffix(".md")) {
            places.entry(PAGES).or_default().insert(code.to_owned());
            faults.extend(page_faults(code, &read(file)?).map(|what| format!("{file}: {what}")));
        }
    }
    let pages = places.entry(PAGES).or_default();
    let missing = of_reloads.iter().filter(|code| !pages.contains(*code));
    faults.extend(missing.map(|code| format!("{PAGES}: lacks `{code}`, which the contract has for reloads")));
    pages.retain(|code| !of_reloads.contains(code));
    let all: BTreeSet<&String> = places.values().flatten().collect();
    for (place, codes) in &places {
        faults.extend(all.iter().filter(|code| !codes.contains(**code)).map(|code| {
            let elsewhere = places.iter().find(|(_, codes)| codes.contains(*code)).map_or("", |(at, _)| at);
            format!("{place}: lacks `{code}`, which `{elsewhere}` has")
        }));
    }
    Ok(faults)
}

/// The words of an enum, where the contract has it.
fn of_schema(document: &Value, name: &str) -> Option<BTreeSet<String>> {
    let words = document["components"]["schemas"][name]["enum"].as_array()?;
    Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The words on the wire of the daemon's enum: what stands behind `=> "` in capitals.
fn of_daemon(text: &str) -> BTreeSet<String> {
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
    let words = words.filter_map(|(_, rest)| rest.split_once('"')).map(|(word, _)| word);
    words
        .filter(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .map(str::to_owned)
        .collect()
}

fn page_faults(code: &str, text: &str) -> impl Iterator<Item = String> {
    let title = format!("# `{code}`");
    let mut faults = Vec::new();
    if text.lines().next() != Some(title.as_str()) {
        faults.push(format!("must begin with `{title}`"));
    }
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    if headings != HEADINGS {
        faults.push(format!("must have the headings {HEADINGS:?} and no others"));
    }
    faults.into_iter()
}

#[cfg(test)]
mod tests;
