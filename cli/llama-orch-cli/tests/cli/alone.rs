//! `config init`, `doctor` and `logs`: what works without a daemon.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Exchange};
use crate::program::{Done, finish, program, read_until, run, signal};

const READY: &str = r#"{"status":"ok","version":"VERSION","build":"AVX2","pools":[{"id":"starter","model_ref":"starter","engine":"llamacpp","state":"ready","model_state":"Active","queue":{"interactive":{"depth":0,"bound":256},"batch":{"depth":0,"bound":1024}},"replicas":[{"id":"starter/0","state":"ready","device":"cpu","slots_busy":0}]}],"devices":[]}"#;

/// A user with an empty home.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("the folder is the test's own"))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn put(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("the folder is the test's own"))
            .expect("a folder and files of the test's own");
        std::fs::write(&path, text).expect("the folder is the test's own");
        path
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("HOME", self.0.path());
        command
    }
}

fn config(home: &Home) -> PathBuf {
    home.path(".config/llama-orch/llama-orch.yaml")
}

/// ORCH-CLI-11
#[test]
fn config_init_writes_a_configuration_where_the_daemon_looks_for_one() {
    let home = Home::new();
    let done = run(home.program(&["config", "init"]));
    let path = config(&home);
    assert_eq!((done.code, done.out.trim_end()), (Some(0), path.to_str().unwrap()), "{done:?}");
    let printed = run(home.program(&["config", "init", "--print"]));
    assert_eq!(printed.out, std::fs::read_to_string(&path).unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let folder: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(folder.len(), 1, "nothing else is left there: {folder:?}");
}

/// ORCH-CLI-11
#[test]
fn config_init_takes_the_place_of_another_only_when_it_is_told_to_and_keeps_that() {
    let home = Home::new();
    let path = home.put(".config/llama-orch/llama-orch.yaml", "listen: 127.0.0.1:7000\n");
    let refused = run(home.program(&["config", "init"]));
    assert_eq!((refused.code, refused.out.as_str()), (Some(5), ""));
    assert!(refused.err.contains("is there already") && refused.err.contains("--force"), "{refused:?}");
    let done = run(home.program(&["config", "init", "--force", "--json"]));
    let kept = path.with_extension("yaml.before");
    assert_eq!(done.lines(), [json!({ "path": path, "kept": kept })], "{done:?}");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "listen: 127.0.0.1:7000\n");
    assert!(std::fs::read_to_string(path).unwrap().starts_with("# The configuration"));
}

/// ORCH-STORE-5
#[test]
fn a_configuration_that_cannot_take_the_place_of_another_leaves_it() {
    let home = Home::new();
    let path = home.put(".config/llama-orch/llama-orch.yaml", "listen: 127.0.0.1:7000\n");
    // The name that the old one would get is a folder's.
    std::fs::create_dir(path.with_extension("yaml.before")).unwrap();
    let failed = run(home.program(&["config", "init", "--force"]));
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "listen: 127.0.0.1:7000\n");
    let folder: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(folder.len(), 2, "nothing else is left there: {folder:?}");
}

#[test]
fn config_init_writes_the_file_that_the_environment_names() {
    let home = Home::new();
    let named = home.path("elsewhere/own.yaml");
    let mut command = home.program(&["config", "init"]);
    command.env("LLAMA_ORCH_CONFIG", &named);
    assert_eq!(run(command).code, Some(0));
    assert!(named.exists() && !config(&home).exists());
}

fn findings(done: &Done) -> Vec<Value> {
    let lines = done.lines();
    lines[0]["findings"].as_array().expect("findings are a list").clone()
}

fn of<'a>(findings: &'a [Value], check: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["check"] == check).collect()
}

