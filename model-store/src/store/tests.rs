//! References to files: where they are found, where they land, what is checked.

use super::*;
use crate::download::server::{Reply, Server};
use crate::download::tests::{HASTY, Heard};
use crate::progress::{Phase, Silent};

const CONTENT: &[u8] = b"GGUF and so on";

struct Machine {
    root: tempfile::TempDir,
    store: Store,
}

impl Machine {
    fn new(env: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let surroundings = Surroundings { env, home: Some(root.path().join("home")) };
        let store = Store { patience: HASTY, ..Store::new(root.path().join("models"), surroundings) };
        Self { root, store }
    }

    fn put(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn fetch(&self, model: &str, sha256: Option<&str>) -> Result<Fetched, FetchError> {
        let model = ModelRef::parse(model).expect("a reference");
        self.store.fetch(&model, sha256, &Silent, &Cancel::default())
    }
}

fn sum(content: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.update(content);
    sum.finish()
}

#[test]
fn a_file_is_used_where_it_is() {
    let machine = Machine::new(&[]);
    let path = machine.put("home/m/a.gguf", CONTENT);
    let fetched = machine.fetch("~/m/a.gguf", None).expect("the file");
    assert_eq!(fetched.path, path);
    assert_eq!(
        fetched.warning.as_deref(),
        Some("no checksum is given for `file:~/m/a.gguf`: set the pool's `sha256` to be sure of the file")
    );
    let checked = machine.fetch("~/m/a.gguf", Some(&sum(CONTENT).to_uppercase())).expect("the file");
    assert_eq!(checked, Fetched { path, warning: None });
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let machine = Machine::new(&[]);
    assert_eq!(
        machine.fetch("file:/nowhere/a.gguf", None).expect_err("missing").to_string(),
        "there is no file `/nowhere/a.gguf`\n  hint: put the model there, or change the pool's `model`"
    );
}

#[test]
fn a_users_own_file_of_another_checksum_is_refused_and_left_alone() {
    let machine = Machine::new(&[]);
    let path = machine.put("a.gguf", CONTENT);
    let (expected, found) = (sum(b"other"), sum(CONTENT));
    assert_eq!(
        machine.fetch(&path.display().to_string(), Some(&expected)).expect_err("another file").to_string(),
        format!(
            "`{}` has the wrong checksum\n  expected {expected}\n  found    {found}\n  hint: correct the pool's \
             `sha256`, or replace the file",
            path.display()
        )
    );
    assert!(path.exists());
}

#[test]
fn a_checked_file_is_not_read_again_until_it_changes() {
    let machine = Machine::new(&[]);
    let path = machine.put("a.gguf", CONTENT);
    let model = ModelRef::File(path.clone());
    let phases = |sha256: &str| {
        let heard = Heard::default();
        let outcome = machine.store.fetch(&model, Some(sha256), &heard, &Cancel::default());
        (outcome.is_ok(), heard.phases.into_inner().expect("unpoisoned"))
    };
    assert_eq!(phases(&sum(CONTENT)), (true, vec![Phase::Checking]));
    assert_eq!(phases(&sum(CONTENT)), (true, vec![]));
    assert_eq!(phases(&sum(b"other")), (false, vec![]));
    std::fs::write(&path, b"changed").expect("a file");
    assert_eq!(phases(&sum(CONTENT)), (false, vec![Phase::Checking]));
}

#[test]
fn a_url_lands_under_its_host_and_is_fetched_once() {
    let server = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[]);
    let url = server.url("/some/m.gguf#part");
    let fetched = machine.fetch(&url, Some(&sum(CONTENT))).expect("the file");
    let host = server.url("").trim_start_matches("http://").replace(':', "_");
    assert_eq!(fetched.path, machine.store.dir().join("web").join(host).join("some/m.gguf"));
    assert_eq!(std::fs::read(&fetched.path).expect("the file"), CONTENT);
    assert_eq!(machine.fetch(&url, Some(&sum(CONTENT))).expect("the file"), fetched);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn files_that_only_a_query_tells_apart_are_two_files() {
    let server = Server::start(|asked, _| Reply::whole(asked.path.as_bytes()));
    let machine = Machine::new(&[]);
    let places: Vec<PathBuf> = ["/download?file=a.gguf", "/download?file=b.gguf", "/download"]
        .map(|path| {
            let fetched = machine.fetch(&server.url(path), None).expect("the file");
            assert_eq!(std::fs::read(&fetched.path).expect("the file"), path.as_bytes());
            fetched.path
        })
        .into();
    assert_eq!(places.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{places:?}");
    // The place is the same in the next process, and on the next machine.
    let place = machine.store.place(&ModelRef::parse("https://h.example/a/m.v2.gguf?rev=1").expect("a URL"));
    assert_eq!(place, machine.store.dir().join("web/h.example/a/m.v2-c86a76961d8f.gguf"));
}

#[test]
fn a_url_cannot_leave_the_store() {
    for (url, place) in [
        ("https://h.example/../../etc/x.gguf", "h.example/_/_/etc/x.gguf"),
        ("https://h.example/a%2f..%2fb/x.gguf", "h.example/a_2f.._2fb/x.gguf"),
        ("https://..:1/x.gguf", ".._1/x.gguf"),
        ("https://../x.gguf", "_/x.gguf"),
    ] {
        assert_eq!(url_path(url), PathBuf::from(place), "{url}");
    }
}

#[test]
fn a_fetched_file_makes_room_for_the_one_of_a_new_checksum() {
    let server = Server::start(|_, before| Reply::whole(if before == 0 { b"old" } else { CONTENT }));
    let machine = Machine::new(&[]);
    let url = server.url("/m.gguf");
    machine.fetch(&url, Some(&sum(b"old"))).expect("the old file");
    let fetched = machine.fetch(&url, Some(&sum(CONTENT))).expect("the new file");
    assert_eq!(std::fs::read(fetched.path).expect("the file"), CONTENT);
}

#[test]
fn a_hub_file_comes_with_the_token_which_does_not_follow_a_redirect() {
    let storage = Server::start(|_, _| Reply::whole(CONTENT));
    let elsewhere = storage.url("/blob");
    let hub = Server::start(move |_, _| Reply::status(302).with("Location", &elsewhere));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url("")), ("HF_TOKEN", "hf_secret")]);
    let fetched = machine.fetch("hf:o/r/sub/f.gguf", None).expect("the file");
    assert_eq!(fetched.path, machine.store.dir().join("hf/o/r/sub/f.gguf"));
    assert!(fetched.warning.is_some());
    let (asked, passed_on) = (&hub.asked()[0], &storage.asked()[0]);
    assert_eq!(asked.path, "/o/r/resolve/main/sub/f.gguf");
    assert_eq!(asked.header("authorization"), Some("Bearer hf_secret"));
    assert_eq!(passed_on.header("authorization"), None);
}

