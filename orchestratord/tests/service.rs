//! The daemon as a service: what it tells systemd over a real socket, and what signals do to it. The real
//! executable, started as a unit of `Type=notify` is.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[path = "service/refusals.rs"]
mod refusals;
#[path = "service/signals.rs"]
mod signals;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a word of the daemon's may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A pool whose engine is not there.
const POOL: &str = "{id: far, engine: vllm, model: m, server: {url: 'http://127.0.0.1:1'}}";

/// A daemon without an engine of its own, and what it tells.
struct Unit {
    socket: UnixDatagram,
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Unit {
    fn start() -> Self {
        Self::with(&format!("pools: [{POOL}]\n"))
    }

    /// A daemon with this configuration on a free port.
    fn with(config: &str) -> Self {
        Self::after("true", config)
    }

    /// The same, started by a shell after this command.
    fn after(command: &str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        write_config(dir.path(), config);
        let daemon = Command::new("/bin/sh")
            .args(["-c", &format!("{command} && exec \"$0\" --config \"$1\"")])
            .arg(env!("CARGO_BIN_EXE_orchestratord"))
            .arg(dir.path().join("llama-orch.yaml"))
            .env_clear()
            .env("HOME", dir.path())
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", "200000")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { socket, daemon, dir }
    }

    /// Waits until it listens, and gives the address.
    fn address(&self) -> String {
        let ready = self.until("READY=1");
        let (_, url) = ready.split_once("http://").unwrap();
        url.lines().next().unwrap().to_owned()
    }

    /// A file of its home.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes another configuration over the one it was started with.
    fn write_config(&self, config: &str) {
        write_config(self.dir.path(), config);
    }

    fn signal(&self, name: &str) {
        let id = self.daemon.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until it has ended.
    fn ended(&mut self) -> ExitStatus {
        eventually("it ends", || self.daemon.try_wait().unwrap())
    }

    /// Reads messages up to the one in which this line is.
    fn until(&self, line: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no `{line}`: {error}"));
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if message.lines().any(|one| one == line) {
                return message;
            }
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// ORCH-INST-1
#[test]
fn systemd_is_told_that_the_daemon_is_ready_lives_and_stops() {
    let mut unit = Unit::start();
    let ready = unit.until("READY=1");
    assert!(ready.contains("STATUS=listening on http://127.0.0.1:"), "{ready}");
    for _ in 0..3 {
        let alive = unit.until("WATCHDOG=1");
        assert!(alive.contains("STATUS=0 of 1 pools loaded; 0 running, 0 waiting"), "{alive}");
    }
    unit.signal("TERM");
    unit.until("STOPPING=1");
    assert_eq!(unit.ended().code(), Some(0));
}

/// ORCH-INST-9
#[test]
fn the_limit_of_open_files_is_raised_and_one_that_does_not_suffice_is_named() {
    let config = format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n");
    let logged = |unit: &Unit| {
        unit.address();
        let log = || std::fs::read_to_string(unit.path("daemon.log")).ok();
        eventually("the limit is logged", || {
            log()?.lines().find(|line| line.contains("open_files=")).map(str::to_owned)
        })
    };
    let raised = Unit::after("ulimit -Sn 300 && ulimit -Hn 5000", &config);
    let line = logged(&raised);
    assert!(line.contains(" INFO limit of open files open_files=5000 connections=4096"), "{line}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", raised.daemon.id())).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(limit.split_whitespace().nth(3) == Some("5000"), "{limit}");

    let line = logged(&Unit::after("ulimit -n 300", &config));
    assert!(line.contains(" WARN ") && line.contains("lower `limits.connections` to 44"), "{line}");
}

fn write_config(dir: &Path, config: &str) {
    std::fs::write(dir.join("llama-orch.yaml"), format!("listen: 127.0.0.1:0\n{config}")).unwrap();
}

/// Asks until there is an answer, up to [`LIMIT`].
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LIMIT.as_millis() / 10 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}
