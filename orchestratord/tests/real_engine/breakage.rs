use std::time::Duration;

use harness::executable::model;
use harness::processes::{is_alive, signal};
use harness::tasks::{endless, prompt};
use harness::{Daemon, LIMIT, Setup, read};
use openapi_client::types::{ErrorCode, FinishReason, HealthStatus};
use openapi_client::{Event, Failure};

pub async fn after_some_tokens(daemon: &Daemon, task: uuid::Uuid) -> openapi_client::Events {
    let mut events = daemon.events(task, None).await;
    while !matches!(events.next().await.unwrap().unwrap(), Event::Token(_)) {}
    events
}

/// ORCH-SHAPE-1, ORCH-REPL-8
#[tokio::test]
async fn a_killed_worker_costs_its_task_and_not_the_service() {
    let daemon = Daemon::open(&["worker.restart.min_ms=100"]).await;
    let task = daemon.submit(&endless(2000)).await.unwrap().task_id;
    let events = after_some_tokens(&daemon, task).await;
    let workers = daemon.workers();
    assert_eq!(workers.len(), 1);
    signal(workers[0], "KILL");
    drop(events);
    let answer = daemon.read(task, None).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Error);
    assert_eq!(answer.end.error.unwrap().code, ErrorCode::WorkerReset);
    daemon.ready().await;
    let next = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(next.end.finish_reason, FinishReason::Length);
    assert_ne!(daemon.workers(), workers);
}

/// ORCH-SHAPE-2
#[tokio::test]
async fn a_worker_does_not_outlive_a_killed_daemon() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let task = daemon.submit(&endless(2000)).await.unwrap().task_id;
    let _events = after_some_tokens(&daemon, task).await;
    let workers = daemon.workers();
    assert_eq!(workers.len(), 1);
    daemon.signal("KILL");
    daemon.ended().await;
    let gone = async {
        while is_alive(workers[0]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("the worker ends by itself");
}

/// ORCH-STOP-2, ORCH-STOP-3
#[tokio::test]
async fn a_stop_gives_every_open_stream_its_end_and_leaves_no_process() {
    let daemon = Daemon::open(&["shutdown.grace_s=1", "pools[0].slots=1"]).await;
    let running = daemon.submit(&endless(4000)).await.unwrap().task_id;
    let waiting = daemon.submit(&prompt("never read", 8)).await.unwrap().task_id;
    let mut running = after_some_tokens(&daemon, running).await;
    let waiting = daemon.events(waiting, None).await;
    let workers = daemon.workers();
    daemon.signal("TERM");
    let waiting = read(waiting, None).await;
    assert_eq!(waiting.end.error.unwrap().code, ErrorCode::PoolUnavailable);
    let end = loop {
        match running.next().await.expect("the end comes").unwrap() {
            Event::Started(_) | Event::Token(_) => {}
            Event::End(end) => break end,
        }
    };
    assert_eq!(end.error.unwrap().code, ErrorCode::PoolUnavailable);
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert!(workers.iter().all(|worker| !is_alive(*worker)));
}

/// ORCH-STOP-3
#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let daemon = Daemon::open(&["shutdown.grace_s=600"]).await;
    let task = daemon.submit(&endless(4000)).await.unwrap().task_id;
    let _events = after_some_tokens(&daemon, task).await;
    daemon.signal("INT");
    daemon.logged("a second signal ends at once").await;
    daemon.signal("INT");
    assert_eq!(daemon.ended().await.code(), Some(130));
}

/// A daemon whose model is this file.
fn with_model(path: &str) -> Setup {
    Setup { model: Some(format!("file:{path}")), ..Setup::default() }
}

/// ORCH-SHAPE-1, ORCH-MODEL-4
#[tokio::test]
async fn a_broken_model_is_a_clear_state_and_the_daemon_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(model()).unwrap();
    let cases: [(&str, Vec<u8>); 3] = [
        ("text.gguf", b"this is no model".to_vec()),
        ("truncated.gguf", bytes[..bytes.len() / 2].to_vec()),
        ("head.gguf", bytes[..64].to_vec()),
    ];
    for (name, content) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let daemon = Daemon::start(&with_model(&path.display().to_string())).await;
        let health = daemon.until("unavailable", |health| health.status == HealthStatus::Unavailable).await;
        let reason = health.pools.unwrap()[0].replicas[0].reason.clone().unwrap_or_default();
        assert!(reason.contains(name), "the reason names the file: {reason}");
        let Err(Failure::Refused(refusal)) = daemon.submit(&prompt("hi", 1)).await else {
            panic!("no engine")
        };
        assert_eq!((refusal.status.as_u16(), refusal.envelope.code), (503, ErrorCode::PoolUnavailable));
        assert!(refusal.retry_after.is_some_and(|wait| (1..=60).contains(&wait.as_secs())));
    }
}

/// ORCH-MODEL-4
#[tokio::test]
async fn a_missing_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.gguf");
    std::fs::write(&empty, "").unwrap();
    let cases = [
        (std::path::PathBuf::from("/no/such/model.gguf"), "there is no file"),
        (empty, "it is empty"),
        (folder.path().to_owned(), "it is a folder"),
    ];
    for (path, words) in cases {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let path = path.display().to_string();
        let daemon = Daemon::start(&with_model(&path)).await;
        daemon.until("unavailable", |health| health.status == HealthStatus::Unavailable).await;
        let Err(Failure::Refused(refusal)) = daemon.submit(&prompt("hi", 1)).await else {
            panic!("no engine")
        };
        let message = refusal.envelope.message;
        assert!(message.contains(&name) && message.contains(words), "{message}");
        assert!(!message.contains(&path), "its folders are for the log alone: {message}");
        daemon.logged(&path).await;
    }
}
