//! Each thing that can stand where a model's file should be has a message of its own, with what to do.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The message for a path, with the folder left out.
fn message(folder: &Path, name: &str) -> String {
    let error = look(&folder.join(name)).expect_err("an obstacle").to_string();
    error.replace(&folder.display().to_string(), "DIR")
}

/// ORCH-STORE-4
#[test]
fn a_folder_is_named_with_models_that_are_in_it() {
    let folder = folder();
    fs::create_dir(folder.path().join("m")).expect("a folder");
    assert_eq!(
        message(folder.path(), "m"),
        "cannot use `DIR/m` as a model: it is a folder\n  hint: name the `.gguf` file in it"
    );
    for name in ["d.gguf", "b.gguf", "a.GGUF", "readme", "c.gguf"] {
        fs::write(folder.path().join("m").join(name), "x").expect("a file");
    }
    assert!(message(folder.path(), "m").ends_with("file in it, such as `a.GGUF`, `b.gguf`, `c.gguf`"));
}

/// ORCH-STORE-4
#[test]
fn a_dead_link_is_named_with_where_it_leads() {
    let folder = folder();
    symlink("/no/such/disk/m.gguf", folder.path().join("m.gguf")).expect("a link");
    symlink("gone", folder.path().join("models")).expect("a link");
    let hint = "which does not exist\n  hint: mount the disk that it leads to, or correct the link";
    assert_eq!(
        message(folder.path(), "m.gguf"),
        format!(
            "cannot use `DIR/m.gguf` as a model: `DIR/m.gguf` is a link to `/no/such/disk/m.gguf`, {hint}"
        )
    );
    assert_eq!(
        message(folder.path(), "models/m.gguf"),
        format!("cannot use `DIR/models/m.gguf` as a model: `DIR/models` is a link to `DIR/gone`, {hint}")
    );
    symlink("round.gguf", folder.path().join("round.gguf")).expect("a link");
    assert!(message(folder.path(), "round.gguf").contains("its links lead in a circle\n  hint: "));
}

/// ORCH-STORE-4
#[test]
fn what_is_no_file_is_named() {
    let folder = folder();
    let _listener = UnixListener::bind(folder.path().join("s.gguf")).expect("a socket");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("p.gguf"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .expect("a named pipe");
    for (name, kind) in [("s.gguf", "a socket"), ("p.gguf", "a named pipe")] {
        let expected =
            format!("cannot use `DIR/{name}` as a model: it is {kind}, not a file\n  hint: name a GGUF file");
        assert_eq!(message(folder.path(), name), expected);
    }
    assert!(message(Path::new("/dev"), "null").contains("it is a device"));
    fs::write(folder.path().join("f"), "x").expect("a file");
    assert!(message(folder.path(), "f/m.gguf").contains("`DIR/f` is a file, not a folder\n  hint: "));
}

/// ORCH-STORE-4
#[test]
fn what_may_not_be_read_is_named_with_who_may_not() {
    if rustix::process::geteuid().is_root() {
        // Nothing is closed to this user: the message is all that can be looked at.
        let closed = Obstacle::ClosedFolder { folder: "/m".into() }.to_string();
        assert!(closed.starts_with("the folder `/m` may not be entered"), "{closed}");
        return;
    }
    let folder = folder();
    let inner = folder.path().join("closed/in");
    fs::create_dir_all(&inner).expect("a folder");
    fs::write(inner.join("m.gguf"), "x").expect("a file");
    fs::write(folder.path().join("m.gguf"), "x").expect("a file");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
    mode(&folder.path().join("closed"), 0o000);
    mode(&folder.path().join("m.gguf"), 0o000);
    let messages = [message(folder.path(), "closed/in/m.gguf"), message(folder.path(), "m.gguf")];
    mode(&folder.path().join("closed"), 0o700);
    assert!(messages[0].contains("the folder `DIR/closed` may not be entered"), "{messages:?}");
    assert!(messages[1].contains("it may not be read by the user"), "{messages:?}");
}

#[test]
fn a_file_with_nothing_in_it_and_no_file_are_told_apart() {
    let folder = folder();
    fs::write(folder.path().join("empty.gguf"), "").expect("a file");
    fs::write(folder.path().join("m.gguf"), "x").expect("a file");
    let seen = ["empty.gguf", "m.gguf", "none.gguf", "no/such/folder.gguf"];
    let seen = seen.map(|name| look(&folder.path().join(name)).expect("no obstacle"));
    assert!(matches!(seen, [AtPath::Empty, AtPath::File, AtPath::Nothing, AtPath::Nothing]), "{seen:?}");
}

/// ORCH-STORE-4
#[test]
fn a_model_in_several_files_is_named_by_the_first_and_has_all() {
    let folder = folder();
    let put = |name: &str| fs::write(folder.path().join(name), "x").expect("a file");
    let check = |name: &str| {
        let outcome = check_parts(&folder.path().join(name));
        outcome.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "DIR"))
    };
    put("m-00001-of-00003.gguf");
    put("m-00003-of-00003.gguf");
    let later = check("m-00003-of-00003.gguf").expect_err("not the first");
    assert!(
        later.ends_with("file 3 of a model in 3 files\n  hint: name the first one, `m-00001-of-00003.gguf`")
    );
    let missing = check("m-00001-of-00003.gguf").expect_err("one is missing");
    assert!(
        missing.ends_with(
            "the model is in 3 files, and `m-00002-of-00003.gguf` is not there\n  hint: put all 3 into one folder"
        ),
        "{missing}"
    );
    put("m-00002-of-00003.gguf");
    for name in ["m-00001-of-00003.gguf", "m.gguf", "a-1-of-2.gguf", "m-00004-of-00003.gguf"] {
        assert_eq!(check(name), Ok(()), "{name}");
    }
}
