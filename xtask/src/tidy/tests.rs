use super::*;

fn broken(files: &[(&str, &str)]) -> Vec<String> {
    let tree = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let names: Vec<String> = files.iter().map(|(file, _)| (*file).to_owned()).collect();
    check(tree.path(), &names).unwrap().broken
}

#[test]
fn every_file_says_what_it_owns_except_test_modules_and_generated_ones() {
    let found = broken(&[
        ("a/src/lib.rs", "//! The library.\n"),
        ("a/src/x.rs", "use std::fmt;\n"),
        ("a/build.rs", "fn main() {}\n"),
        ("a/src/x/tests.rs", "use super::*;\n"),
        ("a/src/x/tests/rules.rs", "use super::*;\n"),
        ("a/tests/daemon/setup.rs", "use std::fmt;\n"),
        ("a/tests/daemon.rs", "use std::fmt;\n"),
        ("a/src/made.rs", "// @generated from x.yaml\n"),
    ]);
    let heads: Vec<&str> = found.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(heads, ["a/src/x.rs", "a/build.rs", "a/tests/daemon.rs"], "{found:?}");
}

#[test]
fn files_have_names_of_their_own() {
    let found = broken(&[("a/src/x/mod.rs", "//! x\n"), ("a/src/utils.rs", "//! all sorts\n")]);
    assert!(
        found.len() == 2 && found[0].contains("`mod.rs`") && found[1].contains("`utils.rs`"),
        "{found:?}"
    );
}

#[test]
fn ignored_tests_and_notes_to_oneself_are_refused_with_their_line() {
    let text = format!("//! x\n    #[{}]\n// {}: later\n", "ignore = \"slow\"", concat!("TO", "DO"));
    let found = broken(&[("a/src/x.rs", &text)]);
    assert!(
        found.len() == 2 && found[0].starts_with("a/src/x.rs:2") && found[1].starts_with("a/src/x.rs:3"),
        "{found:?}"
    );
}

#[test]
fn a_package_without_the_workspace_lints_is_refused() {
    let found = broken(&[
        ("Cargo.toml", &format!("[workspace]\nmembers = []\n{ENGINE_PROFILES}")),
        ("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
        ("b/Cargo.toml", "[package]\nname = \"b\"\nversion.workspace = true\n"),
    ]);
    assert_eq!(found, ["b/Cargo.toml: must have `[lints]` with `workspace = true`"]);
}

/// What every workspace says of llama.cpp's build.
const ENGINE_PROFILES: &str = "
[profile.dev.build-override]
debug = false

[profile.dev.package.llama-cpp-sys-2]
opt-level = 3
debug = false

[profile.release.package.llama-cpp-sys-2]
opt-level = 3
debug = false
";

#[test]
fn a_workspace_that_would_build_llama_cpp_twice_is_refused() {
    let elsewhere = ENGINE_PROFILES.replace("[profile.dev.build-override]", "[profile.dev]");
    let without = ENGINE_PROFILES.replace("[profile.dev.build-override]\ndebug = false\n", "");
    for profiles in [elsewhere, without] {
        let found = broken(&[("Cargo.toml", &format!("[workspace]\n{profiles}"))]);
        assert!(found.len() == 1 && found[0].contains("[profile.dev.build-override]"), "{found:?}");
    }
}

#[test]
fn a_workspace_that_would_build_a_slow_engine_is_refused() {
    let slow = ENGINE_PROFILES.replace("opt-level = 3\ndebug = false", "opt-level = 3");
    let found = broken(&[("Cargo.toml", &format!("[workspace]\n{slow}"))]);
    assert!(found.len() == 2 && found.iter().all(|broken| broken.contains("-O2")), "{found:?}");
}

#[test]
fn a_guard_that_the_architecture_names_and_nobody_wrote_is_found() {
    let found = broken(&[
        ("ARCHITECTURE.md", "| A-1 | x | `a_test_that_is_there`, `one_that_is_not_there` and `short_name` |"),
        ("a/src/x/tests.rs", "fn a_test_that_is_there() {}\n"),
    ]);
    assert_eq!(found, ["ARCHITECTURE.md: there is no test `one_that_is_not_there`"]);
}

#[test]
fn long_files_are_reported_longest_first_and_generated_ones_left_out() {
    let tree = tempfile::tempdir().unwrap();
    let body = "// line\n".repeat(LONG_FILE_LINES);
    std::fs::write(tree.path().join("a.rs"), format!("//! a\n{body}")).unwrap();
    std::fs::write(tree.path().join("b.rs"), format!("//! b\n{body}{body}")).unwrap();
    std::fs::write(tree.path().join("c.rs"), format!("// @generated\n{body}")).unwrap();
    let report = check(tree.path(), &["a.rs", "b.rs", "c.rs"].map(str::to_owned)).unwrap();
    assert_eq!(report.broken, Vec::<String>::new());
    assert_eq!(report.long, [(801, "b.rs".to_owned()), (401, "a.rs".to_owned())]);
}

/// ORCH-SHAPE-3
#[test]
fn the_core_may_depend_on_neither_our_crates_nor_anything_that_does_io() {
    let head = "orchestrator-core v0.1.0 (/somewhere/orchestrator-core)\n";
    let pure = format!("{head}serde v1.0.0\nserde_derive v1.0.0 (proc-macro)\nuuid v1.0.0\n");
    assert_eq!(core_rules(&pure, &pure), Vec::<String>::new());
    let direct = format!("{pure}engine-api v0.1.0 (/somewhere/engine-api)\n");
    let shipped = format!("{pure}tokio v1.0.0\ntokio v1.0.0 (*)\n");
    let found = core_rules(&direct, &shipped);
    assert!(
        found.len() == 2 && found[0].contains("`engine-api`") && found[1].contains("`tokio`"),
        "{found:?}"
    );
}
