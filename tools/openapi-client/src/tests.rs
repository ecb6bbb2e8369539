use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::{ErrorCode, TaskRequest};

use super::*;

/// A server for one request: answers `answer` and gives back what it was asked.
struct Once {
    listener: TcpListener,
    answer: String,
}

impl Once {
    async fn new(status: &str, headers: &str, body: &str) -> (Self, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("a bound port has an address"));
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let mut token = HeaderMap::new();
        token.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        let http = http_client().no_proxy().default_headers(token).build().expect("a client is built");
        (Self { listener, answer }, Client::new_with_client(&url, http))
    }

    async fn serve(self) -> String {
        let (mut socket, _) = self.listener.accept().await.expect("somebody connects");
        let mut asked = Vec::new();
        // A request is whole when its head is, and as much of a body as the head says.
        while !is_whole(&asked) {
            let read = socket.read_buf(&mut asked).await.expect("the request is read");
            assert_ne!(read, 0, "the request breaks off");
        }
        socket.write_all(self.answer.as_bytes()).await.expect("the answer is written");
        String::from_utf8(asked).expect("a request is text").to_ascii_lowercase()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

const FULL: &str = r#"{"code":"ADMISSION_REJECT","message":"the batch lane is full","engine":"llamacpp","retriable":true,"retry_after_ms":75300}"#;

#[tokio::test]
async fn a_task_is_sent_with_the_token_and_without_the_fields_left_out() {
    let accepted = r#"{"task_id":"6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f","queue_position":2,"predicted_start_ms":18,"backoff_ms":0}"#;
    let (server, client) = Once::new("202 Accepted", "content-type: application/json\r\n", accepted).await;
    let request =
        TaskRequest { prompt: Some("hi".to_owned()), seed: Some(u64::MAX), ..TaskRequest::default() };
    let (answer, asked) = tokio::join!(client.create_task(&request), server.serve());
    assert_eq!(answer.expect("the task is in").queue_position, 2);
    assert!(asked.starts_with("post /v1/tasks http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nauthorization: bearer secret\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{\"prompt\":\"hi\",\"seed\":18446744073709551615}"), "{asked}");
}

#[tokio::test]
async fn a_refusal_keeps_status_envelope_and_both_waits() {
    let headers = "content-type: application/json\r\nretry-after: 60\r\nx-backoff-ms: 75300\r\n";
    let (server, client) = Once::new("429 Too Many Requests", headers, FULL).await;
    let request = TaskRequest::default();
    let (answer, _) = tokio::join!(client.create_task(&request), server.serve());
    let failure = Failure::from(answer.expect_err("there is no room"));
    assert_eq!(failure.to_string(), "the batch lane is full");
    let refusal = failure.refusal().expect("it is a refusal");
    assert_eq!(
        (refusal.status, refusal.envelope.code),
        (StatusCode::TOO_MANY_REQUESTS, ErrorCode::AdmissionReject)
    );
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
    assert_eq!(refusal.wait(), Some(Duration::from_millis(75_300)));
}

#[tokio::test]
async fn a_refusal_that_is_for_good_is_not_waited_for() {
    let envelope = FULL.replace("true", "false");
    let (server, client) =
        Once::new("400 Bad Request", "content-type: application/json\r\n", &envelope).await;
    let request = TaskRequest::default();
    let (answer, _) = tokio::join!(client.create_task(&request), server.serve());
    let failure = Failure::from(answer.expect_err("it is refused"));
    let refusal = failure.refusal().expect("it is a refusal");
    assert_eq!((refusal.wait(), refusal.retry_after), (None, None));
}

#[tokio::test]
async fn what_is_not_the_daemon_is_told_apart_from_what_is_not_there() {
    for (status, body) in
        [("418 I am a teapot", "short"), ("202 Accepted", "<html>"), ("404 Not Found", "{}")]
    {
        let (server, client) = Once::new(status, "", body).await;
        let request = TaskRequest::default();
        let (answer, _) = tokio::join!(client.create_task(&request), server.serve());
        let failure = Failure::from(answer.expect_err("it is no answer"));
        assert!(matches!(failure, Failure::Foreign(_)), "{status}: {failure:?}");
    }
    let (server, client) = Once::new("200 OK", "", "").await;
    drop(server);
    let failure =
        Failure::from(client.create_task(&TaskRequest::default()).await.expect_err("nobody is there"));
    assert!(matches!(failure, Failure::Connection(_)), "{failure:?}");
}

#[tokio::test]
async fn a_stream_is_asked_for_from_where_the_caller_is_and_read_to_its_end() {
    let body = "event: token\r\nid: 5\r\ndata: {\"t\":\"a\",\"i\":5}\r\n\r\nevent: end\r\ndata: {\"tokens_out\":6,\
                \"decode_ms\":1,\"tokens_in\":1,\"queue_ms\":0,\"finish_reason\":\"stop\"}\r\n\r\n";
    let (server, client) = Once::new("200 OK", "content-type: text/event-stream\r\n", body).await;
    let task = uuid::Uuid::from_u128(7);
    let read = async {
        let mut events = client.events(task, Some(4)).await.expect("the stream opens");
        let mut names = Vec::new();
        while let Some(event) = events.next().await {
            names.push(match event.expect("the event reads") {
                Event::Started(_) => "started",
                Event::Token(_) => "token",
                Event::End(_) => "end",
            });
        }
        (names, events.last_event_id())
    };
    let (read, asked) = tokio::join!(read, server.serve());
    assert_eq!(read, (vec!["token", "end"], Some(5)));
    assert!(asked.starts_with(&format!("get /v1/tasks/{task}/stream http/1.1\r\n")), "{asked}");
    assert!(asked.contains("\r\nlast-event-id: 4\r\n"), "{asked}");
}

#[tokio::test]
async fn that_no_pool_is_ready_is_an_answer_with_a_body_of_its_own() {
    let (server, client) = Once::new("503 Service Unavailable", "", r#"{"status":"starting"}"#).await;
    let (answer, _) = tokio::join!(client.get_health(), server.serve());
    let Err(Error::ErrorResponse(health)) = answer else {
        panic!("not what a 503 of /health is: {answer:?}")
    };
    assert_eq!(health.into_inner().status, types::HealthStatus::Starting);
}
