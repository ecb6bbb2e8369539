use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_log_file_is_written_on_from_its_end_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/daemon.log");
    for line in ["one\n", "two\n"] {
        open(&path).unwrap().write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_log_file_that_cannot_be_written_to_is_named() {
    let error = open(Path::new("/dev/null/daemon.log")).unwrap_err();
    assert!(
        error.to_string().starts_with("the log `/dev/null/daemon.log` cannot be written to: "),
        "{error}"
    );
}
