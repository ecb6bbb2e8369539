//! A pool of several attached servers, with the daemon as it is started: its queue, its pool, its adapters, over real
//! sockets.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "support/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config_schema::LoadRequest;
use engine_http::testing::{FakeServer, Reply, Request, chunked, json, sse};
use model_store::{Env, Store};
use orchestratord::auth::ApiToken;
use orchestratord::daemon::{Daemon, Parts};
use orchestratord::engine::{self, Offload};
use orchestratord::server;
use pool_manager::devices::NoDevices;
use serde_json::{Value, json};
use wire::{Ask, TOKEN, send};

/// What anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A comment of a stream, as a chunk.
const COMMENT: &[u8] = b"8\r\n: ping\n\n\r\n";

/// A server of one model that answers everything with `word`.
fn server(word: &'static str) -> FakeServer {
    server_that_falls_ill(word, Arc::default(), || unreachable!("it does not"))
}

/// As [`server`]. While it is `ill`, its streams are `instead`.
fn server_that_falls_ill(
    word: &'static str,
    ill: Arc<AtomicBool>,
    instead: impl Fn() -> Reply + Send + Sync + 'static,
) -> FakeServer {
    FakeServer::start(move |request: &Request| {
        let streams = request.line == "POST /v1/completions" && request.json()["stream"] == true;
        if streams && ill.load(Ordering::SeqCst) {
            return Some(instead());
        }
        Some(Reply::closing(match request.line.as_str() {
            "GET /v1/models" => json(200, r#"{"data":[{"id":"m","owned_by":"vllm","max_model_len":4096}]}"#),
            "GET /health" => json(200, ""),
            "POST /v1/completions" | "POST /v1/chat/completions" if request.json()["stream"] == true => {
                let text = format!(r#"{{"choices":[{{"index":0,"text":"{word}","finish_reason":null}}]}}"#);
                let end = r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#;
                [sse(&[text.as_str(), end, "[DONE]"]), chunked(b"")].concat()
            }
            "POST /v1/completions" => json(200, r#"{"choices":[{"text":"a"}]}"#),
            _ => json(404, "{}"),
        }))
    })
}

fn start(urls: &[String]) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("llama-orch.yaml");
    let pool = json!({"id": "p", "engine": "vllm", "model": "m", "slots": 1, "server": {"url": urls}});
    std::fs::write(
        &file,
        json!({"listen": "127.0.0.1:0", "worker": {"hang_after_s": 1.0}, "pools": [pool]}).to_string(),
    )
    .unwrap();
    let request =
        LoadRequest { explicit: Some(file), cwd: folder.path().to_owned(), ..LoadRequest::default() };
    let config = config_schema::load(&request).unwrap().config;
    let parts = Parts {
        ollama: None,
        listener: server::bind(config.access.listen).unwrap(),
        token: ApiToken::new(TOKEN),
        engines: engine::built_in().unwrap(),
        build: engine::build(),
        offload: Offload::None,
        probe: Box::new(NoDevices),
        store: Store::new(folder.path().to_owned(), Env::default()),
        log: Arc::default(),
    };
    Daemon::start(&config, parts).unwrap()
}

/// The states of the pool's replicas, once `wanted` of them are ready.
async fn until_ready(at: SocketAddr, wanted: usize) {
    let ready = async {
        loop {
            let health = send(at, &Ask::get("/health")).await.json();
            let replicas = health["pools"][0]["replicas"].as_array().cloned().unwrap_or_default();
            if replicas.iter().filter(|replica| replica["state"] == "ready").count() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, ready).await.unwrap_or_else(|_| panic!("{wanted} replicas are never ready"));
}

async fn complete(at: SocketAddr) -> (u16, Value) {
    let asked = json!({"model": "p", "prompt": "hi", "max_tokens": 4});
    let answer = send(at, &Ask::post("/v1/completions").json(&asked)).await;
    (answer.status, answer.json()["choices"][0]["text"].clone())
}

/// ORCH-ENG-25
#[tokio::test]
async fn of_two_servers_one_goes_down_and_tasks_go_on_at_the_other() {
    let (stays, goes) = (server("stays"), server("goes"));
    let daemon = start(&[&stays, &goes].map(|server| server.address().to_string()));
    let at = daemon.address();
    until_ready(at, 2).await;
    let mut together = tokio::task::JoinSet::new();
    (0..8).for_each(|_| drop(together.spawn(complete(at))));
    let answers = together.join_all().await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    drop(goes);
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(complete(at).await);
    }
    assert!(answers.iter().all(|answer| *answer == (200, json!("stays"))), "{answers:?}");
    let _ = daemon.stop(Duration::ZERO, std::future::pending()).await;
}

/// ORCH-REPL-9, ORCH-ENG-22
#[tokio::test]
async fn a_server_that_sends_comments_and_no_tokens_hangs_and_its_task_is_answered_by_another() {
    let hangs = Arc::new(AtomicBool::new(false));
    let comments = || Reply::repeating(sse(&[]), COMMENT);
    let (well, ill) = (server("well"), server_that_falls_ill("ill", Arc::clone(&hangs), comments));
    let daemon = start(&[&well, &ill].map(|server| server.address().to_string()));
    let at = daemon.address();
    until_ready(at, 2).await;
    hangs.store(true, Ordering::SeqCst);
    let before = ill.seen().len();
    let mut together = tokio::task::JoinSet::new();
    (0..2).for_each(|_| drop(together.spawn(complete(at))));
    let answers = tokio::time::timeout(LIMIT, together.join_all()).await.expect("the hang is found");
    assert!(answers.iter().all(|answer| *answer == (200, json!("well"))), "{answers:?}");
    assert!(ill.seen()[before..].iter().any(|request| request.line == "POST /v1/completions"));
    let _ = daemon.stop(Duration::ZERO, std::future::pending()).await;
}

/// ORCH-ERR-7
#[tokio::test]
async fn what_an_adapter_logs_of_a_task_names_the_task() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(file.reopen().unwrap());
    let log = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let _log = tracing::subscriber::set_default(log);
    let breaks_off = Arc::new(AtomicBool::new(false));
    let token = r#"{"choices":[{"index":0,"text":"a","finish_reason":null}]}"#;
    let server = server_that_falls_ill("a", Arc::clone(&breaks_off), || Reply::closing(sse(&[token])));
    let daemon = start(&[server.address().to_string()]);
    until_ready(daemon.address(), 1).await;
    breaks_off.store(true, Ordering::SeqCst);
    assert_eq!(complete(daemon.address()).await.0, 503, "`WORKER_RESET`");
    let _ = daemon.stop(Duration::ZERO, std::future::pending()).await;
    let lines = std::fs::read_to_string(file.path()).unwrap();
    let line = lines.lines().find(|line| line.contains("a task failed at its engine")).expect(&lines);
    assert!(line.contains("task{task_id="), "{line}");
}
