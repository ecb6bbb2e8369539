use super::*;
use crate::exit;

#[test]
fn every_step_that_compiles_llama_cpp_selects_the_same_packages_and_features() {
    let engine_steps: Vec<Vec<&str>> = Step::all(Scope::Everything)
        .into_iter()
        .map(Step::cargo_words)
        .filter(|words| words.contains(&"--workspace") && !words.contains(&"--exclude"))
        .collect();
    assert_eq!(engine_steps.len(), 3, "clippy, tests, documentation tests");
    for words in engine_steps {
        for word in [
            "--package",
            "-p",
            "--features",
            "--all-features",
            "--no-default-features",
            "--release",
            "--profile",
        ] {
            assert!(!words.contains(&word), "{words:?} makes cargo build llama.cpp a second time");
        }
    }
}

#[test]
fn the_fast_loop_never_reaches_llama_cpp_or_the_starter_model() {
    for step in Step::all(Scope::WithoutEngine) {
        assert!(!matches!(step, Step::Packages | Step::Starter), "{step:?}");
        let words = step.cargo_words();
        if words.contains(&"--workspace") {
            assert!(words.windows(2).any(|pair| pair == ["--exclude", "worker-llamacpp"]), "{words:?}");
            assert!(words.contains(&"--no-default-features"), "{words:?}");
        }
    }
}

#[test]
fn the_full_loop_also_checks_the_build_without_the_engine() {
    assert!(Step::all(Scope::Everything).contains(&Step::Clippy(Scope::WithoutEngine)));
}

#[test]
fn a_failed_step_names_itself_and_how_to_run_it_alone() {
    let error = explain(Step::Links, anyhow::anyhow!("found 1"));
    assert_eq!(error.to_string(), "`links` failed; this step alone: cargo xtask links");
    assert_eq!(exit::code_of(&error), exit::FAILED);
    let packages = explain(Step::Packages, Stop::error(exit::PACKAGES, "no cmake"));
    assert_eq!(exit::code_of(&packages), exit::PACKAGES, "the code survives the explanation");
}

#[test]
fn an_interrupt_is_not_explained_as_a_failure() {
    let error = explain(Step::Tests(Scope::Everything), Stop::error(130, ""));
    assert_eq!((exit::code_of(&error), error.to_string().as_str()), (130, ""));
}
