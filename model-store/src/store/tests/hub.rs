//! A hub of a test's own: models in parts, quantisations, revisions, and a machine that may not ask.

use super::*;

/// What a hub has: files of `o/r` by path, and its list of them.
fn hub(files: &'static [(&'static str, &'static [u8])]) -> Server {
    Server::start(move |asked, _| {
        if asked.path.starts_with("/api/models/o/r/tree/") {
            let entry = |(path, bytes): &(&str, &[u8])| {
                let lfs = serde_json::json!({ "oid": sum(bytes), "size": bytes.len() });
                serde_json::json!({ "type": "file", "path": path, "size": 130, "lfs": lfs })
            };
            let mut list: Vec<_> = files.iter().map(entry).collect();
            list.push(serde_json::json!({ "type": "directory", "path": "sub", "size": 0 }));
            return Reply::whole(serde_json::Value::from(list).to_string().as_bytes());
        }
        let path = asked.path.split_once("/resolve/").and_then(|(_, path)| path.split_once('/'));
        let file = path.and_then(|(_, path)| files.iter().find(|(name, _)| *name == path));
        file.map_or_else(|| Reply::status(404), |(_, bytes)| Reply::whole(bytes))
    })
}

const PARTS: &[(&str, &[u8])] = &[
    ("q/m-00001-of-00003.gguf", b"GGUF one"),
    ("q/m-00002-of-00003.gguf", b"GGUF two"),
    ("q/m-00003-of-00003.gguf", b"GGUF three"),
];

fn paths(server: &Server) -> Vec<String> {
    server.asked().into_iter().map(|asked| asked.path).collect()
}

