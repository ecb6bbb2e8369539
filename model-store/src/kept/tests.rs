//! What is listed, what is removed, and what is left alone.

use super::*;
use crate::surroundings::Env;

struct Folder {
    root: tempfile::TempDir,
    store: Store,
}

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let store = Store::new(root.path().join("models"), Env::default());
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Self { root, store }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn listed(&self) -> Vec<(String, String, u64, Extent)> {
        let files = self.store.files().expect("a listing");
        let relative =
            |path: &Path| path.strip_prefix(self.store.dir()).expect("in the store").display().to_string();
        let model = |file: &KeptFile| match &file.model {
            ModelRef::File(path) => format!("file {}", relative(path)),
            other => other.to_string(),
        };
        files.iter().map(|file| (model(file), relative(&file.path), file.bytes, file.extent)).collect()
    }
}

#[test]
fn every_model_is_listed_by_what_fetches_it() {
    let folder = Folder::with(&[
        ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "12345"),
        ("models/hf/own/re.po/sub/a.gguf", "123"),
        ("models/hf/own/.re/b.gguf", "hidden folder"),
        ("models/web/box_80/some/model", "12"),
        ("models/url/https/h%3A1/a%2Bb%2Fm.gguf%3Fd", "12"),
        ("models/url/https/h/m@0123456789abcdef.gguf", "123456"),
        ("models/url/https/h/.n.gguf.part", "12"),
        ("models/mine/c.GGUF", "1"),
        ("models/readme.txt", "no model"),
        ("models/.checked/0123", "a checksum"),
        ("models/hf/own/re.po/.d.gguf.part", "1234"),
        ("models/hf/own/re.po/.d.gguf.part.json", r#"{"url":"u","validator":null,"total":99}"#),
        ("models/hf/own/re.po/.d.gguf.lock", ""),
        ("models/.e.gguf.part", "1"),
        ("other.gguf", "not in the folder"),
    ]);
    let name = |text: &str| text.to_owned();
    let expected = [
        ("starter", "SmolLM2-135M-Instruct.Q4_1.gguf", 5, Extent::Whole),
        ("file e.gguf", "e.gguf", 1, Extent::Part { total: None }),
        ("hf:own/re.po/d.gguf", "hf/own/re.po/d.gguf", 4, Extent::Part { total: Some(99) }),
        ("hf:own/re.po/sub/a.gguf", "hf/own/re.po/sub/a.gguf", 3, Extent::Whole),
        ("file mine/c.GGUF", "mine/c.GGUF", 1, Extent::Whole),
        ("file url/https/h/m@0123456789abcdef.gguf", "url/https/h/m@0123456789abcdef.gguf", 6, Extent::Whole),
        ("https://h/n.gguf", "url/https/h/n.gguf", 2, Extent::Part { total: None }),
        ("https://h:1/a+b/m.gguf?d", "url/https/h%3A1/a%2Bb%2Fm.gguf%3Fd", 2, Extent::Whole),
        ("file web/box_80/some/model", "web/box_80/some/model", 2, Extent::Whole),
    ];
    assert_eq!(
        folder.listed(),
        expected.map(|(model, path, bytes, extent)| (name(model), name(path), bytes, extent))
    );
}

#[test]
fn a_folder_that_is_not_there_has_nothing_in_it() {
    assert_eq!(Folder::with(&[]).listed(), []);
    let folder = Folder::with(&[("models", "a file")]);
    assert!(folder.store.files().is_err());
}

#[cfg(unix)]
#[test]
fn a_link_in_a_circle_is_not_followed_and_a_linked_file_is_listed() {
    let folder = Folder::with(&[("models/a.gguf", "1"), ("elsewhere.gguf", "123")]);
    std::os::unix::fs::symlink(folder.store.dir(), folder.at("models/circle")).expect("a link");
    std::os::unix::fs::symlink(folder.at("elsewhere.gguf"), folder.at("models/b.gguf")).expect("a link");
    let paths: Vec<_> = folder.listed().into_iter().map(|(_, path, bytes, _)| (path, bytes)).collect();
    assert_eq!(paths, [("a.gguf".to_owned(), 1), ("b.gguf".to_owned(), 3)]);
    folder.store.remove(&folder.at("models/b.gguf")).expect("removed");
    assert!(folder.at("elsewhere.gguf").exists(), "the link is removed, not what it leads to");
}

#[test]
fn a_file_is_removed_with_what_was_fetched_of_it() {
    let folder = Folder::with(&[
        ("models/a.gguf", "12345"),
        ("models/.a.gguf.part", "123"),
        ("models/.a.gguf.part.json", "{}"),
        ("models/.a.gguf.lock", ""),
        ("models/b.gguf", "1"),
        ("models/.c.gguf.part", "12"),
    ]);
    assert_eq!(folder.store.remove(&folder.at("models/a.gguf")).expect("removed"), 10);
    assert_eq!(folder.store.remove(&folder.at("models/c.gguf")).expect("removed"), 2);
    let paths: Vec<_> = folder.listed().into_iter().map(|(_, path, ..)| path).collect();
    assert_eq!(paths, ["b.gguf"]);
    let again = folder.store.remove(&folder.at("models/a.gguf")).expect_err("gone");
    assert!(matches!(again, RemoveError::Missing(_)), "{again}");
}

#[test]
fn a_file_elsewhere_is_left_alone() {
    let folder = Folder::with(&[("models/a.gguf", "1"), ("mine.gguf", "1")]);
    for path in ["mine.gguf", "models/../mine.gguf", "models"] {
        let refused = folder.store.remove(&folder.at(path)).expect_err("not in the folder");
        assert!(matches!(refused, RemoveError::Outside { .. }), "{path}: {refused}");
    }
    for path in ["models/no.gguf", "nowhere/no.gguf"] {
        let refused = folder.store.remove(&folder.at(path)).expect_err("not there");
        assert!(matches!(refused, RemoveError::Missing(_)), "{path}: {refused}");
    }
    assert!(folder.at("mine.gguf").exists() && folder.at("models/a.gguf").exists());
}

#[test]
fn a_file_that_is_being_fetched_is_left_alone() {
    let folder = Folder::with(&[("models/.a.gguf.part", "123"), ("models/.a.gguf.lock", "")]);
    let lock = OpenOptions::new().write(true).open(folder.at("models/.a.gguf.lock")).expect("the lock");
    lock.lock().expect("it is free");
    let refused = folder.store.remove(&folder.at("models/a.gguf")).expect_err("it is being fetched");
    assert!(matches!(refused, RemoveError::BeingFetched(_)), "{refused}");
    drop(lock);
    assert_eq!(folder.store.remove(&folder.at("models/a.gguf")).expect("removed"), 3);
}
