//! A client that goes away cancels what it asked for.

use std::net::SocketAddr;

use engine_mock::Phase;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub use crate::leaving::read_until;
use crate::leaving::until_waiting;
use crate::test_daemon::TestDaemon;

/// Sends a request and keeps its connection.
pub async fn send(at: SocketAddr, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// A conversation.
pub fn body(stream: bool) -> Value {
    json!({"model": "starter", "messages": [{"role": "user", "content": "a b c"}], "stream": stream})
}

/// ORCH-OLLAMA-2
#[tokio::test]
async fn who_leaves_while_queued_or_answered_frees_the_place() {
    for stream in [false, true] {
        let daemon = TestDaemon::new().await;
        daemon.control.hold(Phase::Decode);
        let first = send(daemon.ollama, "/api/chat", &body(stream)).await;
        daemon.control.until(|counts| counts.running == 1).await;
        let second = send(daemon.ollama, "/api/chat", &body(stream)).await;
        until_waiting(&daemon, 1).await;
        drop(second);
        until_waiting(&daemon, 0).await;
        drop(first);
        daemon.control.until(|counts| counts.cancels == 1 && counts.running == 0).await;
        assert_eq!(daemon.control.counts().submitted, 1);
    }
}
