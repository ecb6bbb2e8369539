//! Models that are fetched, from hosts of the tests.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{ask, leaving, lines};
use crate::Audit;
use crate::test_daemon::TestDaemon;
use crate::wire::{self, Ask};

/// A host that answers each request with a model, or says nothing at all.
async fn host(model: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    orchestratord::tasks::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(model) = model else {
                silent.push(stream);
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", model.len());
            let _ = stream.write_all(&[head.as_bytes(), model].concat()).await;
        }
    });
    address
}

fn reference(host: SocketAddr, name: &str) -> String {
    format!("http://{host}/{name}-{}.gguf", std::process::id())
}

/// The states of fetches of a model.
async fn states(daemon: &TestDaemon, model: &str) -> Vec<Value> {
    let store = wire::send(daemon.address, &Ask::get("/v1/store")).await.json();
    let fetches = store["fetches"].as_array().unwrap().iter();
    fetches.filter(|fetch| fetch["model_ref"] == model).map(|fetch| fetch["state"].clone()).collect()
}

/// ORCH-OLLAMA-8
#[tokio::test]
async fn a_model_is_fetched_with_its_progress_and_what_to_do_with_it() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let model = reference(host(Some(b"GGUF and what follows")).await, "whole");
    let steps = lines(&audit.expect(200, daemon.ollama, ask("/api/pull", &json!({"model": model}))).await);
    assert_eq!(steps[0]["status"], "pulling manifest");
    let [.., serve, last] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(last["status"], "success", "{steps:?}");
    assert!(serve["status"].as_str().unwrap().contains(&format!("`model: {model}`")), "{serve}");
    assert_eq!(states(&daemon, &model).await, ["done"]);
}

/// ORCH-OLLAMA-8
#[tokio::test]
async fn a_fetch_that_fails_is_told_as_a_line_and_as_a_status() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let model = reference("127.0.0.1:9".parse().unwrap(), "gone");
    let steps = lines(&audit.expect(200, daemon.ollama, ask("/api/pull", &json!({"model": model}))).await);
    assert!(!steps.last().unwrap()["error"].as_str().unwrap().is_empty());
    let whole = ask("/api/pull", &json!({"model": model, "stream": false}));
    audit.expect(503, daemon.ollama, whole).await;
}

/// ORCH-OLLAMA-8
#[tokio::test]
async fn who_leaves_ends_the_fetch() {
    let daemon = TestDaemon::new().await;
    let model = reference(host(None).await, "silent");
    let mut stream = leaving::send(daemon.ollama, "/api/pull", &json!({"model": model})).await;
    leaving::read_until(&mut stream, "pulling manifest").await;
    drop(stream);
    let canceled = async {
        while states(&daemon, &model).await != ["canceled"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(engine_mock::control::UNTIL_LIMIT, canceled).await.unwrap();
}
