//! References to files: where they are found, where they land, what is checked.

use std::collections::BTreeMap;

use super::*;
use crate::at_path::Obstacle;
use crate::checked::Sum;
use crate::disk::beside;
use crate::download::server::{Reply, Server};
use crate::download::tests::{HASTY, RecordedProgress};
use crate::progress::{Phase, Silent};

mod hub;

const CONTENT: &[u8] = b"GGUF and so on";

struct Machine {
    root: tempfile::TempDir,
    store: Store,
}

impl Machine {
    fn new(env: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let surroundings = Env { env, home: Some(root.path().join("home")) };
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

/// ORCH-MODEL-2, HOME-MODEL-2
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

/// ORCH-MODEL-2
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
        let heard = RecordedProgress::default();
        let outcome = machine.store.fetch(&model, Some(sha256), &heard, &Cancel::default());
        (outcome.is_ok(), heard.phases.into_inner().expect("unpoisoned"))
    };
    assert_eq!(phases(&sum(CONTENT)), (true, vec![Phase::Checking]));
    assert_eq!(phases(&sum(CONTENT)), (true, vec![]));
    assert_eq!(phases(&sum(b"other")), (false, vec![]));
    std::fs::write(&path, b"changed").expect("a file");
    assert_eq!(phases(&sum(CONTENT)), (false, vec![Phase::Checking]));
}

/// ORCH-MODEL-2
#[test]
fn a_file_that_another_store_names_by_its_checksum_is_used_at_once() {
    let machine = Machine::new(&[]);
    let named = machine.put(&format!("blobs/sha256-{}", sum(CONTENT)), CONTENT);
    let heard = RecordedProgress::default();
    let model = ModelRef::File(named.clone());
    let fetched = machine.store.fetch(&model, Some(&sum(CONTENT)), &heard, &Cancel::default());
    assert_eq!(fetched.expect("the file").path, named);
    assert_eq!(heard.phases.lock().expect("unpoisoned").as_slice(), []);
    machine.fetch(&model.to_string(), Some(&sum(b"other"))).expect_err("its name says another checksum");
}

#[test]
fn a_checksum_is_known_once_it_was_computed_and_as_long_as_the_file_stays() {
    let server = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[]);
    let path = machine.fetch(&server.url("/m.gguf"), None).expect("the file").path;
    assert_eq!(machine.store.known_sum(&path), Some(sum(CONTENT)));
    std::fs::write(&path, b"GGUF, another").expect("a file");
    assert_eq!(machine.store.known_sum(&path), None);
    let store = Store { memory: Some(10), ..machine.store };
    assert_eq!([store.fits(10), store.fits(11)], [Some(true), Some(false)]);
}

#[test]
fn a_url_lands_under_its_host_and_is_fetched_once() {
    let server = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[]);
    let url = server.url("/some/m.gguf#part");
    let fetched = machine.fetch(&url, Some(&sum(CONTENT))).expect("the file");
    let host = server.url("").trim_start_matches("http://").replace(':', "%3A");
    assert_eq!(fetched.path, machine.store.dir().join("url/http").join(host).join("some%2Fm.gguf"));
    assert_eq!(std::fs::read(&fetched.path).expect("the file"), CONTENT);
    assert_eq!(machine.fetch(&url, Some(&sum(CONTENT))).expect("the file"), fetched);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn files_that_only_a_query_tells_apart_are_two_files() {
    let server = Server::start(|asked, _| Reply::whole(format!("GGUF{}", asked.path).as_bytes()));
    let machine = Machine::new(&[]);
    let places: Vec<PathBuf> = ["/download?file=a.gguf", "/download?file=b.gguf", "/download"]
        .map(|path| {
            let fetched = machine.fetch(&server.url(path), None).expect("the file");
            assert_eq!(std::fs::read(&fetched.path).expect("the file"), format!("GGUF{path}").as_bytes());
            fetched.path
        })
        .into();
    assert_eq!(places.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{places:?}");
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

/// ORCH-STORE-6
#[test]
fn a_starter_model_that_cannot_be_fetched_says_why_and_every_way_out() {
    let hub = Server::start(|_, _| Reply::status(404));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let message = machine.fetch("starter", None).expect_err("no source").to_string();
    let host = hub.url("").trim_start_matches("http://").to_owned();
    let place = machine.store.place(&ModelRef::Starter).display().to_string();
    let asked = hub.asked().remove(0).path;
    assert!(asked.ends_with(&format!(
        "/SmolLM2-135M-Instruct-GGUF/resolve/{}/{}",
        starter::COMMIT,
        crate::STARTER_FILE
    )));
    assert_eq!(
        message.replace(&host, "HUB").replace(&place, "PLACE").replace(&asked, "/FILE"),
        format!(
            "the starter model is not on this machine and cannot be fetched: `HUB` has no such file (404): \
             http://HUB/FILE\n  hint: get online, or name a mirror of Hugging Face in HF_ENDPOINT; or put `{}` (sha256 \
             {}) at `PLACE`; or set a pool's `model` to a GGUF file that you have",
            crate::STARTER_FILE,
            crate::STARTER_SHA256
        )
    );
}

/// ORCH-STORE-6
#[test]
fn another_file_on_the_hub_is_not_taken_for_the_starter_model() {
    let hub = Server::start(|_, _| Reply::whole(b"another quantisation"));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let error = machine.fetch("starter", None).expect_err("another file");
    let FetchError::Starter { reason, put_at } = &error else { panic!("{error}") };
    assert!(reason.ends_with("has the wrong checksum; the download was discarded"), "{reason}");
    assert!(!put_at.exists());
}

#[test]
fn a_check_says_what_is_there_and_changes_nothing() {
    let machine = Machine::new(&[]);
    let path = machine.put("models/url/https/host/a.gguf", CONTENT);
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
    assert!(path.exists());
}

impl Machine {
    /// Every file of the store with its content, but for locks.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.store.dir().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|suffix| suffix != "lock") {
                    let content = std::fs::read(&path).unwrap_or_default();
                    files.insert(path, content);
                }
            }
        }
        files
    }
}