/// ORCH-CLI-12
#[test]
fn doctor_finds_what_keeps_the_daemon_from_serving_and_says_what_to_do() {
    let home = Home::new();
    home.put("models/broken.gguf", "no model");
    home.put(".config/llama-orch/token", "0123456789abcdef");
    home.put(
        ".config/llama-orch/llama-orch.yaml",
        "listen: 127.0.0.1:1\npools:\n- {id: gone, model: ~/models/gone.gguf}\n- {id: broken, model: ~/models/broken.gguf}\n\
         - {id: other, model: ~/models/broken.gguf, server: {command: [no-such-server, '{port}']}}\n\
         - {id: far, model: m, engine: vllm, server: {url: 'http://127.0.0.1:1'}}\n",
    );
    let done = run(home.program(&["doctor", "--json"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.lines()[0]["ok"], false);
    let findings = findings(&done);
    let statuses = |check| of(&findings, check).iter().map(|one| one["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses("config"), ["ok"]);
    assert_eq!(statuses("token"), ["warn"], "others can read it");
    assert_eq!(statuses("model"), ["fail", "fail", "fail"]);
    assert_eq!(statuses("engine"), ["fail", "warn"]);
    assert_eq!(statuses("daemon"), ["fail"]);
    assert!(!of(&findings, "device").is_empty() && !of(&findings, "disk").is_empty());
    for finding in &findings {
        assert_eq!(finding["hint"].is_string(), finding["status"] != "ok", "{finding}");
    }
}

/// ORCH-CLI-12
#[test]
fn doctor_says_where_the_configuration_is_wrong() {
    let home = Home::new();
    home.put(".config/llama-orch/llama-orch.yaml", "lisen: 127.0.0.1:7000\n");
    let done = run(home.program(&["doctor"]));
    assert_eq!(done.code, Some(1));
    assert!(
        done.out.contains("llama-orch.yaml:1:1: ") && done.out.contains("did you mean `listen`?"),
        "{done:?}"
    );
}

/// ORCH-CLI-12
#[test]
fn doctor_looks_at_a_daemon_that_serves() {
    let home = Home::new();
    let health = READY.replace("VERSION", env!("CARGO_PKG_VERSION"));
    let daemon = Daemon::with(vec![Exchange::json("200 OK", "", &health)]);
    let mut command = home.program(&["doctor"]);
    command.env("LLAMA_ORCH_URL", daemon.url()).env("LLAMA_ORCH_TOKEN", crate::program::TOKEN);
    let done = run(command);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("token   from LLAMA_ORCH_TOKEN"), "{done:?}");
    assert!(done.out.contains("pool    starter: ready, 1 of 1 replica ready"), "{done:?}");
    drop(daemon.requests());
}

#[test]
fn doctor_tells_a_port_that_another_program_has() {
    let home = Home::new();
    let other = Daemon::with(vec![Exchange::raw("SSH-2.0-other\r\n\r\n")]);
    let address = other.url().replace("http://", "");
    home.put(".config/llama-orch/llama-orch.yaml", &format!("listen: {address}\n"));
    let done = run(home.program(&["doctor", "--json"]));
    let findings = findings(&done);
    assert_eq!(done.code, Some(1));
    assert_eq!(of(&findings, "daemon")[0]["status"], "fail");
    drop(other.requests());
}

/// ORCH-CLI-12
#[test]
fn doctor_tells_a_port_for_clients_of_ollama_that_another_program_has() {
    let home = Home::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let config = format!("listen: 127.0.0.1:1\nollama: {{listen: '{address}'}}\n");
    home.put(".config/llama-orch/llama-orch.yaml", &config);
    let findings = findings(&run(home.program(&["doctor", "--json"])));
    let ports = of(&findings, "port");
    assert!(
        ports.iter().any(|one| one["message"].as_str().unwrap().contains(&address.to_string())),
        "{ports:?}"
    );
    assert!(ports.iter().any(|one| one["hint"].as_str().unwrap().contains("`ollama.listen`")), "{ports:?}");
}

fn log(home: &Home) -> PathBuf {
    home.put(".config/llama-orch/llama-orch.yaml", "log: {file: ~/daemon.log}\n");
    home.put("daemon.log", "one\ntwo\nthree\n")
}

/// ORCH-CLI-13
#[test]
fn logs_shows_the_end_of_the_file_that_the_daemon_writes() {
    let home = Home::new();
    log(&home);
    assert_eq!(run(home.program(&["logs", "-n", "2"])).out, "two\nthree\n");
    let json = run(home.program(&["logs", "-n", "1", "--json"]));
    assert_eq!(json.lines(), [json!({ "line": "three" })]);
}

/// ORCH-CLI-13
#[test]
fn logs_follows_the_file_over_a_rotation() {
    let home = Home::new();
    let path = log(&home);
    let mut child = home.program(&["logs", "--follow", "-n", "1"]).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    assert_eq!(read_until(&mut out, "\n"), "three\n");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"fo").unwrap();
    file.write_all(b"ur\n").unwrap();
    assert_eq!(read_until(&mut out, "\n"), "four\n");
    std::fs::rename(&path, home.path("daemon.log.1")).unwrap();
    std::fs::write(&path, "five\n").unwrap();
    assert_eq!(read_until(&mut out, "\n"), "five\n");
    signal(child.id(), rustix::process::Signal::INT);
    finish(child);
}

/// A folder with programs that stand in for systemd's.
fn systemd(home: &Home, unit_of: &str) -> PathBuf {
    let scripts = [
        (
            "systemctl",
            format!(
                "#!/bin/sh\ncase \"$*\" in {unit_of}*) echo LoadState=loaded; echo ActiveState=active;; esac\n"
            ),
        ),
        ("journalctl", "#!/bin/sh\necho \"journalctl $*\"\n".to_owned()),
    ];
    for (name, script) in scripts {
        let path = home.put(&format!("bin/{name}"), &script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
            .expect("the folder is the test's own");
    }
    home.path("bin")
}

/// ORCH-CLI-13
#[test]
fn logs_shows_the_journal_of_the_unit_whose_ever_it_is() {
    for scope in ["--user", "--system"] {
        let home = Home::new();
        let mut command = home.program(&["logs", "-f", "-n", "9"]);
        command.env("PATH", systemd(&home, scope));
        let expected = format!("journalctl {scope} --unit llama-orch.service --lines 9 --follow\n");
        assert_eq!(run(command).out, expected);
    }
}

/// ORCH-CLI-13
#[test]
fn logs_asks_the_daemon_that_logs_to_a_terminal_and_goes_on_where_it_was() {
    let page = |first: u64, lines: &[&str]| {
        Exchange::json("200 OK", "", &json!({ "first": first, "lines": lines }).to_string())
    };
    let home = Home::new();
    let daemon = Daemon::with(vec![page(7, &["seven", "eight"]), page(9, &[]), page(11, &["eleven"])]);
    let mut command = home.program(&["logs", "-f", "-n", "2", "--url", &daemon.url()]);
    command.env("PATH", systemd(&home, "nobody"));
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    assert_eq!(read_until(&mut out, "eleven\n"), "seven\neight\neleven\n");
    signal(child.id(), rustix::process::Signal::INT);
    let done = finish(child);
    assert!(done.err.contains("2 lines came too fast to be shown"), "{done:?}");
    let asked: Vec<String> = daemon.requests().iter().map(|one| one.path.clone()).collect();
    assert_eq!(asked, ["/v1/log?lines=2", "/v1/log?from=9&lines=2000", "/v1/log?from=9&lines=2000"]);
}

#[test]
fn logs_says_where_they_are_when_it_cannot_show_them() {
    let home = Home::new();
    let mut command = home.program(&["logs", "--url", "http://127.0.0.1:1"]);
    command.env("PATH", systemd(&home, "nobody"));
    let done = run(command);
    assert_eq!((done.code, done.out.as_str()), (Some(5), ""));
    assert!(done.err.contains("log.file") && done.err.contains("docker logs"), "{done:?}");
    let absent = Home::new();
    absent.put(".config/llama-orch/llama-orch.yaml", "log: {file: ~/daemon.log}\n");
    let done = run(absent.program(&["logs"]));
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("daemon.log` cannot be read"), "{done:?}");
}
