//! What the daemon tells systemd, over a real socket: the real executable, started as a unit of `Type=notify` is.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a word of the daemon's may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A daemon without an engine of its own, and what it tells.
struct Unit {
    socket: UnixDatagram,
    daemon: Child,
    _dir: tempfile::TempDir,
}

impl Unit {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let config = dir.path().join("llama-orch.yaml");
        let pool = "{id: far, engine: vllm, model: m, server: {url: 'http://127.0.0.1:1'}}";
        std::fs::write(&config, format!("listen: 127.0.0.1:0\npools: [{pool}]\n")).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_orchestratord"))
            .arg("--config")
            .arg(config)
            .env_clear()
            .env("HOME", dir.path())
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", "200000")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { socket, daemon, _dir: dir }
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

#[test]
fn systemd_is_told_that_the_daemon_is_ready_lives_and_stops() {
    let mut unit = Unit::start();
    let ready = unit.until("READY=1");
    assert!(ready.contains("STATUS=listening on http://127.0.0.1:"), "{ready}");
    for _ in 0..3 {
        let alive = unit.until("WATCHDOG=1");
        assert!(alive.contains("STATUS=0 of 1 pools loaded; 0 running, 0 waiting"), "{alive}");
    }
    let id = unit.daemon.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    unit.until("STOPPING=1");
    assert_eq!(unit.daemon.wait().unwrap().code(), Some(0));
}
