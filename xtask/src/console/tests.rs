use super::*;

/// ORCH-CON-7
#[test]
fn a_file_that_differs_or_is_missing_is_stale_and_named() {
    let (anew, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["a.js", "b.css", "c.svg"] {
        std::fs::write(anew.path().join(name), name).unwrap();
        std::fs::write(kept.path().join(name), name).unwrap();
    }
    assert!(compare(anew.path(), kept.path()).is_ok());
    std::fs::write(kept.path().join("a.js"), "by hand").unwrap();
    std::fs::remove_file(kept.path().join("c.svg")).unwrap();
    let said = compare(anew.path(), kept.path()).unwrap_err().to_string();
    assert!(said.contains("a.js, c.svg") && said.contains("cargo xtask console"), "{said}");
}
