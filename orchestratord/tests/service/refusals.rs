//! What the log tells of requests that are refused, and that the daemon itself tells its last lines.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::signals::logged;
use super::{LIMIT, POOL, Unit};

/// Sends a request and gives the answer.
fn ask(address: &str, request: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// ORCH-ERR-10, ORCH-LOG-1
#[test]
fn a_refused_request_is_logged_with_its_reason_field_and_client_on_every_plane_and_without_what_was_asked() {
    let unit = Unit::with(&format!("pools: [{POOL}]\nlog: {{file: daemon.log}}\n"));
    let address = unit.address();
    let token = std::fs::read_to_string(unit.path(".config/llama-orch/token")).unwrap();
    let headers = format!("Authorization: Bearer {}\r\nUser-Agent: an-agent/1.2\r\n", token.trim());
    let chat = r#"{"model": "m", "messages": "my diary", "max_token": 3}"#;
    for (request, body) in [
        ("POST /v1/chat/completions", chat),
        ("POST /v1/messages", chat),
        ("POST /v1/tasks", r#"{"prompt": "my diary", "max_tokens": 0}"#),
    ] {
        let answer = ask(&address, request, &headers, body);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    ask(&address, "GET /v1/tasks", "Authorization: Bearer my-wrong-token\r\n", "");
    let log = logged(&unit, "status=401");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" refused ")).collect();
    let [chat, message, task, unauthorized] = lines.as_slice() else { panic!("four lines: {log}") };
    for (line, path) in [(chat, "/v1/chat/completions"), (message, "/v1/messages"), (task, "/v1/tasks")] {
        assert!(line.contains(&format!("path=\"{path}\"")) && line.contains("status=400"), "{line}");
        assert!(line.contains("code=\"INVALID_PARAMS\""), "{line}");
        assert!(line.contains("field=\"") && line.contains("reason=\""), "{line}");
        assert!(line.contains("client=\"an-agent/1.2\""), "{line}");
    }
    assert!(unauthorized.contains("client=\"127.0.0.1\""), "{unauthorized}");
    assert!(
        !log.contains("diary") && !log.contains(token.trim()) && !log.contains("my-wrong-token"),
        "{log}"
    );

    let kept = ask(&address, "GET /v1/log?lines=100", &headers, "");
    assert!(kept.contains("listening") && kept.contains("an-agent/1.2"), "{kept}");
}