/// ORCH-STORE-1
#[test]
fn a_fetch_that_fails_leaves_every_file_as_it_was() {
    type Answer = fn() -> Reply;
    let answers: [(&str, Answer); 5] = [
        ("another file", || Reply::whole(b"neither of the two")),
        ("nothing", || Reply::whole(b"")),
        ("a refusal", || Reply::status(404)),
        ("a breakdown", || Reply::status(500)),
        ("more than the disk holds", || Reply::whole(CONTENT).announcing(1 << 60)),
    ];
    for (what, answer) in answers {
        let server =
            Server::start(move |_, before| if before == 0 { Reply::whole(b"served") } else { answer() });
        let machine = Machine::new(&[]);
        let url = server.url("/m.gguf");
        let served = machine.fetch(&url, Some(&sum(b"served"))).expect("the file");
        let before = machine.files();
        machine.fetch(&url, Some(&sum(CONTENT))).expect_err(what);
        assert_eq!(machine.files(), before, "{what}");
        // The next start of a worker finds it, and nobody is asked for it.
        let asked = server.asked().len();
        assert_eq!(machine.fetch(&url, Some(&sum(b"served"))).expect(what), served);
        assert_eq!(machine.fetch(&url, None).expect(what).path, served.path);
        assert_eq!(server.asked().len(), asked, "{what}");
    }
}

/// ORCH-STORE-1
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_meanwhile_costs_no_file() {
    let server = Server::start(|_, before| Reply::whole(if before == 0 { b"served" } else { CONTENT }));
    let machine = Machine::new(&[]);
    let url = server.url("/m.gguf");
    let served = machine.fetch(&url, Some(&sum(b"served"))).expect("the file").path;
    let part = beside(&place::of_version(&served, &sum(CONTENT)), "part");
    std::os::unix::fs::symlink("/dev/full", part).expect("a link");
    let error = machine.fetch(&url, Some(&sum(CONTENT))).expect_err("a full disk");
    assert!(matches!(error, FetchError::NoSpace { .. }), "{error}");
    assert_eq!(std::fs::read(served).expect("the file"), b"served");
}