/// ORCH-STORE-9
#[test]
fn all_parts_of_a_model_are_fetched_listed_and_removed_as_one() {
    let hub = hub(PARTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let model = ModelRef::parse("hf:o/r/q/m-00001-of-00003.gguf").expect("a reference");
    let fetched = machine.fetch(&model.to_string(), None).expect("the model");
    assert_eq!(files_of(&fetched.path).iter().filter(|part| part.is_file()).count(), 3);
    assert_eq!(crate::bytes_of(&fetched.path), 8 + 8 + 10);

    // One that went missing is fetched, and nothing else.
    let second = machine.store.dir().join("hf/o/r/q/m-00002-of-00003.gguf");
    std::fs::remove_file(&second).expect("a part");
    assert_eq!(machine.store.locate(&model), None);
    let listed = machine.store.files().expect("the folder");
    assert_eq!((listed[0].files, listed[0].extent), (3, crate::Extent::Part { total: None }));
    let before = paths(&hub).len();
    machine.fetch(&model.to_string(), None).expect("the model");
    assert_eq!(paths(&hub)[before..], ["/o/r/resolve/main/q/m-00002-of-00003.gguf"]);

    let listed = machine.store.files().expect("the folder");
    let seen: Vec<_> = listed.iter().map(|file| (&file.model, file.bytes, file.files, file.extent)).collect();
    assert_eq!(seen, [(&model, 26, 3, crate::Extent::Whole)]);
    assert!(machine.store.may_be(&model, &second));
    assert_eq!(machine.store.remove(&second).expect("removed"), 26);
    assert_eq!(machine.store.files().expect("the folder"), []);
}

/// ORCH-STORE-9
#[test]
fn a_later_part_is_refused_with_the_reference_of_the_first() {
    let hub = hub(PARTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let error = machine.fetch("hf:o/r/q/m-00002-of-00003.gguf", None).expect_err("a later part").to_string();
    assert!(error.contains("file 2 of a model in 3 files"), "{error}");
    assert!(error.ends_with("name the first one, `hf:o/r/q/m-00001-of-00003.gguf`"), "{error}");
    assert_eq!(paths(&hub), Vec::<String>::new());
}

/// ORCH-STORE-9
#[test]
fn parts_by_url_and_another_version_of_them_are_whole_models_too() {
    let hub = hub(PARTS);
    let machine = Machine::new(&[]);
    let url = hub.url("/o/r/resolve/main/q/m-00001-of-00003.gguf");
    let plain = machine.fetch(&url, None).expect("the model").path;
    std::fs::write(&plain, b"GGUF older").expect("another version");
    let version = machine.fetch(&url, Some(&sum(b"GGUF one"))).expect("the model").path;
    assert!(
        version != plain && files_of(&version).iter().all(|part| part.is_file()),
        "{}",
        version.display()
    );
    assert_eq!(std::fs::read(&files_of(&version)[2]).expect("a part"), b"GGUF three");
    assert!(machine.store.may_be(&ModelRef::parse(&url).expect("a reference"), &files_of(&version)[2]));
}

/// ORCH-STORE-9
#[test]
fn a_link_of_another_name_leads_to_all_parts() {
    let machine = Machine::new(&[]);
    for (name, bytes) in PARTS {
        machine.put(name, bytes);
    }
    let link = machine.root.path().join("short.gguf");
    std::os::unix::fs::symlink(machine.root.path().join(PARTS[0].0), &link).expect("a link");
    let found = machine.fetch(&format!("file:{}", link.display()), None).expect("the model").path;
    assert_eq!(found.file_name().and_then(|name| name.to_str()), Some("m-00001-of-00003.gguf"));
}

const QUANTS: &[(&str, &[u8])] = &[
    ("m-Q4_K_M.gguf", b"GGUF four bits"),
    ("m-Q8_0.gguf", b"GGUF eight bits, as long as that"),
    ("mmproj-F16.gguf", b"GGUF a projector of the model and more of it"),
];

/// ORCH-MODEL-17
#[test]
fn a_quantisation_is_looked_up_verified_and_stays_the_same_without_the_hub() {
    let there = hub(QUANTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &there.url(""))]);
    let fetched = machine.fetch("o/r:q4_k_m", None).expect("the model");
    assert_eq!(fetched.path, machine.store.dir().join("hf/o/r/m-Q4_K_M.gguf"));
    // The hub's list has its checksum.
    assert_eq!(fetched.warning, None);
    assert_eq!(
        paths(&there),
        ["/api/models/o/r/tree/main?recursive=true", "/o/r/resolve/main/m-Q4_K_M.gguf"]
    );
    drop(there);
    let model = ModelRef::parse("hf:o/r:Q4_K_M").expect("a reference");
    assert_eq!(machine.store.locate(&model), Some(fetched.path.clone()));
    assert_eq!(machine.fetch("hf:o/r:Q4_K_M", None).expect("the same").path, fetched.path);
}

/// ORCH-MODEL-17
#[test]
fn without_a_quantisation_the_best_that_fits_is_chosen_said_and_kept() {
    let hub = hub(QUANTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let store = Store { memory: Some(20), ..machine.store };
    let heard = RecordedProgress::default();
    let model = ModelRef::parse("hf:o/r").expect("a reference");
    let fetched = store.fetch(&model, None, &heard, &Cancel::default()).expect("the model").path;
    assert!(fetched.ends_with("m-Q4_K_M.gguf"), "{}", fetched.display());
    let notes = heard.notes.lock().expect("unpoisoned").join("\n");
    assert!(notes.contains("`m-Q4_K_M.gguf` is 14 bytes and will fit: this machine has 20 bytes"), "{notes}");
    assert!(notes.contains("`m-Q4_K_M.gguf` (Q4_K_M, 14 bytes), the best that fits in 20 bytes"), "{notes}");
    // More memory later changes nothing: the file that is served stays the same.
    let store = Store { memory: Some(1 << 40), ..store };
    assert_eq!(store.fetch(&model, None, &Silent, &Cancel::default()).expect("the same").path, fetched);
}

/// ORCH-MODEL-17
#[test]
fn a_quantisation_that_a_repository_lacks_is_refused_with_those_it_has() {
    let hub = hub(QUANTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let error = machine.fetch("hf:o/r:Q5_K_M", None).expect_err("none").to_string();
    assert_eq!(
        error,
        "the repository `o/r` has no quantisation `Q5_K_M`\n  hint: it has `Q4_K_M` (14 bytes), `Q8_0` (32 bytes)"
    );
}

/// ORCH-MODEL-17
#[test]
fn a_quantisation_in_the_hubs_cache_is_used_in_place() {
    let machine = Machine::new(&[("HF_HUB_OFFLINE", "1")]);
    let cached = machine.put("home/.cache/huggingface/hub/models--o--r/snapshots/c/m-Q4_K_M.gguf", CONTENT);
    assert_eq!(machine.fetch("hf:o/r:Q4_K_M", None).expect("the model").path, cached);
    assert_eq!(machine.fetch("hf:o/r", None).expect("the model").path, cached);
}

/// ORCH-STORE-10
#[test]
fn a_machine_that_may_not_ask_the_hub_says_so_and_asks_nothing() {
    let hub = hub(QUANTS);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url("")), ("HF_HUB_OFFLINE", "1")]);
    for model in ["hf:o/r/m-Q8_0.gguf", "hf:o/r:Q8_0"] {
        let error = machine.fetch(model, None).expect_err("offline").to_string();
        assert!(
            error.contains("is not on this machine, and HF_HUB_OFFLINE forbids to ask the hub"),
            "{error}"
        );
    }
    assert_eq!(paths(&hub), Vec::<String>::new());
}

