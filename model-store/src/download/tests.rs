//! Fetching over a real connection from a real server that behaves and misbehaves.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use super::server::{Reply, Server};
use super::*;
use crate::progress::{Cancel, Progress, Silent};
use crate::surroundings::Env;

/// Notes what it hears, and may end the fetch at the first bytes.
#[derive(Default)]
pub(crate) struct RecordedProgress {
    pub(crate) notes: Mutex<Vec<String>>,
    pub(crate) phases: Mutex<Vec<Phase>>,
    furthest: Mutex<(u64, Option<u64>)>,
    cancel_at_bytes: Option<Cancel>,
}

impl Progress for RecordedProgress {
    fn transfer(&self, transfer: Transfer<'_>) {
        let mut phases = self.phases.lock().expect("unpoisoned");
        if phases.last() != Some(&transfer.phase) {
            phases.push(transfer.phase);
        }
        *self.furthest.lock().expect("unpoisoned") = (transfer.done, transfer.total);
        if let Some(cancel) = self.cancel_at_bytes.as_ref().filter(|_| transfer.done > 0) {
            cancel.cancel();
        }
    }

    fn note(&self, text: &str) {
        self.notes.lock().expect("unpoisoned").push(text.to_owned());
    }
}

/// A folder to fetch into, with little patience.
struct Bench {
    dir: tempfile::TempDir,
    web: Web,
    patience: RetryPolicy,
    rejections: Rejections,
}

pub(crate) const HASTY: RetryPolicy = RetryPolicy {
    connect: Duration::from_secs(5),
    stall: Duration::from_secs(5),
    backoff: Duration::from_millis(1),
    attempts: 3,
};

impl Bench {
    fn new() -> Self {
        Self::with_attempts(HASTY.attempts)
    }

    fn with_attempts(attempts: u32) -> Self {
        let patience = RetryPolicy { attempts, ..HASTY };
        let web = Web::new(&Env::default(), patience);
        Self { dir: tempfile::tempdir().expect("a folder"), web, patience, rejections: Rejections::default() }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("m.gguf")
    }

    fn fetch(&self, url: &str, sha256: Option<&str>) -> Result<Option<String>, FetchError> {
        self.fetch_watched(url, sha256, &Silent, &Cancel::default())
    }

    fn fetch_watched(
        &self,
        url: &str,
        sha256: Option<&str>,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Option<String>, FetchError> {
        let tools = Tools {
            web: &self.web,
            patience: self.patience,
            rejections: &self.rejections,
            memory: None,
            watch: Watch { progress, cancel },
        };
        let (remote, target) = (Remote::open(url), self.target());
        Download { remote: &remote, target: &target, sha256, existing: Existing::Keep }.run(&tools)
    }

    /// The message of a failure, with the folder and the port left out.
    fn refusal(&self, server: &Server, sha256: Option<&str>) -> String {
        let error = self.fetch(&server.url("/m.gguf"), sha256).expect_err("a refusal");
        let host = server.url("").trim_start_matches("http://").to_owned();
        error.to_string().replace(&self.dir.path().display().to_string(), "DIR").replace(&host, "HOST")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.target()).expect("the file")
    }

    /// Names in the folder, but for the lock.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }
}

/// More than any part of the way holds at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A model whose bytes differ everywhere, more than one chunk of them.
fn model(seed: u8) -> Vec<u8> {
    let bytes =
        (0..CHUNK_BYTES as u32 * 2 + 73).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed);
    b"GGUF".iter().copied().chain(bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let mut sum = Sum::default();
    sum.update(bytes);
    sum.finish()
}

#[test]
fn a_file_is_fetched_whole_with_progress_and_leaves_nothing_beside_it() {
    let server = Server::start(|_, _| Reply::whole(&model(1)));
    let (bench, heard) = (Bench::new(), RecordedProgress::default());
    let sum =
        bench.fetch_watched(&server.url("/m.gguf"), None, &heard, &Cancel::default()).expect("the file");
    assert_eq!(sum, Some(sha256(&model(1))));
    assert_eq!(bench.content(), model(1));
    assert_eq!(bench.names(), ["m.gguf"]);
    let len = model(1).len() as u64;
    assert_eq!(*heard.furthest.lock().expect("unpoisoned"), (len, Some(len)));
}