/// ORCH-STORE-1
#[test]
fn versions_of_one_file_lie_beside_each_other_and_each_is_fetched_once() {
    let server = Server::start(|_, before| Reply::whole(if before == 0 { b"old" } else { CONTENT }));
    let machine = Machine::new(&[]);
    let url = server.url("/m.gguf");
    let [old, new] = [sum(b"old"), sum(CONTENT)].map(|sum| {
        let fetched = machine.fetch(&url, Some(&sum)).expect("the file").path;
        (sum, fetched)
    });
    assert_ne!(old.1, new.1);
    for _ in 0..2 {
        for (sum, path) in [&old, &new] {
            assert_eq!(machine.fetch(&url, Some(sum)).expect("the file").path, *path);
        }
    }
    assert_eq!(std::fs::read(&old.1).expect("the file"), b"old");
    assert_eq!(std::fs::read(&new.1).expect("the file"), CONTENT);
    assert_eq!(server.asked().len(), 2);
    let model = ModelRef::parse(&url).expect("a URL");
    assert!([&old.1, &new.1].iter().all(|path| machine.store.may_be(&model, path)));
    assert!(!machine.store.may_be(&model, &machine.store.dir().join("url/http/other/m.gguf")));
}

/// ORCH-STORE-1
#[test]
fn two_that_want_two_versions_at_the_same_time_both_get_theirs() {
    let server =
        Server::start(|asked, _| Reply::whole(asked.header("authorization").map_or(b"old", |_| CONTENT)));
    let machine = Machine::new(&[("HF_ENDPOINT", &server.url(""))]);
    let mut surroundings = machine.store.surroundings.clone();
    surroundings.env.insert("HF_TOKEN".to_owned(), "hf_1".to_owned());
    let other = Store { patience: HASTY, ..Store::new(machine.store.dir().to_owned(), surroundings) };
    let model = ModelRef::parse("hf:o/r/m.gguf").expect("a reference");
    let fetch = |store: &Store, content: &[u8]| {
        let fetched = store.fetch(&model, Some(&sum(content)), &Silent, &Cancel::default());
        std::fs::read(fetched.expect("the file").path).expect("the file")
    };
    let [old, new] = std::thread::scope(|scope| {
        let both = [scope.spawn(|| fetch(&machine.store, b"old")), scope.spawn(|| fetch(&other, CONTENT))];
        both.map(|one| one.join().expect("no panic"))
    });
    assert_eq!((old.as_slice(), new.as_slice()), (b"old".as_slice(), CONTENT));
}

/// ORCH-STORE-2
#[test]
fn a_version_whose_content_is_torn_is_repaired() {
    let server = Server::start(|_, before| Reply::whole(if before == 0 { b"old" } else { CONTENT }));
    let machine = Machine::new(&[]);
    let url = server.url("/m.gguf");
    machine.fetch(&url, Some(&sum(b"old"))).expect("the old file");
    let new = machine.fetch(&url, Some(&sum(CONTENT))).expect("the new file").path;
    std::fs::write(&new, b"torn").expect("a file");
    assert_eq!(machine.fetch(&url, Some(&sum(CONTENT))).expect("the new file").path, new);
    assert_eq!(std::fs::read(new).expect("the file"), CONTENT);
}

/// ORCH-STORE-2
#[test]
fn whatever_step_a_crash_came_after_the_next_fetch_ends_with_the_right_file() {
    type Leave = fn(&Path, &str);
    fn put(target: &Path, suffix: &str, content: &[u8]) {
        std::fs::write(beside(target, suffix), content).expect("a file");
    }
    fn put_notes(target: &Path, url: &str) {
        let text = format!(r#"{{"url":"{url}","validator":null,"total":14}}"#);
        put(target, "part.json", text.as_bytes());
    }
    let states: [(&str, Leave); 6] = [
        ("an empty part", |target, _| put(target, "part", b"")),
        ("half a part", |target, url| {
            put(target, "part", &CONTENT[..7]);
            put_notes(target, url);
        }),
        ("a whole part, not yet renamed", |target, url| {
            put(target, "part", CONTENT);
            put_notes(target, url);
        }),
        ("a part that a power cut tore", |target, url| {
            put(target, "part", &[0; 7]);
            put_notes(target, url);
        }),
        ("notes that were cut off", |target, _| {
            put(target, "part", &CONTENT[..7]);
            put(target, "part.json", b"{\"url\":");
        }),
        ("the file renamed, its notes not yet removed", |target, url| {
            std::fs::write(target, CONTENT).expect("a file");
            put_notes(target, url);
        }),
    ];
    for (what, leave) in states {
        let server = Server::start(|asked, _| match asked.offset() {
            Some(offset) if offset >= CONTENT.len() => {
                Reply::status(416).with("Content-Range", &format!("bytes */{}", CONTENT.len()))
            }
            Some(offset) => Reply::rest(CONTENT, offset),
            None => Reply::whole(CONTENT),
        });
        let machine = Machine::new(&[]);
        let url = server.url("/m.gguf");
        let target = machine.store.place(&ModelRef::parse(&url).expect("a URL"));
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
        leave(&target, &url);
        let fetched =
            machine.fetch(&url, Some(&sum(CONTENT))).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            (&fetched.path, std::fs::read(&fetched.path).expect("the file").as_slice()),
            (&target, CONTENT)
        );
    }
}

