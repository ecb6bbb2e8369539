//! `models`: the files of this machine, and who serves them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Exchange};
use crate::program::{Done, at, finish, read_until, run, signal};

/// A machine with a models folder and a configuration.
struct Machine(tempfile::TempDir);

impl Machine {
    fn with(files: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        for (path, text) in files {
            machine.put(&format!("models/{path}"), text);
        }
        machine
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The program on this machine, with a daemon at `url`.
    fn program(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = at(url, arguments);
        command.env("HOME", self.at("home")).env("LLAMA_ORCH_MODELS", self.at("models"));
        command.current_dir(self.0.path());
        command
    }

    fn run(&self, url: &str, arguments: &[&str]) -> Done {
        run(self.program(url, arguments))
    }
}

/// An address at which nothing listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

fn serving(models: &[(&str, &str)]) -> Exchange {
    let lane = json!({ "depth": 0, "bound": 8 });
    let pools: Vec<Value> = models
        .iter()
        .map(|(id, model)| {
            json!({
                "id": id, "model_ref": model, "engine": "llamacpp", "state": "ready", "model_state": "Active",
                "queue": { "interactive": lane, "batch": lane }, "replicas": []
            })
        })
        .collect();
    let ledger =
        json!([{ "device": "gpu0", "replica": format!("{}/0", models[0].0), "measured_bytes": 4096 }]);
    let body = json!({ "status": "ok", "version": "0.1.0", "pools": pools, "devices": [], "ledger": ledger });
    Exchange::json("200 OK", "", &body.to_string())
}

/// Bytes as a web server sends them; `announced` may promise more than there are.
fn file(bytes: &str, announced: usize) -> Exchange {
    Exchange::raw(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\nETag: \"1\"\r\nConnection: close\r\n\r\n{bytes}"
    ))
}

/// ORCH-CLI-6
#[test]
fn files_are_listed_with_the_pools_that_serve_them() {
    let machine = Machine::with(&[
        ("hf/o/r/f.gguf", "12345"),
        ("hf/o/r/.g.gguf.part", "123"),
        ("hf/o/r/.g.gguf.part.json", r#"{"total":12}"#),
        ("web/host/x.gguf", "1"),
    ]);
    let script = || serving(&[("a", "hf:o/r/f.gguf"), ("b", "starter")]);
    let daemon = Daemon::with(vec![script(), script()]);
    let done = machine.run(&daemon.url(), &["models"]);
    let expected = format!(
        "\
POOL  STATE  MODEL          HOLDS
a     ready  hf:o/r/f.gguf  4.0 KiB on gpu0
b     ready  starter

FILE SIZE QUANT CONTEXT FITS SERVED BY
hf:o/r/f.gguf    5 B yes a
hf:o/r/g.gguf    3 B of 12 B: `pull` goes on yes
web/host/x.gguf  1 B yes
3 files, 9 B, in {}
",
        machine.at("models").display()
    );
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(&done.out), squeeze(&expected));
    assert_eq!(done.out.lines().count(), expected.lines().count());

    let done = machine.run(&daemon.url(), &["models", "list", "--json"]);
    let [whole] = done.lines().try_into().unwrap();
    assert_eq!(whole["models_dir"], machine.at("models").to_str().unwrap());
    assert_eq!(whole["pools"][0]["holds"][0]["measured_bytes"], 4096);
    let files = whole["files"].as_array().unwrap();
    let told = |file: &Value| (file["model_ref"].clone(), file["complete"].clone(), file["pools"].clone());
    assert_eq!(told(&files[0]), (json!("hf:o/r/f.gguf"), json!(true), json!(["a"])));
    assert_eq!(told(&files[1]), (json!("hf:o/r/g.gguf"), json!(false), json!([])));
    assert_eq!((&files[1]["bytes"], &files[1]["total_bytes"]), (&json!(3), &json!(12)));
    drop(daemon.requests());
}

