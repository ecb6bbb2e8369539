//! Connections that carry one request after the other, and those that may not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{Answered, Client};
use crate::address::Address;
use crate::config::Timeouts;
use crate::fault::Fault;
use crate::framing::More;
use crate::testing::{FakeServer, Reply, Request, chunked, json, sse, within};

fn client(server: &FakeServer) -> Client {
    Client::new("an engine", server.address(), None, Timeouts::default())
}

async fn post(client: &Client) -> Result<Answered, Fault> {
    within(client.post("/ask", b"{}")).await
}

/// ORCH-ENG-20
#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let server = FakeServer::start(|_| Some(Reply::keeping(json(200, "{}"))));
    let client = client(&server);
    for _ in 0..3 {
        assert_eq!(post(&client).await.expect("answers").status, 200);
    }
    assert_eq!((server.connections(), server.seen().len()), (1, 3));
    assert!(!server.seen()[0].headers.contains("connection:"), "{}", server.seen()[0].headers);
}

/// ORCH-ENG-20
#[tokio::test]
async fn no_more_connections_wait_than_the_engine_has_slots() {
    let server = FakeServer::start(|_| Some(Reply::keeping(json(200, "{}"))));
    let client = client(&server);
    client.idle().limit_to(2);
    let three = || async { tokio::join!(post(&client), post(&client), post(&client)) };
    assert!(three().await.0.is_ok());
    assert_eq!(server.connections(), 3);
    assert!(three().await.0.is_ok());
    assert_eq!(server.connections(), 4, "two of three had waited");
}

/// ORCH-ENG-20
#[tokio::test]
async fn a_server_that_closes_is_asked_over_a_new_connection() {
    let closing = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{{}}").into_bytes();
    let cases = [
        Reply::keeping(closing("connection: keep-alive, Close\r\ncontent-length: 2")),
        Reply::keeping(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        Reply::keeping([json(200, "{}"), b"surplus".to_vec()].concat()),
        Reply::closing(closing("content-type: application/json")),
        Reply::closing(json(200, "{}")),
    ];
    for reply in cases {
        let shown = String::from_utf8_lossy(&reply.bytes).into_owned();
        let server = FakeServer::start(move |_| Some(reply.clone()));
        let client = client(&server);
        for _ in 0..2 {
            assert_eq!(post(&client).await.expect("answers").body, b"{}", "{shown}");
        }
        assert_eq!((server.connections(), server.seen().len()), (2, 2), "{shown}");
    }
}

/// A server that takes a second request over a connection, and closes it without an answer.
fn forgetful(listens_again: bool) -> (FakeServer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = FakeServer::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Some(Reply::keeping(json(200, "{}"))),
        1 => None,
        _ => listens_again.then(|| Reply::keeping(json(200, "{}"))),
    });
    (server, asked)
}

/// ORCH-ENG-20
#[tokio::test]
async fn a_connection_that_waited_and_ends_before_the_answer_is_tried_anew_once() {
    let (server, asked) = forgetful(true);
    let asker = client(&server);
    for _ in 0..2 {
        assert_eq!(post(&asker).await.expect("answers").status, 200);
    }
    assert_eq!((server.connections(), asked.load(Ordering::SeqCst)), (2, 3));
    let (server, asked) = forgetful(false);
    let asker = client(&server);
    assert!(post(&asker).await.is_ok());
    assert!(matches!(post(&asker).await, Err(Fault::Unanswered(_))));
    assert_eq!(asked.load(Ordering::SeqCst), 3, "a new connection is no reason to try again");
}

/// ORCH-ENG-20
#[tokio::test]
async fn an_answer_that_was_begun_is_never_asked_for_again() {
    let asked = AtomicBool::new(false);
    let server = FakeServer::start(move |_: &Request| {
        Some(match asked.swap(true, Ordering::SeqCst) {
            false => Reply::keeping(json(200, "{}")),
            true => Reply::closing(b"HTTP/1.1 200 OK\r\nx: ".to_vec()),
        })
    });
    let client = client(&server);
    assert!(post(&client).await.is_ok());
    assert!(matches!(post(&client).await, Err(Fault::Transport(_))));
    assert_eq!(server.seen().len(), 2);
}

/// ORCH-ENG-5
#[tokio::test]
async fn heads_that_announce_the_answer_may_come_in_one_read_with_it() {
    let announced = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n".to_vec();
    let server =
        FakeServer::start(move |_| Some(Reply::keeping([announced.clone(), json(201, "{}")].concat())));
    let client = client(&server);
    for _ in 0..2 {
        let answered = tokio::time::timeout(Duration::from_secs(10), client.post("/ask", b"{}")).await;
        assert_eq!(answered.expect("in time").expect("answers").status, 201);
    }
    assert_eq!(server.connections(), 1);
}

/// The last event is what ends a task; the end of its body comes when it comes.
/// ORCH-ENG-20
#[tokio::test]
async fn a_body_whose_end_comes_behind_its_last_event_is_read_to_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
    let address = Address::of_this_machine(listener.local_addr().expect("bound").port());
    let (go_on, wait) = mpsc::sync_channel(1);
    let served = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut bytes = [0; 4096];
        assert!(socket.read(&mut bytes).expect("asks") > 0);
        socket.write_all(&sse(&["{}"])).expect("takes it");
        wait.recv().expect("goes on");
        socket.write_all(&chunked(b"")).expect("takes it");
        let count = socket.read(&mut bytes).expect("asks again");
        socket.write_all(&json(200, "{}")).expect("takes it");
        count
    });
    let client = Client::new("an engine", address, None, Timeouts::default());
    let mut opened = within(client.start("/ask", b"{}")).await.expect("answers");
    let event = chunked(b"data: {}\n\n").len();
    while opened.incoming.rest.len() < event {
        within(opened.incoming.socket.read_buf(&mut opened.incoming.rest)).await.expect("reads");
    }
    let rest = std::mem::take(&mut opened.incoming.rest);
    assert_eq!(opened.incoming.push(&rest, &mut |_| Ok(())), Ok(More::Expected));
    go_on.send(()).expect("waits");
    within(client.keep(opened.incoming)).await;
    assert_eq!(post(&client).await.expect("answers").status, 200);
    assert!(served.join().expect("served") > 0);
}
