use std::time::Duration;

use harness::executable::model;
use harness::processes::{is_alive, signal};
use harness::stream::read_telling;
use harness::tasks::{endless, prompt};
use harness::{Daemon, LIMIT, Setup, read};
use openapi_client::types::{Determinism, ErrorCode, FinishReason, HealthStatus, TaskRequest};
use openapi_client::{Event, Failure};

pub async fn after_some_tokens(daemon: &Daemon, task: uuid::Uuid) -> openapi_client::Events {
    let mut events = daemon.events(task, None).await;
    while !matches!(events.next().await.unwrap().unwrap(), Event::Token(_)) {}
    events
}

/// A task whose tokens are drawn, and depend on all that is before them.
fn drawn(text: &str, max_tokens: u32) -> TaskRequest {
    let mut task = TaskRequest { seed: Some(7), ..prompt(text, max_tokens) };
    let sampling = task.sampling.get_or_insert_default();
    sampling.temperature = Some(1.1);
    sampling.repeat_penalty = Some(1.1);
    task
}

/// Reads a task whose worker is killed at its token number `at`.
async fn killed_at(daemon: &Daemon, task: &TaskRequest, at: u64) -> harness::Answer {
    let task = daemon.submit(task).await.unwrap().task_id;
    let worker = daemon.workers()[0];
    read_telling(daemon.events(task, None).await, None, |token| {
        if token.i == at {
            signal(worker, "KILL");
        }
    })
    .await
}

/// ORCH-SHAPE-1, ORCH-REPL-18, ORCH-DET-1
#[tokio::test]
async fn a_strict_answer_whose_worker_is_killed_is_the_one_that_an_undisturbed_run_gives() {
    let daemon = Daemon::open(&["worker.restart.min_ms=100"]).await;
    let mut task = drawn("Once upon a time", 60);
    task.determinism = Some(Determinism::Strict);
    let undisturbed = daemon.ask(&task).await;
    for at in [0, 37] {
        let workers = daemon.workers();
        let killed = killed_at(&daemon, &task, at).await;
        assert_eq!(killed.end.error, None, "killed at {at}");
        assert_eq!(killed.tokens, undisturbed.tokens, "killed at {at}");
        assert_eq!(killed.end.tokens_out, undisturbed.end.tokens_out);
        assert_ne!(daemon.workers(), workers);
    }
}

/// ORCH-REPL-18
#[tokio::test]
async fn an_answer_that_a_schema_holds_keeps_to_it_over_the_death_of_its_worker() {
    let daemon = Daemon::open(&["worker.restart.min_ms=100"]).await;
    let mut task = drawn("Some animals and their ages, as JSON:", 200);
    let schema = serde_json::json!({
        "type": "array", "minItems": 4, "maxItems": 4,
        "items": { "type": "object", "required": ["name", "age"], "additionalProperties": false,
            "properties": { "name": { "type": "string", "maxLength": 12 }, "age": { "type": "integer", "maximum": 99 } } },
    });
    task.sampling.get_or_insert_default().json_schema = serde_json::from_value(schema).unwrap();
    for at in [3, 19] {
        let killed = killed_at(&daemon, &task, at).await;
        assert_eq!(killed.end.finish_reason, FinishReason::Stop, "{killed:?}");
        let value: serde_json::Value = serde_json::from_str(&killed.text()).expect("JSON");
        assert_eq!(value.as_array().map(Vec::len), Some(4), "{value}");
    }
}

/// ORCH-REPL-7
#[tokio::test]
async fn a_task_at_two_deaths_ends_and_the_service_goes_on() {
    let daemon = Daemon::open(&["worker.restart.min_ms=100"]).await;
    let task = daemon.submit(&endless(2000)).await.unwrap().task_id;
    let mut killed = Vec::new();
    let answer = read_telling(daemon.events(task, None).await, None, |_| {
        let workers = daemon.workers();
        if let Some(worker) = workers.first().filter(|worker| !killed.contains(*worker)) {
            signal(*worker, "KILL");
            killed.push(*worker);
        }
    })
    .await;
    assert_eq!(killed.len(), 2);
    assert_eq!(answer.end.finish_reason, FinishReason::Error);
    assert_eq!(answer.end.error.unwrap().code, ErrorCode::WorkerReset);
    daemon.ready().await;
    let next = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(next.end.finish_reason, FinishReason::Length);
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