/// ORCH-MODEL-3
#[test]
fn a_broken_off_transfer_goes_on_where_it_was() {
    let server = Server::start(|asked, before| match (asked.offset(), before) {
        (None, 0) => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        (Some(offset), 1) => Reply::rest(&model(1), offset).with("ETag", "\"one\""),
        _ => Reply::status(500),
    });
    let bench = Bench::new();
    let sum = bench.fetch(&server.url("/m.gguf"), None).expect("the file");
    assert_eq!(sum, Some(sha256(&model(1))));
    assert_eq!(bench.content(), model(1));
    let second = &server.asked()[1];
    assert_eq!((second.offset(), second.header("if-range")), (Some(300_000), Some("\"one\"")));
}

/// ORCH-MODEL-3
#[test]
fn a_later_process_goes_on_where_an_earlier_one_was() {
    let server = Server::start(|asked, _| match asked.offset() {
        None => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        Some(offset) => Reply::rest(&model(1), offset).with("ETag", "\"one\""),
    });
    let bench = Bench::with_attempts(1);
    let url = server.url("/m.gguf");
    let error = bench.fetch(&url, None).expect_err("it breaks off");
    assert!(matches!(error, FetchError::Network { .. }), "{error}");
    assert_eq!(bench.names(), [".m.gguf.part", ".m.gguf.part.json"]);
    let sum = bench.fetch(&url, None).expect("the rest");
    assert_eq!((sum, bench.content()), (Some(sha256(&model(1))), model(1)));
    assert_eq!(server.asked()[1].offset(), Some(300_000));
}

/// ORCH-STORE-2
#[test]
fn a_part_of_another_url_is_not_taken_for_this_one() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/old.gguf" => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        _ => Reply::whole(&model(2)),
    });
    let bench = Bench::with_attempts(1);
    bench.fetch(&server.url("/old.gguf"), None).expect_err("it breaks off");
    bench.fetch(&server.url("/new.gguf"), None).expect("the file");
    assert_eq!(bench.content(), model(2));
    assert_eq!(server.asked()[1].offset(), None);
}

/// ORCH-STORE-2
#[test]
fn a_part_of_another_url_is_not_resumed_for_a_checksum_either() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/old.gguf" => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        _ => Reply::whole(&model(2)),
    });
    let bench = Bench::with_attempts(1);
    bench.fetch(&server.url("/old.gguf"), None).expect_err("it breaks off");
    bench.fetch(&server.url("/new.gguf"), Some(&sha256(&model(2)))).expect("the file");
    assert_eq!((server.asked()[1].offset(), server.asked().len()), (None, 2));
}

/// ORCH-STORE-2
#[test]
fn a_resumed_part_of_another_version_is_fetched_anew_before_the_checksum_is_called_wrong() {
    // A server without validators: it sends the rest of what it has now.
    let server = Server::start(|asked, before| match (before, asked.offset()) {
        (0, _) => Reply::whole(&model(1)).cut_after(300_000),
        (_, Some(offset)) => Reply::rest(&model(2), offset),
        (_, None) => Reply::whole(&model(2)),
    });
    let bench = Bench::with_attempts(1);
    let (url, right) = (server.url("/m.gguf"), sha256(&model(2)));
    bench.fetch(&url, Some(&right)).expect_err("it breaks off");
    assert_eq!(bench.fetch(&url, Some(&right)).expect("the file"), Some(right.clone()));
    assert_eq!(bench.content(), model(2));
    let offsets: Vec<_> = server.asked().iter().map(|asked| asked.offset()).collect();
    assert_eq!(offsets, [None, Some(300_000), None]);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    // As RFC 9110 says: If-Range does not match, so the whole new file comes.
    let server = Server::start(|_, before| match before {
        0 => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        _ => Reply::whole(&model(2)).with("ETag", "\"two\""),
    });
    let bench = Bench::new();
    bench.fetch(&server.url("/m.gguf"), None).expect("the file");
    assert_eq!(bench.content(), model(2));
}

