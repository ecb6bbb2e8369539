//! Engines that misbehave once they are attached.

use engine_api::{Engine, ExitReason, MeasureError};
use engine_http::Attach;
use engine_http::testing::{FakeServer, Recording, Reply, Request, job, json, listen, within};
use generation::{EngineError, Finish, Input};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::test_server::{attach, beginning, config, start, vllm};

/// An error of a kind, with a text of its own.
type Kind = fn(String) -> EngineError;

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
    engine.submit(Arc::new(job(Input::Prompt("hi".into()))), sink);
    let recording = Recording::of(heard).await;
    (recording.text(), recording.end.map(|end| end.finish))
}

/// ORCH-ENG-21, ORCH-ENG-29
#[tokio::test]
async fn a_failure_before_the_first_token_is_the_engines_and_one_after_it_the_tasks() {
    let cases: [(Vec<u8>, &str, Kind, &str); 9] = [
        (
            json(500, r#"{"error":{"message":"EngineCore encountered an issue"}}"#),
            "",
            EngineError::Failed,
            "answers with status 500: EngineCore encountered an issue",
        ),
        (json(502, ""), "", EngineError::Failed, "answers with status 502"),
        (json(503, "overloaded"), "", EngineError::Unavailable, "is not ready (status 503): overloaded"),
        (json(429, "later"), "", EngineError::Unavailable, "is not ready (status 429): later"),
        (beginning(&["so", " far"]), "so far", |_| EngineError::Lost, "went away"),
        (beginning(&[]), "", EngineError::Failed, "stopped before the end of the answer"),
        (b"garbage\r\n\r\n".to_vec(), "", EngineError::Failed, "is not HTTP/1.1 as an engine speaks it"),
        (Vec::new(), "", EngineError::Failed, "it closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nx: ".to_vec(), "", EngineError::Failed, "in the head of its answer"),
    ];
    for (bytes, text, kind, wanted) in cases {
        let (told, finish) = ending(bytes).await;
        assert_eq!(told, text);
        let Some(Finish::Failed(error)) = finish else { panic!("{finish:?}") };
        let why = error.to_string();
        assert!(why.contains(wanted), "{why}");
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&kind(String::new())), "{why}");
    }
}

#[tokio::test]
async fn what_is_not_a_stream_is_said_to_be_none() {
    let (_, finish) = ending(json(200, r#"{"choices":[]}"#)).await;
    let Some(Finish::Failed(EngineError::Failed(why))) = finish else { panic!("{finish:?}") };
    assert!(why.contains("answers with `application/json` where a stream of events"), "{why}");
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
    engine.submit(Arc::new(job(Input::Prompt("hi".into()))), sink);
    ill.store(true, Ordering::SeqCst);
    let ExitReason::Channel(why) = within(engine.gone()).await else { panic!("not the probes") };
    assert!(why.contains(" probes failed in a row: "), "{why}");
    assert!(why.ends_with("answers with status 500: dead"), "{why}");
    let recording = Recording::of(heard).await;
    assert_eq!(recording.end, None, "the engine was lost with the task in it");
    let measured = within(engine.measure(Arc::new(job(Input::Prompt("a".into()))))).await;
    assert_eq!(measured, Err(MeasureError::Gone));
}

/// ORCH-ENG-3
#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_loses_its_jobs() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/completions" => Some(Reply::closing(beginning(&["a"]))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    drop(server);
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(Input::Prompt("hi".into()))), sink);
    let finish = Recording::of(heard).await.end.map(|end| end.finish);
    assert!(matches!(finish, Some(Finish::Failed(EngineError::Unavailable(_)))), "{finish:?}");
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

/// ORCH-ENG-29
#[tokio::test]
async fn an_answer_that_does_not_begin_or_falls_silent_is_given_up_and_its_connection_closed() {
    let silent = "was silent for 0.1 s in the middle of an answer";
    for (reply, text, kind, wanted) in [
        (Reply::holding(Vec::new()), "", EngineError::Failed as Kind, "did not answer within 0.1 s"),
        (Reply::holding(b"HTTP/1.1 200".to_vec()), "", EngineError::Failed, "did not answer within 0.1 s"),
        (Reply::holding(beginning(&[])), "", EngineError::Failed, silent),
        (Reply::holding(beginning(&["so", " far"])), "so far", |_| EngineError::Lost, "went away"),
    ] {
        let (server, engine) = impatient(reply).await;
        let (sink, heard) = listen();
        engine.submit(Arc::new(job(Input::Prompt("hi".into()))), sink);
        let recording = Recording::of(heard).await;
        assert_eq!(recording.text(), text);
        let Some(Finish::Failed(error)) = recording.end.map(|end| end.finish) else { panic!() };
        let why = error.to_string();
        assert!(why.ends_with(wanted), "{why}");
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&kind(String::new())), "{why}");
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
