//! Each file of `features/` as one test, run by cucumber. Beside them a test of the runner itself: a step that
//! nobody has defined fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails and says where")]

mod run;
mod steps;
mod world;

use std::path::{Path, PathBuf};

use cucumber::gherkin::{Feature, GherkinEnv};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut args = Arguments::from_args();
    // Every scenario computes on all cores it gets: side by side they would only look slow.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    for file in features() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        trials.push(Trial::test(name, move || run::feature(&file).map_err(Failed::from)));
    }
    trials.push(Trial::test("every_scenario_says_which_rule_it_holds", every_scenario_has_a_rule));
    trials.push(Trial::test("a_step_that_nobody_defined_fails", undefined_step_fails));
    trials.push(Trial::test("a_feature_without_scenarios_fails", empty_feature_fails));
    libtest_mimic::run(&args, trials).exit();
}

/// The files of `features/`, in order.
fn features() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("features");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|file| file.extension().is_some_and(|is| is == "feature")).collect();
    files.sort();
    assert!(!files.is_empty(), "there are features");
    files
}

fn every_scenario_has_a_rule() -> Result<(), Failed> {
    let is_rule = |tag: &String| tag.starts_with("ORCH-") || tag.starts_with("HOME-");
    for file in features() {
        let feature = Feature::parse_path(&file, GherkinEnv::default())?;
        if let Some(scenario) = feature.scenarios.iter().find(|scenario| !scenario.tags.iter().any(is_rule)) {
            return Err(format!("{}: `{}` holds no rule of `.specs`", file.display(), scenario.name).into());
        }
    }
    Ok(())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn undefined_step_fails() -> Result<(), Failed> {
    match run::feature(&fixture("undefined.feature")) {
        Err(told) if told.contains("1 failed") => Ok(()),
        other => Err(format!("a step that nobody defined ended with {other:?}").into()),
    }
}

fn empty_feature_fails() -> Result<(), Failed> {
    match run::feature(&fixture("empty.feature")) {
        Err(told) if told.contains("no scenario") => Ok(()),
        other => Err(format!("a feature without scenarios ended with {other:?}").into()),
    }
}
