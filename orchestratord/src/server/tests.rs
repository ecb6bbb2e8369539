use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::connection::LINGER;
use super::*;

const SOON: Duration = Duration::from_secs(20);

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        connections: 8,
        header_timeout: SOON,
        authentication_timeout: SOON,
        write_timeout: SOON,
        header_bytes: 8192,
    }
}

fn serve(router: Router, limits: ConnectionLimits) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Server::start(listener, router, limits).unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// Everything until the server closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.expect("the server closes").unwrap();
    String::from_utf8(text).unwrap()
}

async fn read_until(stream: &mut TcpStream, what: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(what) {
        let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.expect("it comes").unwrap();
        assert!(read > 0, "the server closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = serve(hello(), limits());
    let mut stream = connect(&server).await;
    for _ in 0..3 {
        stream.write_all(HELLO).await.unwrap();
        assert!(read_until(&mut stream, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(server.finish(SOON).await, Ended::Finished);
}

/// ORCH-STOP-1
#[tokio::test]
async fn what_has_begun_is_finished_and_nothing_new_is_accepted() {
    let (lines, source) = mpsc::channel::<Bytes>(1);
    let source = Arc::new(std::sync::Mutex::new(Some(source)));
    let stream_once = move || {
        let mut source = source.lock().unwrap().take().unwrap();
        let stream = futures_util::stream::poll_fn(move |cx| {
            source.poll_recv(cx).map(|line| line.map(Ok::<_, std::convert::Infallible>))
        });
        std::future::ready(Body::from_stream(stream))
    };
    let server = serve(Router::new().route("/", get(stream_once)), limits());
    let address = server.address();
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut idle, "404").await;
    let mut busy = connect(&server).await;
    busy.write_all(HELLO).await.unwrap();
    lines.send(Bytes::from_static(b"first")).await.unwrap();
    read_until(&mut busy, "first").await;

    server.stop_accepting();
    assert_eq!(read_all(&mut idle).await, "", "a connection without a request is closed");
    lines.send(Bytes::from_static(b"last")).await.unwrap();
    read_until(&mut busy, "last").await;
    drop(lines);
    let finished = tokio::join!(server.finish(SOON), read_all(&mut busy)).0;
    assert_eq!(finished, Ended::Finished);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_is_not_finished_at_the_deadline_is_closed_and_counted() {
    let server = serve(Router::new().route("/", get(std::future::pending::<StatusCode>)), limits());
    let mut stuck = connect(&server).await;
    stuck.write_all(HELLO).await.unwrap();
    while server.open() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.finish(Duration::from_millis(1)).await, Ended::Closed(1));
    assert_eq!(read_all(&mut stuck).await, "");
}

/// ORCH-SEC-6
#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_closes() {
    let server = serve(hello(), ConnectionLimits { connections: 1, ..limits() });
    let mut first = connect(&server).await;
    first.write_all(HELLO).await.unwrap();
    read_until(&mut first, "hello").await;
    let mut second = connect(&server).await;
    second.write_all(HELLO).await.unwrap();
    first.write_all(HELLO).await.unwrap();
    read_until(&mut first, "hello").await;
    assert_eq!(second.try_read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(first);
    assert!(read_until(&mut second, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

/// ORCH-CONF-9
#[tokio::test]
async fn the_limit_of_connections_changes_while_some_wait_and_while_some_are_open() {
    let server = serve(hello(), ConnectionLimits { connections: 1, ..limits() });
    let change = |connections| server.limits().send_modify(|limits| limits.connections = connections);
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&server).await;
        client.write_all(HELLO).await.unwrap();
        clients.push(client);
    }
    read_until(&mut clients[0], "hello").await;
    change(2);
    read_until(&mut clients[1], "hello").await;
    change(1);
    let mut third = connect(&server).await;
    third.write_all(HELLO).await.unwrap();
    clients.pop();
    clients[0].write_all(HELLO).await.unwrap();
    read_until(&mut clients[0], "hello").await;
    assert_eq!(third.try_read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    clients.pop();
    assert!(read_until(&mut third, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(server.open(), 1, "none is counted twice");
}

/// ORCH-SEC-6
#[tokio::test]
async fn a_head_that_does_not_come_and_one_that_is_too_large_close_the_connection() {
    let server = serve(hello(), ConnectionLimits { header_timeout: Duration::from_millis(50), ..limits() });
    let mut slow = connect(&server).await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
    assert_eq!(read_all(&mut slow).await, "");
    let mut large = connect(&server).await;
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    large.write_all(head.as_bytes()).await.unwrap();
    assert!(read_all(&mut large).await.starts_with("HTTP/1.1 431 "));
    let mut noise = connect(&server).await;
    noise.write_all(b"\x16\x03\x01\x00\xa5\x01 not http\r\n\r\n").await.unwrap();
    assert!(read_all(&mut noise).await.starts_with("HTTP/1.1 400 "));
}

/// Answers, and says of the connection that its client has the token where the path says so.
fn answering() -> Router {
    let known = |request: axum::extract::Request| async move {
        request.extensions().get::<Authenticated>().unwrap().set();
        "known"
    };
    Router::new().route("/", get(|| async { (StatusCode::UNAUTHORIZED, "who?") })).route("/known", get(known))
}

/// Sends a byte again and again, well within the silence that ends a linger, until the server has closed.
async fn drip(stream: &mut TcpStream) {
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// ORCH-SEC-7
#[tokio::test]
async fn a_client_without_the_token_has_one_deadline_however_it_spends_it() {
    let limit = Duration::from_millis(300);
    let server = serve(answering(), ConnectionLimits { authentication_timeout: limit, ..limits() });
    let mut silent = connect(&server).await;
    let mut in_the_head = connect(&server).await;
    in_the_head.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let mut refused = connect(&server).await;
    refused.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n").await.unwrap();
    let dripping = async { tokio::join!(read_all(&mut silent), drip(&mut in_the_head), drip(&mut refused)) };
    tokio::time::timeout(LINGER / 2, dripping).await.expect("all are closed long before a linger would end");

    let mut known = connect(&server).await;
    known.write_all(b"GET /known HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut known, "known").await;
    tokio::time::sleep(2 * limit).await;
    known.write_all(HELLO).await.unwrap();
    read_until(&mut known, "who?").await;
}

/// ORCH-SEC-7
#[tokio::test]
async fn what_a_known_client_drips_after_a_refusal_is_read_for_a_bounded_time() {
    let server = serve(Router::new(), limits());
    let mut stream = connect(&server).await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n").await.unwrap();
    tokio::time::timeout(SOON, drip(&mut stream)).await.expect("the connection is closed");
}

/// A response without an end, and a client whose own buffer is small.
async fn endless(write_timeout: Duration) -> (Server, TcpStream) {
    let chunks = || async {
        let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
        Body::from_stream(futures_util::stream::repeat_with(move || {
            Ok::<_, std::convert::Infallible>(chunk.clone())
        }))
    };
    let router = Router::new().route("/", get(chunks));
    let server = serve(router, ConnectionLimits { write_timeout, ..limits() });
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(server.address()).await.unwrap();
    stream.write_all(HELLO).await.unwrap();
    read_until(&mut stream, "200 OK").await;
    (server, stream)
}

/// ORCH-SEC-8
#[tokio::test]
async fn a_client_that_reads_nothing_for_the_write_timeout_is_reset() {
    let (server, stream) = endless(Duration::from_millis(100)).await;
    // The acceptor holds one place.
    let closed = async {
        while server.open() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, closed).await.expect("the connection is closed");
    let mut rest = Vec::new();
    let mut stream = stream;
    let error = stream.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// ORCH-SEC-8
#[tokio::test]
async fn a_client_that_reads_slowly_outlives_the_write_timeout() {
    let write_timeout = Duration::from_millis(800);
    let (_server, mut stream) = endless(write_timeout).await;
    let mut piece = vec![0; 64 * 1024];
    for _ in 0..24 {
        stream.read_exact(&mut piece).await.expect("the connection lives");
        tokio::time::sleep(write_timeout / 8).await;
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_the_answer_instead_of_a_reset() {
    let refuse = || async { (StatusCode::PAYLOAD_TOO_LARGE, "too large") };
    let server = serve(Router::new().route("/", post(refuse)), limits());
    let mut stream = connect(&server).await;
    let length = 20 * 1024 * 1024;
    stream
        .write_all(
            format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap();
    stream.write_all(&vec![b'x'; length]).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer:?}");
}

#[tokio::test]
async fn a_panic_takes_its_connection_and_no_other() {
    let router = hello().route("/panic", get(|| async { panic_now() }));
    let server = serve(router, limits());
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    let mut other = connect(&server).await;
    other.write_all(HELLO).await.unwrap();
    read_until(&mut other, "hello").await;
    drop(other);
    assert_eq!(
        server.finish(SOON).await,
        Ended::Finished,
        "the place of the connection that panicked is free"
    );
}

fn panic_now() -> StatusCode {
    panic!("on purpose")
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_another() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(taken.local_addr().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::InUse(_)));
    let text = error.to_string();
    assert!(text.contains("is in use") && text.contains("--listen 127.0.0.1:"), "{text}");
    let error = bind("192.0.2.1:6173".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::NotHere(_)), "{error}");
}
