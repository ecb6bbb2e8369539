//! A client that goes away cancels what it asked for, wherever it stands.

use std::net::SocketAddr;

use engine_mock::Phase;
use engine_mock::control::UNTIL_LIMIT;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::test_daemon::{MockOptions, TestDaemon};
use crate::wire::{TOKEN, send};
use crate::{chat, completion};

/// Sends a request and keeps its connection.
pub async fn ask(at: SocketAddr, body: &Value) -> TcpStream {
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-api-key: {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// Reads what comes until `text` is in it.
pub async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the stream ends after {read:?}");
        read.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    read
}

/// A conversation.
pub fn body(stream: bool) -> Value {
    json!({"model": "starter", "messages": [{"role": "user", "content": "a b c"}], "stream": stream})
}

async fn waiting(daemon: &TestDaemon) -> u32 {
    daemon.driver.health().await.unwrap().pools[0].lanes.iter().map(|lane| lane.depth).sum()
}

/// Waits until so many tasks wait.
pub async fn until_waiting(daemon: &TestDaemon, count: u32) {
    let reached = async {
        while waiting(daemon).await != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(UNTIL_LIMIT, reached).await.unwrap();
}

/// ORCH-OAI-5
#[tokio::test]
async fn who_leaves_while_queued_never_reaches_an_engine() {
    for stream in [false, true] {
        let daemon = TestDaemon::new().await;
        daemon.control.hold(Phase::Decode);
        let first = ask(daemon.address, &body(true)).await;
        daemon.control.until(|counts| counts.running == 1).await;
        let second = ask(daemon.address, &body(stream)).await;
        until_waiting(&daemon, 1).await;
        drop(second);
        until_waiting(&daemon, 0).await;
        daemon.control.release(Phase::Decode);
        daemon.control.until(|counts| counts.ended == 1).await;
        assert_eq!(daemon.control.counts().submitted, 1);
        drop(first);
    }
}

/// ORCH-OAI-5
#[tokio::test]
async fn who_leaves_while_the_model_loads_waits_no_more() {
    for stream in [false, true] {
        let daemon = TestDaemon::new().await;
        daemon.unload().await;
        let asked = ask(daemon.address, &body(stream)).await;
        until_waiting(&daemon, 1).await;
        drop(asked);
        until_waiting(&daemon, 0).await;
    }
}

/// ORCH-OAI-5
#[tokio::test]
async fn who_leaves_while_the_prompt_is_read_or_tokens_come_frees_the_slot() {
    for phase in [Phase::Prefill, Phase::Decode] {
        for stream in [false, true] {
            let daemon = TestDaemon::new().await;
            daemon.control.hold(phase);
            let asked = ask(daemon.address, &body(stream)).await;
            daemon.control.until(|counts| counts.running == 1).await;
            drop(asked);
            daemon.control.until(|counts| counts.cancels == 1 && counts.running == 0).await;
            daemon.control.release(phase);
            let next = send(daemon.address, &chat("one", &json!({}))).await;
            assert_eq!(next.status, 200, "the slot is free");
        }
    }
}

/// ORCH-OAI-5
#[tokio::test]
async fn who_leaves_in_the_middle_of_a_stream_frees_the_slot() {
    let daemon = TestDaemon::new().await;
    daemon.control.hold(Phase::Decode);
    let mut asked = ask(daemon.address, &body(true)).await;
    daemon.control.pass(Phase::Decode, 1);
    read_until(&mut asked, "\"content\":\"user\"").await;
    drop(asked);
    daemon.control.until(|counts| counts.running == 0).await;
    assert_eq!(daemon.control.counts().tokens, 1);
}

/// ORCH-OAI-5
#[tokio::test]
async fn when_one_of_several_answers_is_refused_none_is_left_behind() {
    let daemon = TestDaemon::with(MockOptions { lane_bound: 1, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon.control.hold(Phase::Decode);
    // One runs, one waits, and the third finds the lane full.
    let refused = send(daemon.address, &completion("a b", &json!({"n": 3}))).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    until_waiting(&daemon, 0).await;
    daemon.control.until(|counts| counts.running == 0).await;
}