#[test]
fn the_rest_of_a_file_of_another_length_is_not_taken() {
    let longer = || [model(1), vec![0]].concat();
    let server = Server::start(move |asked, before| match (before, asked.offset()) {
        (0, _) => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        (_, Some(offset)) => Reply::rest(&longer(), offset),
        (_, None) => Reply::whole(&longer()),
    });
    let bench = Bench::new();
    bench.fetch(&server.url("/m.gguf"), None).expect("the file");
    assert_eq!(bench.content(), longer());
    assert_eq!(server.asked().len(), 3);
}

/// ORCH-STORE-2
#[test]
fn the_rest_of_another_version_of_the_same_length_is_not_taken() {
    // A server that knows ranges and not If-Range.
    let server = Server::start(|asked, before| match (before, asked.offset()) {
        (0, _) => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        (_, Some(offset)) => Reply::rest(&model(2), offset).with("ETag", "\"two\""),
        (_, None) => Reply::whole(&model(2)).with("ETag", "\"two\""),
    });
    let bench = Bench::new();
    bench.fetch(&server.url("/m.gguf"), None).expect("the file");
    assert_eq!(bench.content(), model(2));
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let server = Server::start(|_, before| match before {
        0 => Reply::whole(&model(1)).cut_after(300_000),
        _ => Reply::whole(&model(1)),
    });
    let bench = Bench::new();
    bench.fetch(&server.url("/m.gguf"), Some(&sha256(&model(1)))).expect("the file");
    assert_eq!(bench.content(), model(1));
}

#[test]
fn without_a_checksum_and_a_validator_nothing_is_resumed() {
    let server = Server::start(|_, before| match before {
        0 => Reply::whole(&model(1)).with("ETag", "W/\"weak\"").cut_after(300_000),
        _ => Reply::whole(&model(1)),
    });
    let bench = Bench::new();
    bench.fetch(&server.url("/m.gguf"), None).expect("the file");
    assert_eq!(server.asked()[1].offset(), None);
}

#[test]
fn a_part_that_is_the_whole_file_already_is_taken() {
    let server = Server::start(|_, _| {
        Reply::status(416).with("Content-Range", &format!("bytes */{}", model(1).len()))
    });
    let bench = Bench::new();
    std::fs::write(beside(&bench.target(), "part"), model(1)).expect("a part");
    bench.fetch(&server.url("/m.gguf"), Some(&sha256(&model(1)))).expect("the file");
    assert_eq!(bench.content(), model(1));
}

/// ORCH-MODEL-2, ORCH-STORE-1
#[test]
fn a_wrong_checksum_is_refused_and_the_download_discarded() {
    let server = Server::start(|_, _| Reply::whole(b"something else"));
    let bench = Bench::new();
    let (expected, found) = (sha256(&model(1)), sha256(b"something else"));
    assert_eq!(
        bench.refusal(&server, Some(&expected)),
        format!(
            "`http://HOST/m.gguf` has the wrong checksum; the download was discarded\n  expected {expected}\n  found    \
             {found}\n  hint: check the pool's `sha256` and `model`; the file on the server may have been replaced"
        )
    );
    assert_eq!(bench.names(), Vec::<String>::new());
}

/// ORCH-STORE-2
#[test]
fn a_download_that_was_rejected_is_not_repeated_while_the_server_has_the_same_version() {
    let wrong = || Reply::whole(b"something else").with("ETag", "\"one\"");
    let server = Server::start(move |asked, before| match (before, asked.header("if-none-match")) {
        (0, None) => wrong(),
        (1, Some("\"one\"")) => Reply::status(304),
        (2, None) => wrong(),
        (3, Some("\"one\"")) => Reply::whole(&model(1)).with("ETag", "\"two\""),
        (before, asked) => panic!("{before}: {asked:?}"),
    });
    let bench = Bench::new();
    let (expected, other) = (sha256(&model(1)), sha256(&model(2)));
    let first = bench.refusal(&server, Some(&expected));
    assert_eq!(bench.refusal(&server, Some(&expected)), first);
    bench.refusal(&server, Some(&other));
    bench.fetch(&server.url("/m.gguf"), Some(&expected)).expect("the file");
    assert_eq!(bench.content(), model(1));
}

#[test]
fn a_missing_file_is_refused_at_once() {
    let server = Server::start(|_, _| Reply::status(404));
    let bench = Bench::new();
    assert_eq!(
        bench.refusal(&server, None),
        "`HOST` has no such file (404): http://HOST/m.gguf\n  hint: check the spelling of the pool's `model`"
    );
    assert_eq!((server.asked().len(), bench.names()), (1, Vec::new()));
}

