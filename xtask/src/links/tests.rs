use super::*;

fn findings(pages: &[(&str, &str)]) -> Vec<String> {
    let tree = tempfile::tempdir().unwrap();
    for (file, text) in pages {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let files: Vec<String> = pages.iter().map(|(file, _)| (*file).to_owned()).collect();
    check(tree.path(), &files).unwrap()
}

#[test]
fn links_that_lead_somewhere_are_left_alone() {
    let found = findings(&[
        (
            "README.md",
            "# The Title\n[a](docs/a.md) [b](docs/a.md#two-words--more) [c](#the-title) [d](docs) [e](/docs/a.md)\n\
             [f](docs/with%20space.md) [g](src/x.rs#L1-L9) ![h](docs/a.md) [i](./) [ref]\n\n[ref]: docs/a.md#x\n",
        ),
        ("docs/a.md", "# Two words & more\n<a id=\"x\"></a>\n[up](../README.md#the-title)\n"),
        ("docs/with space.md", "text"),
        ("src/x.rs", "//! x\n"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_link_to_a_file_that_is_not_there_is_found_with_its_line() {
    let found = findings(&[("docs/a.md", "text\n\n[x](gone.md) and ![y](/pic.png)\n")]);
    assert_eq!(
        found,
        [
            "docs/a.md:3: [gone.md] there is no tracked file `docs/gone.md`",
            "docs/a.md:3: [/pic.png] there is no tracked file `pic.png`",
        ]
    );
}

#[test]
fn a_link_to_a_heading_that_is_not_there_is_found() {
    let found =
        findings(&[("a.md", "# One\n# One\n[ok](#one-1) [x](#one-2) [y](b.md#two)"), ("b.md", "# `Two`s\n")]);
    assert_eq!(
        found,
        [
            "a.md:3: [#one-2] `a.md` has no heading for `#one-2`",
            "a.md:3: [b.md#two] `b.md` has no heading for `#two`"
        ]
    );
}

#[test]
fn a_link_out_of_the_repository_is_found() {
    assert_eq!(
        findings(&[("a.md", "[x](../elsewhere.md)")]),
        ["a.md:1: [../elsewhere.md] it leads out of the repository"]
    );
}

#[test]
fn a_file_on_disk_that_git_does_not_track_is_no_target() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("a.md"), "[x](ignored.md)").unwrap();
    std::fs::write(tree.path().join("ignored.md"), "").unwrap();
    let found = check(tree.path(), &["a.md".to_owned()]).unwrap();
    assert_eq!(found, ["a.md:1: [ignored.md] there is no tracked file `ignored.md`"]);
}

#[test]
fn addresses_elsewhere_and_code_are_not_followed() {
    let found = findings(&[(
        "a.md",
        "<https://x.invalid> [m](mailto:a@b.invalid) `[x](gone.md)`\n\n    [y](gone.md)\n",
    )]);
    assert_eq!(found, Vec::<String>::new());
}
