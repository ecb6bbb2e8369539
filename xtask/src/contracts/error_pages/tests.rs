use std::path::PathBuf;

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// ORCH-ERR-2
#[test]
fn contract_types_and_pages_have_the_same_codes() {
    let files = crate::process::list_files(&root()).unwrap();
    assert_eq!(check(&root(), &files).unwrap(), Vec::<String>::new());
    let daemon = of_daemon(&std::fs::read_to_string(root().join(DAEMON)).unwrap());
    assert!(daemon.contains("ADMISSION_REJECT"), "{daemon:?}");
    for code in daemon.iter().map(String::as_str).chain(["DOES_NOT_FIT"]) {
        assert!(files.contains(&format!("{PAGES}{code}.md")), "`{code}` has no page");
    }
}

#[test]
fn a_code_that_one_place_lacks_is_named_with_the_place() {
    let tree = tempfile::tempdir().unwrap();
    let plant = |file: &str, text: &str| {
        let path = tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        file.to_owned()
    };
    let schema = |codes: &str| format!("components: {{schemas: {{ErrorCode: {{enum: [{codes}]}}}}}}\n");
    let page = |code: &str| format!("# `{code}`\n\n{}\n", HEADINGS.join("\n\nx\n\n"));
    let files = [
        plant(CONTRACTS[0], &schema("BUSY, LOST")),
        plant(CONTRACTS[1], &schema("BUSY, LOST")),
        plant(DAEMON, "            Self::Busy => \"BUSY\",\n            Self::Lost => \"LOST\",\n"),
        plant("contracts/error-codes/BUSY.md", &page("BUSY")),
    ];
    let missing = "contracts/error-codes/: lacks `LOST`, which `contracts/openapi/control.yaml` has";
    assert_eq!(check(tree.path(), &files).unwrap(), [missing]);
    let mut whole = files.to_vec();
    whole.push(plant("contracts/error-codes/LOST.md", &page("LOST")));
    assert_eq!(check(tree.path(), &whole).unwrap(), Vec::<String>::new());
    let more = schema("BUSY, LOST").replace("]}", "]}, RollbackCode: {enum: [TORN]}");
    plant(CONTRACTS[1], &more);
    let missing = "contracts/error-codes/: lacks `TORN`, which the contract has for reloads";
    assert_eq!(check(tree.path(), &whole).unwrap(), [missing]);
    whole.push(plant("contracts/error-codes/TORN.md", &page("TORN")));
    assert_eq!(check(tree.path(), &whole).unwrap(), Vec::<String>::new());
    plant("contracts/error-codes/LOST.md", "# `LOST`\n\n## What happened\n");
    assert_eq!(check(tree.path(), &whole).unwrap().len(), 1, "a page without advice");
    plant(DAEMON, "            Self::Busy => \"BUSY\",\n");
    let faults = check(tree.path(), &whole).unwrap();
    assert!(faults.iter().any(|fault| fault.starts_with(DAEMON) && fault.contains("`LOST`")), "{faults:?}");
}
