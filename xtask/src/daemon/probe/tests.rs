use tokio::net::TcpListener;

use super::*;

/// A server that gives every caller the same answer.
async fn answering(answer: &'static str) -> (Probe, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = Probe { address: listener.local_addr().unwrap() };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _read = stream.read(&mut request).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    (probe, tasks)
}

#[tokio::test]
async fn nobody_there_is_neither_ours_nor_an_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let probe = Probe::new(port);
    assert!(!probe.finds_ours().await.unwrap());
    assert_eq!(probe.health().await, None);
}

#[tokio::test]
async fn our_daemon_is_known_by_what_only_the_token_shows() {
    let (probe, _server) = answering(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n\
         {\"status\":\"starting\",\"version\":\"0.1.0\",\"pools\":[{\"id\":\"starter\",\"state\":\"starting\",\
         \"replicas\":[{\"id\":\"starter/0\",\"state\":\"loading\",\"reason\":\"43 %\"}]}]}",
    )
    .await;
    assert!(probe.finds_ours().await.unwrap());
    let health = probe.health().await.unwrap();
    assert!(!health.is_ready());
    assert_eq!(health.in_words(), "starter/0: loading: 43 %");
    assert!(!health.is_hopeless());
}

#[tokio::test]
async fn anything_else_on_the_port_is_named_with_the_way_out() {
    for (answer, who) in [
        ("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}", "does not take this user's token"),
        ("HTTP/1.1 404 Not Found\r\n\r\nno such page", "another program"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "another program"),
    ] {
        let (probe, _server) = answering(answer).await;
        let refused = probe.finds_ours().await.unwrap_err();
        assert_eq!(exit::code_of(&refused), exit::PORT_TAKEN);
        let text = refused.to_string();
        assert!(text.contains(who) && text.contains("cargo xtask demo --port"), "{text}");
    }
}

#[test]
fn a_daemon_that_tells_little_is_still_put_into_words() {
    let health = parse("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"status\":\"ok\"}").unwrap();
    assert!(health.is_ready());
    assert_eq!(health.in_words(), "daemon: ok");
    assert!(parse("HTTP/1.1 503 x\r\n\r\n{\"status\":\"unavailable\"}").unwrap().is_hopeless());
    assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n[]"), None);
    assert_eq!(parse("nonsense"), None);
}
