//! Sends requests, holds every answer to the contract, and remembers what was provoked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::contract::{self, Contract};
use super::test_daemon::TestDaemon;
use super::wire::{self, Answer, Ask, TOKEN};

/// The id of nothing.
pub const SOME_ID: &str = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";

/// Judges every answer, and remembers what was provoked.
#[derive(Clone)]
pub struct Audit {
    pub contract: Arc<Contract>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
pub struct Seen {
    pub answers: BTreeSet<(String, String, u16)>,
    pub headers: BTreeSet<(u16, String)>,
    pub finish_reasons: BTreeSet<String>,
    pub codes: BTreeSet<String>,
    pub statuses: BTreeSet<String>,
}

impl Audit {
    pub fn new() -> Self {
        Self { contract: Arc::new(Contract::load()), seen: Arc::default() }
    }

    /// What was provoked so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Sends, judges, and remembers.
    pub async fn send(&self, address: SocketAddr, ask: Ask) -> Answer {
        let answer = wire::send(address, &ask).await;
        match self.contract.judge(&ask, &answer) {
            Ok(known) => self.remember(known, &answer),
            Err(error) => panic!("{} {}: {error}\n{answer:?}", ask.method, ask.path),
        }
        answer
    }

    /// As [`Self::send`], with the status that is expected.
    pub async fn expect(&self, status: u16, address: SocketAddr, ask: Ask) -> Answer {
        let what = format!("{} {}", ask.method, ask.path);
        let answer = self.send(address, ask).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        answer
    }

    fn remember(&self, known: Option<(String, String, u16)>, answer: &Answer) {
        let mut seen = self.seen();
        seen.answers.extend(known);
        seen.headers.extend(answer.headers.iter().map(|(name, _)| (answer.status, name.clone())));
        if answer.header("content-type") == Some("application/json") && !answer.body.is_empty() {
            let body = answer.json();
            seen.codes.extend(body["code"].as_str().map(str::to_owned));
            seen.statuses.extend(body["status"].as_str().map(str::to_owned));
        }
        if answer.header("content-type") == Some("text/event-stream") && !answer.body.is_empty() {
            let end = contract::events(answer.text()).unwrap().pop().unwrap().data;
            seen.finish_reasons.extend(end["finish_reason"].as_str().map(str::to_owned));
            seen.codes.extend(end["error"]["code"].as_str().map(str::to_owned));
        }
    }

    pub async fn submit(&self, daemon: &TestDaemon, body: Value) -> String {
        let accepted = self.expect(202, daemon.address, Ask::task(&body)).await.json();
        accepted["task_id"].as_str().unwrap().to_owned()
    }
}

/// A path of a task.
pub fn task(path: &str, id: &str) -> String {
    format!("/v1/tasks/{id}/{path}")
}

/// A small task.
pub fn prompt() -> Value {
    json!({"prompt": "one two three"})
}

/// Opens a stream and reads its first event.
pub async fn open_stream(at: SocketAddr, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head =
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {TOKEN}\r\n\r\n", task("stream", id));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("event: started") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream ends after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    stream
}