#[test]
fn a_file_behind_a_login_says_so() {
    let server = Server::start(|_, _| Reply::status(403));
    assert_eq!(
        Bench::new().refusal(&server, None),
        "`HOST` refuses access (403): http://HOST/m.gguf\n  hint: download the file yourself and use `file:PATH`"
    );
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let server = Server::start(|_, before| match before {
        0 => Reply::status(503).with("Retry-After", "0"),
        1 => Reply::status(429),
        _ => Reply::whole(&model(1)),
    });
    let (bench, heard) = (Bench::new(), RecordedProgress::default());
    bench.fetch_watched(&server.url("/m.gguf"), None, &heard, &Cancel::default()).expect("the file");
    let notes = heard.notes.lock().expect("unpoisoned").join("\n");
    assert!(notes.contains("the server answers 503; trying again"), "{notes}");
    assert!(notes.contains("the server answers 429; trying again"), "{notes}");
}

#[test]
fn a_server_that_stays_in_trouble_is_given_up() {
    let server = Server::start(|_, _| Reply::status(500));
    let bench = Bench::new();
    assert_eq!(
        bench.refusal(&server, None),
        "cannot fetch from `HOST`: the server answers 500\n  hint: try again later, or put the file at `DIR/m.gguf`"
    );
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_body_that_is_always_cut_short_is_given_up_and_kept() {
    let server = Server::start(|asked, _| match asked.offset() {
        None => Reply::whole(&model(1)).with("ETag", "\"one\"").cut_after(300_000),
        Some(offset) => Reply::rest(&model(1), offset).with("ETag", "\"one\"").cut_after(0),
    });
    let bench = Bench::new();
    let refusal = bench.refusal(&server, None);
    assert!(refusal.starts_with("cannot fetch from `HOST`: the connection broke off"), "{refusal}");
    assert!(refusal.contains("hint: start again to go on where it broke off"), "{refusal}");
    assert_eq!(bench.names(), [".m.gguf.part", ".m.gguf.part.json"]);
}

#[test]
fn an_empty_file_is_not_a_model() {
    let server = Server::start(|_, _| Reply::whole(b""));
    assert_eq!(
        Bench::new().refusal(&server, None),
        "`HOST` sent something else than a model: it is empty\n  hint: open http://HOST/m.gguf in a browser to see"
    );
}

/// ORCH-STORE-7
#[test]
fn a_page_or_a_pointer_is_not_kept_whatever_the_checksum() {
    let page = "<!DOCTYPE html><html><body>Please log in</body></html>".repeat(40);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 4920739232\n";
    for (body, what) in [
        (page.clone(), "a page of HTML, not a model"),
        (pointer.to_owned(), "a Git LFS pointer, not the model that it stands for"),
    ] {
        let server = Server::start(move |_, _| Reply::whole(body.as_bytes()));
        for sum in [None, Some("ab")] {
            let bench = Bench::new();
            assert_eq!(
                bench.refusal(&server, sum),
                format!(
                    "`HOST` sent something else than a model: it is {what}\n  hint: open http://HOST/m.gguf in a browser \
                     to see"
                )
            );
            assert_eq!(bench.names(), Vec::<String>::new());
        }
    }
    let server = Server::start(move |_, _| Reply::whole(page.as_bytes()));
    let error =
        Bench::new().fetch(&server.url("/o/r/blob/main/m.gguf"), None).expect_err("a page").to_string();
    assert!(
        error.ends_with(&format!("its content is at {}", server.url("/o/r/resolve/main/m.gguf"))),
        "{error}"
    );
}

/// ORCH-STORE-7
#[test]
fn a_file_that_does_not_begin_as_a_model_is_not_kept() {
    let server = Server::start(|_, _| Reply::whole(&[7; 100_000]));
    let bench = Bench::new();
    let refusal = bench.refusal(&server, None);
    assert!(refusal.contains("it does not begin with `GGUF`, as every model file does"), "{refusal}");
    assert_eq!(bench.names(), Vec::<String>::new());
}

/// ORCH-STORE-8
#[test]
fn a_server_is_left_alone_as_long_as_it_says_within_a_bound() {
    let second = Duration::from_secs(1);
    assert_eq!(HASTY.wait(1, Some(120 * second)), Some(120 * second));
    assert_eq!(HASTY.wait(1, Some(MAX_TOLD_WAIT)), Some(MAX_TOLD_WAIT));
    assert_eq!(HASTY.wait(1, Some(MAX_TOLD_WAIT + second)), None);
    assert_eq!(HASTY.wait(40, None), Some(MAX_BACKOFF));

    let server = Server::start(|_, before| match before {
        0 => Reply::status(429).with("RateLimit", "\"resolvers\";r=0;t=1"),
        _ => Reply::status(429).with("Retry-After", "3600"),
    });
    let (bench, heard) = (Bench::new(), RecordedProgress::default());
    let error = bench.fetch_watched(&server.url("/m.gguf"), None, &heard, &Cancel::default());
    let error = error.expect_err("too long").to_string();
    assert!(error.contains("the server answers 429, and wants no request for 3600 s"), "{error}");
    assert_eq!(server.asked().len(), 2);
    let notes = heard.notes.lock().expect("unpoisoned").join("\n");
    assert!(notes.ends_with("the server answers 429; trying again in 1 s"), "{notes}");
}

#[test]
fn a_port_that_nobody_listens_on_says_what_to_do() {
    let server = Server::start(|_, _| Reply::status(500));
    let url = server.url("/m.gguf");
    drop(server);
    let bench = Bench::new();
    let message = bench.fetch(&url, None).expect_err("nobody is there").to_string();
    let place = bench.target().display().to_string();
    assert!(message.contains("Connection refused"), "{message}");
    assert!(
        message.contains("check the network and the proxy settings (HTTPS_PROXY) and start again"),
        "{message}"
    );
    assert!(message.ends_with(&format!("or put the file at `{place}`")), "{message}");
    assert_eq!(bench.names(), Vec::<String>::new());
}

#[test]
fn what_does_not_fit_the_disk_is_refused_before_it_is_fetched() {
    let server = Server::start(|_, _| Reply::whole(&model(1)).announcing(1 << 60));
    let bench = Bench::new();
    let error = bench.fetch(&server.url("/m.gguf"), None).expect_err("an exbibyte");
    let FetchError::NoSpace { needs, free, .. } = &error else { panic!("{error}") };
    assert!(*needs == 1 << 60 && *free > 0, "{error}");
    assert_eq!(bench.names(), Vec::<String>::new());
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_meanwhile_is_said_as_such() {
    let server = Server::start(|_, _| Reply::whole(&model(1)));
    let bench = Bench::new();
    std::os::unix::fs::symlink("/dev/full", beside(&bench.target(), "part")).expect("a link");
    let error = bench.fetch(&server.url("/m.gguf"), None).expect_err("a full disk");
    let FetchError::NoSpace { needs, .. } = &error else { panic!("{error}") };
    assert_eq!(*needs, model(1).len() as u64);
}

#[test]
fn a_canceled_fetch_ends_at_once_and_is_resumed_later() {
    let server = Server::start(|asked, _| match asked.offset() {
        None => Reply::whole(&model(1)).with("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
        Some(offset) => Reply::rest(&model(1), offset),
    });
    let bench = Bench::new();
    let cancel = Cancel::default();
    let heard = RecordedProgress { cancel_at_bytes: Some(cancel.clone()), ..RecordedProgress::default() };
    let error = bench.fetch_watched(&server.url("/m.gguf"), None, &heard, &cancel).expect_err("canceled");
    assert!(matches!(error, FetchError::Canceled), "{error}");
    assert_eq!(bench.names(), [".m.gguf.part", ".m.gguf.part.json"]);
    bench.fetch(&server.url("/m.gguf"), None).expect("the rest");
    assert_eq!(bench.content(), model(1));
    let offset = server.asked()[1].offset().expect("it was resumed");
    assert!(offset > 0 && offset < model(1).len(), "{offset}");
}

/// Says when as many bytes are there as the server sends before it falls silent.
struct Reported {
    silent_after: Option<u64>,
    reached: SyncSender<()>,
}

impl Progress for Reported {
    fn transfer(&self, transfer: Transfer<'_>) {
        if self.silent_after == Some(transfer.done) {
            let _ = self.reached.try_send(());
        }
    }
    fn note(&self, _: &str) {}
}

/// Cancels a fetch whose server has fallen silent, and gives what the fetch ends with. The silence lasts
/// until it has ended, or until it is clear that it does not.
fn canceled_in_silence(silent_after: Option<usize>) -> Result<Option<String>, FetchError> {
    let (release, gone) = sync_channel::<()>(0);
    let (reached_tx, reached) = sync_channel(1);
    let told = Reported { silent_after: silent_after.map(|bytes| bytes as u64), reached: reached_tx.clone() };
    let gone = Mutex::new(Some(gone));
    let server = Server::start(move |_, _| {
        let gone = gone.lock().expect("unpoisoned").take().expect("asked once");
        match silent_after {
            Some(bytes) => Reply::whole(&model(1)).cut_after(bytes).held_until(gone),
            None => {
                let _ = reached_tx.send(());
                let _ = gone.recv();
                Reply::status(500)
            }
        }
    });
    let patience = RetryPolicy { stall: Duration::from_secs(3600), ..HASTY };
    let bench = Bench { web: Web::new(&Env::default(), patience), patience, ..Bench::new() };
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let (ended_tx, ended) = sync_channel(1);
        let (url, bench, told, cancel_it) = (server.url("/m.gguf"), &bench, &told, &cancel);
        scope.spawn(move || ended_tx.send(bench.fetch_watched(&url, None, told, cancel_it)));
        reached.recv().expect("it gets there");
        cancel.cancel();
        let outcome = ended.recv_timeout(Duration::from_secs(20));
        drop(release);
        outcome.expect("it goes on waiting")
    })
}

#[test]
fn a_cancel_takes_effect_while_a_server_is_silent() {
    for silent_after in [None, Some(0), Some(100_000)] {
        let outcome = canceled_in_silence(silent_after);
        assert!(matches!(outcome, Err(FetchError::Canceled)), "{silent_after:?}: {outcome:?}");
    }
}

/// ORCH-MODEL-3
#[test]
fn two_that_want_the_same_file_fetch_it_once() {
    let waiting = std::sync::Arc::new(AtomicBool::new(false));
    let release = std::sync::Arc::clone(&waiting);
    // The first answer is held back until the second fetcher is seen to wait.
    let server = Server::start(move |_, _| {
        while !release.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Reply::whole(&model(1))
    });
    struct Signal(std::sync::Arc<AtomicBool>);
    impl Progress for Signal {
        fn transfer(&self, _: Transfer<'_>) {}
        fn note(&self, text: &str) {
            assert_eq!(text, "another process is fetching the same file; waiting for it");
            self.0.store(true, Ordering::Release);
        }
    }
    let bench = Bench::new();
    let (url, signal) = (server.url("/m.gguf"), Signal(waiting));
    let sums = std::thread::scope(|scope| {
        let fetch = || bench.fetch_watched(&url, None, &signal, &Cancel::default()).expect("the file");
        let both = [scope.spawn(fetch), scope.spawn(fetch)];
        both.map(|one| one.join().expect("no panic"))
    });
    assert_eq!(sums.iter().flatten().count(), 1, "one of the two has fetched it: {sums:?}");
    assert_eq!((server.asked().len(), bench.content()), (1, model(1)));
}

#[test]
fn a_folder_that_cannot_be_made_says_what_to_set() {
    let server = Server::start(|_, _| Reply::whole(&model(1)));
    let bench = Bench::new();
    let file = bench.dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let tools = Tools {
        web: &bench.web,
        patience: HASTY,
        rejections: &bench.rejections,
        memory: None,
        watch: Watch { progress: &Silent, cancel: &Cancel::default() },
    };
    let target = file.join("m.gguf");
    let remote = Remote::open(&server.url("/m.gguf"));
    let download = Download { remote: &remote, target: &target, sha256: None, existing: Existing::Keep };
    let error = download.run(&tools).expect_err("no folder");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write `{}`: there is a file of this name\n  hint: set `models_dir` to a folder that can be written",
            file.display()
        )
    );
    assert_eq!(server.asked().len(), 0);
}
