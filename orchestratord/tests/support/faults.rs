//! Requests at fault, and requests that nobody should send.

use std::net::SocketAddr;

use serde_json::json;

use super::audit::{Audit, SOME_ID, prompt, task};
use super::test_daemon::BODY_BYTES;
use super::wire::{self, Ask, TOKEN};

/// Requests that the daemon must refuse, on every path.
pub async fn requests_at_fault(audit: &Audit, at: SocketAddr) {
    let tasks = || Ask::task(&prompt());
    let by_path: [&dyn Fn() -> Ask; 16] = [
        &tasks,
        &|| Ask::get("/v1/tasks"),
        &|| Ask::get(&format!("/v1/tasks/{SOME_ID}")),
        &|| Ask::get(&task("stream", SOME_ID)),
        &|| Ask::post(&task("cancel", SOME_ID)),
        &|| Ask::get(&format!("/v1/sessions/{SOME_ID}")),
        &|| Ask::new("DELETE", &format!("/v1/sessions/{SOME_ID}")),
        &|| Ask::get("/metrics"),
        &|| Ask::get("/v1/figures"),
        &|| Ask::get("/v1/log"),
        &|| Ask::get("/v1/store"),
        &|| Ask::post("/v1/store/fetches"),
        &|| Ask::post("/v1/store/fit"),
        &|| Ask::new("DELETE", "/v1/store/fetches/7"),
        &|| Ask::post("/v1/pools/p/reload"),
        &|| Ask::post("/v1/models/p/state"),
    ];
    for ask in by_path {
        let nothing = audit.expect(401, at, ask().without("Authorization")).await;
        assert!(!nothing.text().contains(TOKEN));
        let wrong = ask().without("Authorization").header("Authorization", "Bearer wrong");
        audit.expect(401, at, wrong).await;
        let right = ask().without("Authorization").header("X-Api-Key", TOKEN);
        assert_ne!(audit.send(at, right).await.status, 401);
        audit.expect(403, at, ask().header("Origin", "https://evil.example")).await;
        let rebound = ask().without("Host").header("Host", "evil.example:6173").without("Authorization");
        audit.expect(403, at, rebound).await;
    }
    audit.expect(403, at, Ask::get("/health").without("Host").header("Host", "evil.example")).await;
    for path in ["/v1/sessions/42", "/v1/sessions/%ff"] {
        audit.expect(400, at, Ask::get(path)).await;
        audit.expect(400, at, Ask::new("DELETE", path)).await;
    }
    audit.expect(400, at, Ask::get(&task("stream", "42"))).await;
    for (query, named) in
        [("limit=0", "`limit`"), ("limit=1001", "1000"), ("limit=x", "`limit`"), ("state=x", "state")]
    {
        let refused = audit.expect(400, at, Ask::get(&format!("/v1/tasks?{query}"))).await;
        assert!(refused.json()["message"].as_str().unwrap().contains(named), "{refused:?}");
    }
    for (query, named) in
        [("lines=0", "`lines`"), ("lines=2001", "2000"), ("from=-1", "`from`"), ("x=1", "`from`")]
    {
        let refused = audit.expect(400, at, Ask::get(&format!("/v1/log?{query}"))).await;
        assert!(refused.json()["message"].as_str().unwrap().contains(named), "{refused:?}");
    }
    audit.expect(400, at, Ask::get("/v1/tasks/42")).await;
    audit.expect(404, at, Ask::get(&format!("/v1/tasks/{SOME_ID}"))).await;
    audit.expect(400, at, Ask::post(&task("cancel", "42"))).await;
    audit.expect(404, at, Ask::get(&task("stream", SOME_ID))).await;
    audit.expect(404, at, Ask::post(&task("cancel", SOME_ID))).await;
    for last in ["-1", "1.5", "one", "18446744073709551616", "0x1"] {
        let ask = Ask::get(&task("stream", SOME_ID)).header("Last-Event-ID", last);
        let message = audit.expect(400, at, ask).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains("`Last-Event-ID`"), "{message}");
    }
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"[]",
        b"\"prompt\"",
        b"{\"prompt\":",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"{\"prompt\": \"\xc3\"}",
    ];
    for body in bodies {
        audit.expect(400, at, Ask::post("/v1/tasks").bytes(body)).await;
    }
    for (field, value) in [
        ("prompt", json!("")),
        ("prompt", json!("a\0b")),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(5000)),
        ("max_tokens", json!(-1)),
        ("ctx", json!(1_000_000)),
        ("messages", json!([])),
        ("inputs", json!(["x"])),
        ("task_id", json!("x")),
        ("engine", json!("vllm")),
        ("model_ref", json!("another")),
        ("workload", json!("rerank")),
        ("sampler_profile_version", json!("wild")),
        ("nonsense", json!(1)),
    ] {
        let mut body = prompt();
        body[field] = value;
        let message = audit.expect(400, at, Ask::task(&body)).await.json()["message"].clone();
        assert!(message.as_str().unwrap().contains(field), "{body} is refused with {message}");
    }
    let rerank = json!({"workload": "rerank", "inputs": ["q", "d"]});
    let message = audit.expect(400, at, Ask::task(&rerank)).await.json()["message"].clone();
    assert!(message.as_str().unwrap().contains("rerank"), "{message}");
    let large = usize::try_from(BODY_BYTES).unwrap() + 1;
    audit.expect(413, at, Ask::post("/v1/tasks").bytes(&vec![b' '; large])).await;
    for path in ["/v1/store/fetches", "/v1/store/fit"] {
        audit.expect(413, at, Ask::post(path).bytes(&vec![b' '; large])).await;
    }
    audit.expect(413, at, Ask::post("/v1/tasks").bytes(&vec![b' '; 20 * 1024 * 1024])).await;
}

