//! Engines that misbehave once they are attached.

use adapter_api::{Engine, EngineError, ExitReason, Finish, Input, MeasureError};
use adapter_http::Attach;
use adapter_http::testing::{FakeServer, Reply, Request, Story, job, json, listen, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::house::{attach, beginning, config, start, vllm};

/// How a job ends where completions are answered so.
async fn ending(bytes: Vec<u8>) -> (String, Option<Finish>) {
    let begun = AtomicBool::new(false);
    let server = FakeServer::start(move |request: &Request| match request.line.as_str() {
        // The first one is asked while the engine is looked at.
        "POST /v1/completions" if begun.load(Ordering::SeqCst) || request.json()["stream"] == true => {
            begun.store(true, Ordering::SeqCst);
            Some(Reply::closing(bytes.clone()))
        }
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    engine.submit(job(Input::Prompt("hi".into())), sink);
    let story = Story::of(heard).await;
    (story.text(), story.end.map(|end| end.finish))
}

#[tokio::test]
async fn a_task_that_fails_at_a_living_engine_says_how() {
    let cases: [(Vec<u8>, &str, &str); 7] = [
        (
            json(500, r#"{"error":{"message":"EngineCore encountered an issue"}}"#),
            "",
            "answers with status 500: EngineCore encountered an issue",
        ),
        (json(503, "overloaded"), "", "is not ready (status 503): overloaded"),
        (beginning(&["so", " far"]), "so far", "the stream stopped before the end of the answer"),
        (json(200, r#"{"choices":[]}"#), "", "answers with `application/json` where a stream of events"),
        (b"garbage\r\n\r\n".to_vec(), "", "is not HTTP/1.1 as an engine speaks it"),
        (Vec::new(), "", "it closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nx: ".to_vec(), "", "it closed the connection in the head of its answer"),
    ];
    for (bytes, text, wanted) in cases {
        let (told, finish) = ending(bytes).await;
        assert_eq!(told, text);
        let Some(Finish::Failed(EngineError::Decode(why))) = finish else { panic!("{finish:?}") };
        assert!(why.contains(wanted), "{why}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_invalid_with_its_own_words() {
    let body = r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":"max_tokens","code":400}}"#;
    let (_, finish) = ending(json(400, body)).await;
    let Some(Finish::Failed(EngineError::Invalid(why))) = finish else { panic!("{finish:?}") };
    assert!(why.ends_with("refuses the task: This model's maximum context length is 4096 tokens."), "{why}");
    let body =
        r#"{"detail":[{"loc":["body","temperature"],"msg":"Input should be less than 2","type":"less"}]}"#;
    let (_, finish) = ending(json(422, body)).await;
    let Some(Finish::Failed(EngineError::Invalid(why))) = finish else { panic!("{finish:?}") };
    assert!(why.ends_with("refuses the task: `temperature`: Input should be less than 2"), "{why}");
}

#[tokio::test]
async fn an_engine_whose_probes_fail_is_gone_and_loses_its_jobs() {
    let ill = Arc::new(AtomicBool::new(false));
    let is_ill = Arc::clone(&ill);
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "GET /health" if is_ill.load(Ordering::SeqCst) => {
            Some(Reply::closing(json(500, r#"{"error":"dead"}"#)))
        }
        "POST /v1/completions" => Some(Reply::holding(beginning(&["a"]))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    engine.submit(job(Input::Prompt("hi".into())), sink);
    ill.store(true, Ordering::SeqCst);
    let ExitReason::Channel(why) = within(engine.gone()).await else { panic!("not the probes") };
    assert!(why.starts_with("2 health probes failed in a row: "), "{why}");
    assert!(why.ends_with("answers with status 500: dead"), "{why}");
    let story = Story::of(heard).await;
    assert_eq!(story.end, None, "the engine was lost with the task in it");
    let measured = within(engine.measure(Arc::new(job(Input::Prompt("a".into()))))).await;
    assert_eq!(measured, Err(MeasureError::Gone));
}

#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_loses_its_jobs() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/completions" => Some(Reply::closing(beginning(&["a"]))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    drop(server);
    let (sink, heard) = listen();
    engine.submit(job(Input::Prompt("hi".into())), sink);
    assert_eq!(Story::of(heard).await.end, None);
    let ExitReason::Channel(why) = within(engine.gone()).await else { panic!("not the probes") };
    assert!(why.contains("nothing listens there"), "{why}");
}

/// An engine whose completions are answered so, with short limits.
async fn impatient(reply: Reply) -> (FakeServer, Arc<dyn Engine>) {
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "POST /v1/completions" if request.json()["stream"] == true => Some(reply.clone()),
        _ => vllm(request),
    });
    let mut config = config(Attach::Url(server.address()));
    config.timeouts.head = Duration::from_millis(100);
    config.timeouts.silence = Duration::from_millis(100);
    let engine = start(config).await.expect("starts");
    (server, engine)
}

#[tokio::test]
async fn an_answer_that_does_not_begin_or_falls_silent_is_given_up_and_its_connection_closed() {
    for (reply, text, wanted) in [
        (Reply::holding(Vec::new()), "", "did not answer within 0.1 s"),
        (Reply::holding(b"HTTP/1.1 200".to_vec()), "", "did not answer within 0.1 s"),
        (
            Reply::holding(beginning(&["so", " far"])),
            "so far",
            "was silent for 0.1 s in the middle of an answer",
        ),
    ] {
        let (server, engine) = impatient(reply).await;
        let (sink, heard) = listen();
        engine.submit(job(Input::Prompt("hi".into())), sink);
        let story = Story::of(heard).await;
        assert_eq!(story.text(), text);
        let Some(Finish::Failed(EngineError::Decode(why))) = story.end.map(|end| end.finish) else {
            panic!()
        };
        assert!(why.ends_with(wanted), "{why}");
        let closed = tokio::task::spawn_blocking(move || server.closed_by_client().line);
        assert_eq!(within(closed).await.expect("joins"), "POST /v1/completions");
    }
}

#[tokio::test]
async fn a_server_that_takes_connections_and_never_answers_does_not_start() {
    let server = FakeServer::start(|_| Some(Reply::holding(Vec::new())));
    let mut config = config(Attach::Url(server.address()));
    config.timeouts.probe = Duration::from_millis(100);
    let error = start(config).await.err().expect("does not start").to_string();
    assert!(error.ends_with("did not answer within 0.1 s"), "{error}");
}