#[test]
fn a_gated_hub_file_says_how_to_get_it() {
    let hub = Server::start(|_, _| Reply::status(401));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let message = machine.fetch("hf:o/r/f.gguf", None).expect_err("gated").to_string();
    assert!(
        message.ends_with(
            "hint: set HF_TOKEN to a token that may read the repository, and accept its licence on the hub"
        ),
        "{message}"
    );
}

#[test]
fn a_file_of_the_hubs_cache_is_used_in_place() {
    let machine = Machine::new(&[]);
    let cached = machine.put("home/.cache/huggingface/hub/models--o--r/snapshots/c/f.gguf", CONTENT);
    let model = ModelRef::parse("hf:o/r/f.gguf").expect("a reference");
    assert_eq!(machine.store.locate(&model), Some(cached.clone()));
    assert_eq!(machine.fetch("hf:o/r/f.gguf", Some(&sum(CONTENT))).expect("the file").path, cached);
}

#[test]
fn a_file_of_the_hubs_cache_with_another_checksum_is_left_alone_and_the_right_one_fetched() {
    let hub = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let cached = machine.put("home/.cache/huggingface/hub/models--o--r/snapshots/c/f.gguf", b"older");
    let fetched = machine.fetch("hf:o/r/f.gguf", Some(&sum(CONTENT))).expect("the file");
    assert_eq!(fetched.path, machine.store.dir().join("hf/o/r/f.gguf"));
    assert_eq!(std::fs::read(cached).expect("the file"), b"older");
}

#[test]
fn the_starter_models_checksum_is_known_and_no_other_is_taken_for_it() {
    let machine = Machine::new(&[]);
    assert_eq!(machine.store.locate(&ModelRef::Starter), None);
    assert_eq!(machine.store.place(&ModelRef::Starter), machine.store.dir().join(crate::STARTER_FILE));
    let error = machine.fetch("starter", Some(&sum(CONTENT))).expect_err("another checksum").to_string();
    assert!(error.ends_with("hint: leave the pool's `sha256` out: the starter model's is known"), "{error}");
}

#[test]
fn a_check_says_what_is_there_and_changes_nothing() {
    let machine = Machine::new(&[]);
    let path = machine.put("models/web/host/a.gguf", CONTENT);
    let check = |model: &str, sha256: Option<&str>| {
        let model = ModelRef::parse(model).expect("a reference");
        machine.store.check(&model, sha256, &Silent, &Cancel::default()).expect("a readable file")
    };
    let (url, right) = ("https://host/a.gguf", sum(CONTENT));
    assert_eq!(check("https://host/b.gguf", None), Presence::Absent);
    assert_eq!(check(url, None), Presence::Unchecked(path.clone()));
    assert_eq!(check(url, Some(&right)), Presence::Right(path.clone()));
    let wrong = Presence::Wrong { path: path.clone(), found: right };
    assert_eq!(check(url, Some(&sum(b"other"))), wrong);
    assert!(path.exists(), "a fetch would have made room for the right one");
}