/// ORCH-STORE-1
#[test]
fn something_in_the_place_of_a_file_that_is_to_be_fetched_is_named_and_stays() {
    let server = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[]);
    let url = server.url("/m.gguf");
    let target = machine.store.place(&ModelRef::parse(&url).expect("a URL"));
    std::fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
    std::os::unix::fs::symlink("/no/such/disk/m.gguf", &target).expect("a link");
    let error = machine.fetch(&url, None).expect_err("a dead link");
    assert!(matches!(error, FetchError::Obstacle { obstacle: Obstacle::DeadLink { .. }, .. }), "{error}");
    assert!(target.symlink_metadata().expect("the link").is_symlink());
    assert_eq!(server.asked().len(), 0);
}

/// ORCH-STORE-4
#[test]
fn a_named_file_that_cannot_be_a_model_is_told_from_one_that_is_missing() {
    let machine = Machine::new(&[]);
    let empty = machine.put("m/empty.gguf", b"");
    machine.put("m/a-00001-of-00002.gguf", CONTENT);
    for (path, words) in [
        (empty.clone(), "it is empty"),
        (empty.with_file_name(""), "it is a folder"),
        (empty.with_file_name("a-00001-of-00002.gguf"), "`a-00002-of-00002.gguf` is not there"),
        (empty.with_file_name("none.gguf"), "there is no file"),
    ] {
        let message = machine.fetch(&format!("file:{}", path.display()), None).expect_err(words).to_string();
        assert!(message.contains(words) && message.contains("\n  hint: "), "{message}");
    }
}

/// ORCH-STORE-3
#[test]
fn a_file_under_its_legacy_name_is_used_where_it_is_when_it_is_surely_the_one() {
    let machine = Machine::new(&[]);
    let plain = machine.put("models/web/h.example/a/m.gguf", CONTENT);
    let shared = machine.put("models/web/h.example/a/m_1.gguf", CONTENT);
    let model = |url: &str| ModelRef::parse(url).expect("a URL");
    assert_eq!(machine.fetch("https://h.example/a/m.gguf", None).expect("the file").path, plain);
    assert_eq!(
        machine.fetch("https://h.example/a/m+1.gguf", Some(&sum(CONTENT))).expect("the file").path,
        shared
    );
    let check = |url: &str, sha256: Option<&str>| {
        machine.store.check(&model(url), sha256, &Silent, &Cancel::default()).expect("a readable file")
    };
    // Without a checksum nobody knows whether it was fetched for `m+1`, `m_1` or `m 1`.
    assert_eq!(check("https://h.example/a/m+1.gguf", None), Presence::Absent);
    assert_eq!(machine.store.locate(&model("https://h.example/a/m_1.gguf")), None);
    assert!(machine.store.may_be(&model("https://h.example/a/m+1.gguf"), &shared));
}

/// ORCH-STORE-3
#[test]
fn a_part_under_its_legacy_name_goes_on_where_it_was() {
    let server = Server::start(|asked, _| match asked.offset() {
        Some(offset) => Reply::rest(CONTENT, offset).with("ETag", "\"one\""),
        None => Reply::whole(CONTENT),
    });
    let machine = Machine::new(&[]);
    let url = server.url("/a+b.gguf");
    let legacy = machine.store.dir().join(place::legacy_of_url(&url));
    let folder =
        legacy.parent().expect("a parent").strip_prefix(machine.root.path()).expect("below").to_owned();
    machine.put(&folder.join(".a_b.gguf.part").display().to_string(), &CONTENT[..4]);
    let notes = format!(r#"{{"url":"{url}","validator":"\"one\"","total":14}}"#);
    machine.put(&folder.join(".a_b.gguf.part.json").display().to_string(), notes.as_bytes());
    let other = server.url("/a_b.gguf");
    machine.fetch(&other, None).expect("the file of the other URL");
    assert_eq!(server.asked()[0].offset(), None);
    machine.fetch(&url, None).expect("the file");
    assert_eq!(server.asked()[1].offset(), Some(4));
}