#[test]
fn files_are_listed_without_a_daemon() {
    let machine = Machine::with(&[]);
    let done = machine.run(&nowhere(), &["models"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("no pools: no daemon can be reached at "), "{done:?}");
    assert!(done.out.ends_with("`llama-orch models pull` fetches one\n"), "{done:?}");
    let done = machine.run(&nowhere(), &["models", "--json"]);
    assert_eq!(done.lines()[0]["pools"], Value::Null);
}

#[test]
fn a_configuration_that_is_wrong_is_said() {
    let machine = Machine::with(&[]);
    machine.put("llama-orch.yaml", "model_dir: /m\n");
    let done = machine.run(&nowhere(), &["models"]);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
    assert!(
        done.err.contains("`model_dir` is not an option") && done.err.contains("check-config"),
        "{done:?}"
    );
}

#[test]
fn pull_fetches_a_file_and_prints_where_it_is() {
    let machine = Machine::with(&[]);
    let web = Daemon::with(vec![file("GGUF", 4)]);
    let url = format!("{}/some/m.gguf", web.url());
    let done = machine.run(&nowhere(), &["models", "pull", &url]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let path = PathBuf::from(done.out.trim_end());
    assert!(path.starts_with(machine.at("models/url")) && path.ends_with("some%2Fm.gguf"), "{path:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "GGUF");
    assert_eq!(web.requests()[0].line(), "GET /some/m.gguf");

    let done = machine.run(&nowhere(), &["models", "pull", "--json", &url]);
    let [line] = done.lines().try_into().unwrap();
    assert_eq!((&line["model_ref"], &line["bytes"]), (&json!(url), &json!(4)));
    assert_eq!(line["path"], path.to_str().unwrap(), "it is fetched once");
}

#[test]
fn pull_takes_a_pool_of_the_configuration_and_its_checksum() {
    let machine = Machine::with(&[]);
    let web = Daemon::with(vec![file("GGUF", 4)]);
    let sum = "0".repeat(64);
    let pool = format!("pools: [{{id: big, model: '{}/m.gguf', sha256: '{sum}'}}]\n", web.url());
    machine.put("llama-orch.yaml", &pool);
    let done = machine.run(&nowhere(), &["models", "pull", "big"]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains("has the wrong checksum; the download was discarded"), "{done:?}");
    assert!(done.err.contains(&format!("expected {sum}")) && done.err.contains("\nhint: "), "{done:?}");
    drop(web.requests());
}

/// ORCH-CLI-24
#[test]
fn what_is_found_on_the_hub_is_listed_in_the_form_that_pull_takes() {
    let machine = Machine::with(&[]);
    let found = || Exchange::json("200 OK", "", r#"[{"id":"o/Qwen3-GGUF","downloads":7,"likes":2}]"#);
    let hub = Daemon::with(vec![found(), found(), Exchange::json("200 OK", "", "[]")]);
    let search = |arguments: &[&str]| {
        let mut program = machine.program(&nowhere(), &[&["models", "search"], arguments].concat());
        program.env("HF_ENDPOINT", hub.url()).env_remove("HF_HUB_OFFLINE");
        run(program)
    };
    let done = search(&["qwen3", "coder"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let words: Vec<&str> = done.out.split_whitespace().collect();
    assert_eq!(words, ["MODEL", "DOWNLOADS", "LIKES", "hf:o/Qwen3-GGUF", "7", "2"]);
    assert!(done.err.contains("`llama-orch models pull hf:o/Qwen3-GGUF`"), "{done:?}");
    let done = search(&["qwen3", "--json"]);
    assert_eq!(done.lines()[0]["repositories"][0]["model_ref"], "hf:o/Qwen3-GGUF");
    let done = search(&["nothing"]);
    assert_eq!(done.code, Some(5), "{done:?}");
    drop(hub.requests());
}

#[test]
fn what_cannot_be_pulled_is_said() {
    let machine = Machine::with(&[]);
    let done = machine.run(&nowhere(), &["models", "pull", "llama3"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.starts_with("error: `llama3` is not a model reference"), "{done:?}");
    assert!(done.err.contains("hint: use `starter`, `file:PATH`"), "{done:?}");
    assert!(done.err.contains("names of Ollama's library"), "{done:?}");
    let done = machine.run(&nowhere(), &["models", "pull", "/no/such.gguf"]);
    assert_eq!((done.code, done.out.as_str()), (Some(5), ""), "{done:?}");
    let web = Daemon::with(vec![Exchange::json("404 Not Found", "", "{}")]);
    let done = machine.run(&nowhere(), &["models", "pull", &format!("{}/m.gguf", web.url())]);
    assert_eq!(done.code, Some(5), "{done:?}");
    drop(web.requests());
}

/// ORCH-CLI-6
#[test]
fn ctrl_c_keeps_what_was_fetched_and_the_next_pull_goes_on() {
    let machine = Machine::with(&[]);
    let rest = "HTTP/1.1 206 Partial Content\r\nContent-Length: 6\r\nContent-Range: bytes 4-9/10\r\nETag: \"1\"\r\nConnection: close\r\n\r\n456789";
    let web = Daemon::with(vec![file("GGUF", 10).open(), Exchange::raw(rest)]);
    let url = format!("{}/m.gguf", web.url());
    let mut child = machine.program(&nowhere(), &["models", "pull", "-v", &url]).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, "of 10 B (");
    let has_four = |path: &PathBuf| path.metadata().is_ok_and(|state| state.len() == 4);
    let part = || parts(&machine.at("models/url")).into_iter().find(has_four);
    until(|| part().is_some(), "the bytes arrive");
    signal(child.id(), Signal::INT);
    let said = std::io::read_to_string(err).unwrap();
    assert!(said.contains("are kept: `llama-orch models pull"), "{said}");
    assert_eq!(finish(child).code, Some(130));
    assert!(part().is_some(), "the part is kept");
    let done = machine.run(&nowhere(), &["models", "pull", &url]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(std::fs::read_to_string(done.out.trim_end()).unwrap(), "GGUF456789");
    assert_eq!(web.requests()[1].headers["range"], "bytes=4-");
}

/// Waits until something is so.
fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let (_keep, never) = std::sync::mpsc::sync_channel::<()>(0);
    let step = std::time::Duration::from_millis(10);
    let so = (0..2000).any(|_| is_so() || never.recv_timeout(step).is_ok());
    assert!(so, "not in time: {what}");
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(parts(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "part") {
            found.push(path);
        }
    }
    found
}

#[test]
fn show_says_where_a_model_is_and_who_serves_it() {
    let machine = Machine::with(&[("hf/o/r/f.gguf", "12345")]);
    let script = || serving(&[("a", "hf:o/r/f.gguf"), ("remote", "Qwen/Qwen3-8B")]);
    let daemon = Daemon::with(vec![script(), script(), script(), script()]);
    let path = machine.at("models/hf/o/r/f.gguf");
    let page = format!("hf:o/r/f.gguf\n  file: {}, 5 B\n  pool a: ready, 4.0 KiB on gpu0\n", path.display());
    for name in ["a", "hf:o/r/f.gguf"] {
        let done = machine.run(&daemon.url(), &["models", "show", name]);
        assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), page.as_str(), ""));
    }
    let done = machine.run(&daemon.url(), &["models", "show", "remote", "--json"]);
    let [line] = done.lines().try_into().unwrap();
    assert_eq!((&line["model_ref"], &line["path"]), (&json!("Qwen/Qwen3-8B"), &Value::Null));
    let done = machine.run(&daemon.url(), &["models", "show", "hf:o/r/other.gguf"]);
    assert_eq!((done.code, done.out.as_str()), (Some(5), ""), "{done:?}");
    assert!(done.err.contains("`llama-orch models pull hf:o/r/other.gguf` fetches it"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn remove_gives_the_space_back() {
    let machine = Machine::with(&[
        ("hf/o/r/f.gguf", "12345"),
        ("hf/o/r/.f.gguf.part", "123"),
        ("web/h/x.gguf", "1"),
        ("y.gguf", "1"),
    ]);
    let script = || serving(&[("a", "starter")]);
    let daemon = Daemon::with(vec![script(), script(), script()]);
    let done = machine.run(&daemon.url(), &["models", "remove", "hf:o/r/f.gguf"]);
    let path = machine.at("models/hf/o/r/f.gguf");
    assert_eq!((done.code, done.out), (Some(0), format!("removed {}: 8 B free again\n", path.display())));
    // As `models` lists them.
    for name in ["web/h/x.gguf", "y.gguf"] {
        let done = machine.run(&daemon.url(), &["models", "remove", "--json", name]);
        assert_eq!(done.lines()[0]["freed_bytes"], 1, "{done:?}");
        assert!(!machine.at("models").join(name).exists());
    }
    assert!(!path.exists());
    drop(daemon.requests());
}

/// ORCH-STORE-5, ORCH-CLI-6
#[test]
fn remove_keeps_what_the_daemon_serves_unless_it_is_forced() {
    let machine = Machine::with(&[("hf/o/r/f.gguf", "12345")]);
    let path = machine.at("models/hf/o/r/f.gguf");
    for model in ["hf:o/r/f.gguf".to_owned(), format!("file:{}", path.display())] {
        let daemon = Daemon::with(vec![serving(&[("a", &model)])]);
        let done = machine.run(&daemon.url(), &["models", "remove", "hf:o/r/f.gguf"]);
        assert_eq!((done.code, done.out.as_str()), (Some(5), ""), "{done:?}");
        assert!(done.err.contains("pool `a` serves") && done.err.contains("--force"), "{done:?}");
        drop(daemon.requests());
    }
    // Every part of a model, and every version that it may be.
    let parts = [1, 2].map(|number| machine.put(&format!("models/m-0000{number}-of-00002.gguf"), "1"));
    let version = machine.put("models/hf/o/r/f@0123456789abcdef.gguf", "1");
    for (model, file) in
        [(format!("file:{}", parts[0].display()), &parts[1]), ("hf:o/r/f.gguf".to_owned(), &version)]
    {
        let daemon = Daemon::with(vec![serving(&[("a", &model)])]);
        let done = machine.run(&daemon.url(), &["models", "remove", file.to_str().unwrap()]);
        assert_eq!(done.code, Some(5), "{done:?}");
        assert!(done.err.contains("pool `a` serves") && file.exists(), "{done:?}");
        drop(daemon.requests());
    }
    // One that does not say what it serves may serve it.
    let daemon = Daemon::with(vec![Exchange::json("200 OK", "", r#"{"status":"ok"}"#)]);
    let done = machine.run(&daemon.url(), &["models", "remove", "hf:o/r/f.gguf"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    drop(daemon.requests());
    assert!(path.exists());
    let done = machine.run(&nowhere(), &["models", "remove", "--force", "hf:o/r/f.gguf"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!path.exists());
}

#[test]
fn remove_touches_nothing_outside_of_the_models_folder() {
    let machine = Machine::with(&[("x.gguf", "1")]);
    let own = machine.put("mine.gguf", "1");
    let cached = "home/.cache/huggingface/hub/models--o--r/snapshots/0/f.gguf";
    machine.put(cached, "1");
    let done = machine.run(&nowhere(), &["models", "remove", own.to_str().unwrap()]);
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains("is not in the models folder"), "{done:?}");
    let done = machine.run(&nowhere(), &["models", "remove", "hf:o/r/f.gguf"]);
    assert_eq!(done.code, Some(5));
    assert!(done.err.contains("hf cache delete"), "{done:?}");
    let done = machine.run(&nowhere(), &["models", "remove", "hf:o/r/no.gguf"]);
    assert_eq!(done.code, Some(5));
    assert!(own.exists() && machine.at(cached).exists() && machine.at("models/x.gguf").exists());
}
