use std::path::PathBuf;

use super::tree::Fate;
use super::*;

/// A small tree with one rule that is held.
struct Planted {
    folder: tempfile::TempDir,
}

/// An id that no rule of this repository has, in pieces: whole, it would be a citation.
fn id(number: u32) -> String {
    format!("ORCH-{}-{number}", "TEST")
}

/// With `@` for the sign that begins an attribute: here it is none.
const TESTS: &str = "\
#[test]
fn a_thing_is_so() {}

#[tokio::test]
@[ignore = \"slow\"]
async fn a_thing_is_slow() {}
";

impl Planted {
    fn new() -> Self {
        let planted = Self { folder: tempfile::tempdir().unwrap() };
        planted.spec(&format!("- **{}** A thing MUST be so,\n  and stay so.\n", id(1)));
        planted.requirement("A thing MUST be so, and stay so.", "a_thing_is_so");
        planted.plant("thing/Cargo.toml", "");
        planted.plant("thing/src/lib.rs", "#[cfg(test)]\nmod tests;\n");
        planted.plant("thing/src/tests.rs", &TESTS.replace('@', "#"));
        planted.plant("wire.yaml", "paths: {/things: {get: {operationId: get_things}}}\n");
        planted
    }

    fn plant(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn spec(&self, rules: &str) {
        self.plant(".specs/rules.md", &format!("# Rules\n\n{rules}"));
    }

    fn requirement(&self, statement: &str, test: &str) {
        let text = format!(
            "- id: {}\n  statement: >-\n    {statement}\n  contract: [wire.yaml#get_things]\n  code: [thing/src/lib.rs]\n  tests:\n    thing/src/tests.rs: [{test}]\n",
            id(1)
        );
        self.plant("requirements/things.yaml", &text);
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        self.plant(file, &text.replace(from, to));
    }

    fn faults(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        check(self.folder.path(), &files).unwrap().faults
    }

    fn finds(&self, says: &str) {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{says:?} among {faults:?}");
        assert!(faults[0].contains(says), "{says:?} is not {faults:?}");
    }
}

#[test]
fn a_rule_that_is_held_is_left_alone() {
    assert_eq!(Planted::new().faults(), Vec::<String>::new());
}

#[test]
fn a_must_without_a_requirement_is_found() {
    let planted = Planted::new();
    planted.change(".specs/rules.md", "so,\n", "so,\n");
    planted.spec(&format!(
        "- **{}** A thing MUST be so, and stay so.\n- **{}** It MUST NOT be other.\n- **{}** It is nice.\n",
        id(1),
        id(2),
        id(3)
    ));
    planted.finds(&format!(".specs/rules.md:4: `{}` says MUST and has no requirement", id(2)));
}

#[test]
fn a_test_that_is_not_there_or_does_not_run_is_found() {
    let planted = Planted::new();
    planted.requirement("A thing MUST be so, and stay so.", "a_thing_is_other");
    planted.finds("`thing/src/tests.rs` has no test `a_thing_is_other`");
    planted.requirement("A thing MUST be so, and stay so.", "a_thing_is_slow");
    planted.finds("the test `a_thing_is_slow` of `thing/src/tests.rs` is ignored");
    planted.requirement("A thing MUST be so, and stay so.", "a_thing_is_so");
    planted.plant("thing/src/lib.rs", "// no tests\n");
    planted.finds("`thing/src/tests.rs` is part of no crate");
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    let planted = Planted::new();
    planted.change("requirements/things.yaml", "get_things", "get_nothing");
    planted.finds("`wire.yaml` has no `get_nothing`");
    planted.change("requirements/things.yaml", "wire.yaml#get_nothing", "wired.yaml#get_things");
    planted.finds("there is no `wired.yaml`");
    planted.change("requirements/things.yaml", "wired.yaml#get_things", "wire.yaml");
    planted.finds("names no operation");
    let planted = Planted::new();
    planted.change("requirements/things.yaml", "thing/src/lib.rs", "thing/src/main.rs");
    planted.finds("there is no `thing/src/main.rs`");
    planted.change("requirements/things.yaml", "[thing/src/main.rs]", "[]");
    planted.finds("no code is named");
}

#[test]
fn an_id_that_no_spec_has_is_found_where_it_is_cited() {
    let planted = Planted::new();
    planted.plant("thing/src/lib.rs", &format!("mod tests;\n// {}: it is so.\n// {}\n", id(1), id(9)));
    planted.finds(&format!("thing/src/lib.rs:3: no spec has `{}`", id(9)));
    let planted = Planted::new();
    planted.plant("README.md", &format!("LLAMA-{} is another word, and so is {}-b.\n", id(9), id(9)));
    assert_eq!(planted.faults(), Vec::<String>::new());
}

#[test]
fn a_requirement_says_what_its_rule_says_and_belongs_to_one_that_binds() {
    let planted = Planted::new();
    planted.requirement("A thing MUST be so.", "a_thing_is_so");
    planted.finds("the statement is not that of .specs/rules.md:3");
    planted.requirement("A thing is so.", "a_thing_is_so");
    planted.spec(&format!("- **{}** A thing is so.\n", id(1)));
    planted.finds("does not say MUST");
    planted.spec("Nothing.\n");
    planted.finds("no spec has this id");
    let planted = Planted::new();
    planted.change("requirements/things.yaml", "code:", "cod:");
    assert!(planted.faults().iter().any(|fault| fault.starts_with("requirements/things.yaml: ")));
}

#[test]
fn tests_of_macros_and_features_are_seen() {
    let text = "
proptest! {
    #![proptest_config(x)]
    // Why.
    #[test]
    #[expect(clippy::unwrap_used,
        reason = \"it holds\")]
    fn any_cut_is_the_same(cuts in all()) {}
}
fn helper() {}
#[test]
pub fn another_one() {}
#[cfg(test)]
fn not_one() {}
";
    let seen: Vec<_> = tree::tests(text).into_iter().collect();
    assert_eq!(seen, [("another_one", Fate::Runs), ("any_cut_is_the_same", Fate::Runs)]);
    let planted = Planted::new();
    planted.plant("bdd/queue.feature", "Feature: x\n\n  @skip\n  Scenario: A\n\n  @fast\n  Scenario: B\n");
    planted.change(
        "requirements/things.yaml",
        "thing/src/tests.rs: [a_thing_is_so]",
        "bdd/queue.feature: [B]",
    );
    assert_eq!(planted.faults(), Vec::<String>::new());
    planted.change("requirements/things.yaml", "[B]", "[A]");
    planted.finds("is ignored");
}

#[test]
fn the_requirements_of_this_repository_hold() {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let findings = check(&root, &crate::process::list_files(&root).unwrap()).unwrap();
    assert_eq!(findings.faults, Vec::<String>::new());
    assert!(findings.rules.len() > 100, "{}", findings.summary());
    assert_eq!(findings.json().as_array().map(Vec::len), Some(findings.rules.len()));
}
