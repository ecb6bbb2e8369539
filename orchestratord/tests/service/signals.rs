//! What signals do: none of them ends the daemon without an end for its streams.

use std::net::TcpListener;
use std::time::Duration;

use harness::engine::APART;
use harness::{Daemon, Setup};

use super::{POOL, Unit, eventually};

fn logged(unit: &Unit, wanted: &str) -> String {
    let path = unit.path("daemon.log");
    eventually(wanted, || std::fs::read_to_string(&path).ok().filter(|text| text.contains(wanted)))
}

#[test]
fn hup_and_usr1_reopen_a_log_file_that_was_moved_away() {
    let unit = Unit::with(&format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n"));
    unit.address();
    logged(&unit, "listening");
    for signal in ["HUP", "USR1"] {
        let old = unit.path(&format!("daemon.log.{signal}"));
        std::fs::rename(unit.path("daemon.log"), old).unwrap();
        unit.signal(signal);
        let new = logged(&unit, "log file reopened");
        assert!(!new.contains("listening"), "the old lines stay in the old file: {new}");
    }
}

#[test]
fn signals_without_a_request_are_logged_and_end_nothing() {
    let mut unit = Unit::with(&format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n"));
    unit.address();
    for signal in ["USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ", "PIPE"] {
        unit.signal(signal);
    }
    for name in ["USR2", "ALRM", "VTALRM", "PROF", "IO", "XFSZ"] {
        logged(&unit, &format!("signal ignored signal=\"SIG{name}\""));
    }
    unit.signal("TERM");
    assert_eq!(unit.ended().code(), Some(0), "it was still there to stop in order");
}

#[tokio::test]
async fn quit_stops_at_once_and_every_stream_has_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = listener.local_addr().unwrap();
    std::thread::spawn(move || harness::engine::serve(&listener));
    let config = format!(
        "shutdown: {{grace_s: 600}}\npools: [{{id: p, engine: vllm, model: m, slots: 1, server: {{url: 'http://{engine}'}}}}]\n"
    );
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon.ready().await;
    let task = harness::tasks::prompt(APART, 60_000);
    let task = daemon.submit(&task).await.unwrap().task_id;
    let mut events = daemon.events(task, None).await;
    harness::stream::read_tokens(&mut events, 1).await;
    daemon.signal("QUIT");
    let end = harness::stream::read_to_end(&mut events).await;
    assert_eq!(end.error.unwrap().code, openapi_client::types::ErrorCode::PoolUnavailable);
    let ended =
        tokio::time::timeout(Duration::from_secs(60), daemon.ended()).await.expect("long before the grace");
    assert_eq!(ended.code(), Some(130));
}