/// Requests that nobody should send and somebody does. What counts is only that the answer is documented.
pub async fn odd_requests(audit: &Audit, at: SocketAddr) {
    for path in ["/v1", "/v1/", "/v1/tasks/", "//v1/tasks", "/v1/pools", "/health/", "/../health"] {
        audit.expect(404, at, Ask::get(path)).await;
        audit.expect(404, at, Ask::post(path)).await;
        audit.expect(401, at, Ask::get(path).without("Authorization")).await;
    }
    let long = format!("/{}", "x".repeat(8000));
    assert!(audit.expect(404, at, Ask::get(&long)).await.text().len() < 500);
    for (path, allow) in [
        ("/v1/tasks", "GET, HEAD, POST"),
        ("/v1/tasks/x", "GET, HEAD"),
        ("/v1/tasks/x/stream", "GET, HEAD"),
        ("/v1/tasks/x/cancel", "POST"),
        ("/v1/sessions/x", "GET, HEAD, DELETE"),
        ("/v1/pools/x/reload", "POST"),
        ("/v1/models/x/state", "POST"),
        ("/health", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/v1/figures", "GET, HEAD"),
        ("/v1/log", "GET, HEAD"),
        ("/v1/store", "GET, HEAD"),
        ("/v1/store/fetches", "POST"),
        ("/v1/store/fit", "POST"),
        ("/v1/store/fetches/7", "DELETE"),
    ] {
        for method in ["PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "post"] {
            let answer = audit.expect(405, at, Ask::new(method, path)).await;
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    for path in ["/health", "/metrics", "/v1/tasks", "/none", &task("stream", SOME_ID)] {
        audit.send(at, Ask::new("HEAD", path)).await;
    }
    for ask in [
        Ask::get("/health?verbose=1&x=%00"),
        Ask::get("/health").version("HTTP/1.0").without("Host"),
        Ask::get("/metrics").header("Accept", "application/json"),
        Ask::get("/metrics").header("Accept-Encoding", "gzip"),
        Ask::get("/metrics").header("If-None-Match", "*").header("Range", "bytes=0-3"),
        Ask::get("/health").body("a body that nobody asked for"),
        Ask::post(&task("cancel", SOME_ID)).body("not json"),
        Ask::task(&prompt()).header("Content-Type", "text/plain"),
        Ask::task(&prompt()).header("Content-Encoding", "gzip"),
        Ask::post("/v1/tasks?prompt=x"),
        Ask::post("/v1/tasks").header("Transfer-Encoding", "chunked").raw_body(b"5\r\n{\"pro\r\n0\r\n\r\n"),
        Ask::post("/v1/tasks").header("Transfer-Encoding", "chunked").raw_body(b"zz\r\nnot a size"),
    ] {
        audit.send(at, ask).await;
    }
    let expecting =
        Ask::post("/v1/tasks").header("Expect", "100-continue").header("Content-Length", "20000000");
    audit.expect(413, at, expecting.raw_body(b"")).await;
    for bytes in [
        &b"nonsense\r\n\r\n"[..],
        b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes(),
    ] {
        let answer = wire::send_bytes(at, bytes).await.expect("what is not HTTP is answered as well");
        assert!(matches!(answer.status, 400 | 431) && answer.body.is_empty(), "{answer:?}");
    }
    let two_hosts = Ask::get("/metrics").header("Host", "localhost");
    let answer = wire::send(at, &two_hosts).await;
    assert_eq!(answer.status, 400);
    audit.contract.is_envelope(&answer).unwrap();
    audit.expect(200, at, Ask::get("/health")).await;
}
