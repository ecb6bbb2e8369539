//! Every documented answer is provoked, and nothing else is ever answered.

use engine_mock::Phase;
use orchestratord::tasks::spawn;
use serde_json::{Value, json};

use super::{ask, chat, generate, get, lines};
use crate::Audit;
use crate::test_daemon::{BODY_BYTES, BrokenDaemon, LANE_BOUND, MockOptions, TestDaemon};
use crate::wire::{self, Ask};

const GETS: [&str; 4] = ["/", "/api/version", "/api/tags", "/api/ps"];
const POSTS: [&str; 6] =
    ["/api/show", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/pull"];

/// What becomes a task.
fn answers() -> [Ask; 4] {
    [
        chat("one", &json!({"stream": false})),
        generate("one", &json!({"stream": false})),
        ask("/api/embed", &json!({"model": "starter", "input": "one"})),
        ask("/api/embeddings", &json!({"model": "starter", "prompt": "one"})),
    ]
}

fn unserved() -> [Ask; 5] {
    let none = |method: &str, path: &str| Ask::new(method, path).without("Authorization");
    [
        none("DELETE", "/api/delete"),
        none("POST", "/api/copy"),
        none("POST", "/api/create"),
        none("POST", "/api/push"),
        none("POST", "/api/blobs/sha256:0"),
    ]
}

/// ORCH-OLLAMA-9
#[tokio::test]
async fn the_plane_answers_as_its_contract_says_and_in_no_other_way() {
    let audit = Audit::of_ollama();
    let daemon = TestDaemon::new().await;
    for example in audit.contract.examples() {
        assert!(example.faults.is_empty(), "{example:?}");
        audit.expect(200, daemon.ollama, ask(&example.path, &example.body)).await;
    }
    of_callers(&audit, &daemon).await;
    of_the_token(&audit).await;
    of_a_pool_that_is_not_ready(&audit).await;
    of_a_full_house(&audit).await;
    of_a_failure(&audit).await;
    let broken = BrokenDaemon::new();
    for ask in answers() {
        audit.expect(500, broken.ollama, ask).await;
    }
    let seen = audit.seen.lock().unwrap().clone();
    let missing: Vec<_> = audit.contract.documented().difference(&seen).cloned().collect();
    assert!(missing.is_empty(), "documented and never answered: {missing:#?}");
}

async fn of_callers(audit: &Audit, daemon: &TestDaemon) {
    let at = daemon.ollama;
    let page = |ask: Ask| ask.header("Origin", "http://example.org");
    for path in GETS {
        audit.expect(200, at, get(path)).await;
        audit.expect(200, at, Ask::new("HEAD", path).without("Authorization")).await;
        audit.expect(403, at, page(get(path))).await;
        audit.expect(405, at, ask(path, &json!({}))).await;
    }
    for path in POSTS {
        audit.expect(403, at, page(ask(path, &json!({})))).await;
        audit.expect(400, at, ask(path, &json!([]))).await;
        audit.expect(400, at, ask(path, &json!({"model": 7}))).await;
        let large = Ask::post(path).header("Content-Length", &(BODY_BYTES + 1).to_string()).raw_body(b"");
        audit.expect(413, at, large).await;
        let wrong = audit.expect(405, at, get(path)).await;
        assert_eq!(wrong.header("allow"), Some("POST"));
    }
    for path in ["/api/show", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"] {
        audit.expect(404, at, ask(path, &json!({"model": "nobody"}))).await;
    }
    for ask in unserved() {
        audit.expect(403, at, page(ask.clone())).await;
        audit.expect(501, at, ask).await;
    }
    let served = audit.expect(200, at, ask("/api/pull", &json!({"name": "p"}))).await;
    assert_eq!(lines(&served), [json!({"status": "success"})]);
}

async fn of_the_token(audit: &Audit) {
    let daemon = TestDaemon::with(MockOptions { ollama_needs_token: true, ..MockOptions::default() });
    for path in &GETS[1..] {
        audit.expect(401, daemon.ollama, get(path)).await;
    }
    for path in POSTS {
        audit.expect(401, daemon.ollama, ask(path, &json!({}))).await;
    }
    for ask in unserved() {
        audit.expect(401, daemon.ollama, ask).await;
    }
}

async fn of_a_pool_that_is_not_ready(audit: &Audit) {
    let mut daemon = TestDaemon::empty();
    for ask in answers() {
        let refused = audit.expect(503, daemon.ollama, ask).await;
        assert!(refused.header("retry-after").is_some());
    }
    daemon.lose_driver().await;
    for path in ["/api/tags", "/api/ps"] {
        audit.expect(503, daemon.ollama, get(path)).await;
    }
    for path in ["/api/show", "/api/pull"] {
        audit.expect(503, daemon.ollama, ask(path, &json!({"model": "p"}))).await;
    }
}

/// ORCH-OLLAMA-4: a full queue is 503, as Ollama has it, with the wait.
async fn of_a_full_house(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    daemon.control.hold(Phase::Decode);
    for _ in 0..=LANE_BOUND {
        wire::send(daemon.address, &Ask::task(&json!({"prompt": "one two"}))).await;
    }
    for ask in answers() {
        let refused = audit.expect(503, daemon.ollama, ask).await;
        assert!(refused.header("retry-after").is_some());
        assert!(refused.json()["error"].as_str().unwrap().contains("is full"));
    }
}

/// The engine dies under an answer: a status where nothing has been said yet, a line where a stream runs.
async fn of_a_failure(audit: &Audit) {
    for stream in [false, true] {
        let daemon = TestDaemon::new().await;
        daemon.control.hold(Phase::Decode);
        let status = if stream { 200 } else { 503 };
        let asked = spawn({
            let (audit, at) = (audit.clone(), daemon.ollama);
            async move { audit.expect(status, at, chat("one two", &json!({"stream": stream}))).await }
        });
        daemon.crash_after_a_token().await;
        let answer = asked.await.unwrap();
        let error: Value = if stream { lines(&answer).pop().unwrap() } else { answer.json() };
        assert!(error["error"].as_str().unwrap().contains("the engine died"), "{error}");
    }
}