/// ORCH-STORE-3
#[test]
fn revisions_and_unusual_names_have_files_of_their_own_that_read_back() {
    let hub = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let models =
        ["hf:o/r/m.gguf", "hf:o/r@v1/m.gguf", "hf:o/r@refs%2Fpr%2F1/m.gguf", "hf:o/r/Größe (v2).gguf"];
    for model in models {
        machine.fetch(model, None).expect(model);
    }
    let mut listed: Vec<String> =
        machine.store.files().expect("the folder").iter().map(|file| file.model.to_string()).collect();
    listed.sort();
    let mut expected = models.map(str::to_owned);
    expected.sort();
    assert_eq!(listed, expected);
}
/// ORCH-STORE-7
#[test]
fn a_page_that_an_earlier_fetch_has_kept_makes_room_for_the_model() {
    let hub = Server::start(|_, _| Reply::whole(CONTENT));
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    machine.put("models/hf/o/r/m.gguf", b"<!DOCTYPE html><html></html>");
    let fetched = machine.fetch("hf:o/r/m.gguf", None).expect("the model").path;
    assert_eq!(std::fs::read(fetched).expect("the file"), CONTENT);
    let own = machine.put("own.gguf", b"version https://git-lfs.github.com/spec/v1\n");
    let error = machine.fetch(&format!("file:{}", own.display()), None).expect_err("a pointer").to_string();
    assert!(error.contains("a Git LFS pointer") && error.ends_with("`git lfs pull`"), "{error}");
}

/// ORCH-CLI-24
#[test]
fn repositories_are_searched_by_words_and_not_without_the_hub() {
    let hub = Server::start(|_, _| {
        Reply::whole(br#"[{"id":"o/Qwen3-GGUF","downloads":7,"likes":2,"private":false},{"id":"p/q"}]"#)
    });
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url(""))]);
    let found = machine.store.search("qwen 3", 5, &Silent, &Cancel::default()).expect("a list");
    let seen: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.downloads, one.likes)).collect();
    assert_eq!(seen, [("o/Qwen3-GGUF", 7, 2), ("p/q", 0, 0)]);
    let asked = "/api/models?search=qwen%203&filter=gguf&sort=downloads&direction=-1&limit=5";
    assert_eq!(paths(&hub), [asked]);
    let machine = Machine::new(&[("HF_ENDPOINT", &hub.url("")), ("HF_HUB_OFFLINE", "1")]);
    let error =
        machine.store.search("qwen", 5, &Silent, &Cancel::default()).expect_err("offline").to_string();
    assert!(error.starts_with("HF_HUB_OFFLINE forbids to ask the hub"), "{error}");
    assert_eq!(paths(&hub).len(), 1);
}
