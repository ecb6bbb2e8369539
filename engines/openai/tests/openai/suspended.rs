//! Engines that fail for a time: what is taken meanwhile, what goes on, and what brings them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use engine_api::{Engine, ExitReason};
use engine_http::Attach;
use engine_http::testing::{FakeServer, Recording, Reply, Request, SinkCall, job, json, listen, within};
use generation::{EngineError, Finish, GenerateRequest, Input};
use orchestrator_core::TokenCount;

use super::test_server::{attach, beginning, config, start, vllm};

/// Answers as it should.
const WELL: u8 = 0;
/// Answers for its health, and fails at everything else.
const BROKEN: u8 = 1;
/// Says that it is loading.
const LOADING: u8 = 2;
/// Answers for its health, and generates nothing.
const HUNG: u8 = 3;

/// An event without text, as `llama-server` reports on the reading of a prompt, and a comment; each as a chunk.
const READING: &[u8] = b"2b\r\ndata: {\"choices\":[],\"prompt_progress\":{}}\n\n\r\n";
const EMPTY: &[u8] = b"21\r\ndata: {\"choices\":[{\"text\":\"\"}]}\n\n\r\n";
const COMMENT: &[u8] = b"11\r\n: still reading\n\n\r\n";

struct Patient {
    server: FakeServer,
    state: Arc<AtomicU8>,
}

impl Patient {
    fn new() -> Self {
        let state = Arc::new(AtomicU8::new(WELL));
        let is = Arc::clone(&state);
        let server = FakeServer::start(move |request: &Request| {
            let generates = request.line == "POST /v1/completions";
            let endless = request.json()["prompt"] == "endless";
            match is.load(Ordering::SeqCst) {
                _ if generates && endless => Some(Reply::holding(beginning(&["a"]))),
                LOADING => Some(Reply::keeping(json(503, r#"{"error":{"message":"Loading model"}}"#))),
                BROKEN if generates => Some(Reply::keeping(json(500, r#"{"error":"dead"}"#))),
                HUNG if generates => Some(Reply::holding(beginning(&[]))),
                _ => vllm(request),
            }
        });
        Self { server, state }
    }

    fn is(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }

    /// An engine at it that bears failures for long.
    async fn attach(&self) -> Arc<dyn Engine> {
        let mut config = config(Attach::Url(self.server.address()));
        config.timeouts.probe_failures = u32::MAX;
        start(config).await.expect("starts")
    }
}

async fn finish(engine: &Arc<dyn Engine>, prompt: &str) -> Option<Finish> {
    let (sink, heard) = listen();
    engine.submit(Arc::new(job(Input::Prompt(prompt.into()))), sink);
    Recording::of(heard).await.end.map(|end| end.finish)
}

/// ORCH-ENG-21, ORCH-ENG-22
#[tokio::test]
async fn a_failed_engine_takes_nothing_until_it_has_generated_a_token_and_what_runs_goes_on() {
    let patient = Patient::new();
    let engine = patient.attach().await;
    let (sink, mut running) = listen();
    let endless = job(Input::Prompt("endless".into()));
    let task = endless.task;
    engine.submit(Arc::new(endless), sink);
    assert!(matches!(within(running.recv()).await, Some(SinkCall::Token(_))));
    patient.is(BROKEN);
    let failed = finish(&engine, "hi").await;
    assert!(matches!(failed, Some(Finish::Failed(EngineError::Failed(_)))), "{failed:?}");
    assert!(within(engine.suspended()).await.contains("status 500"));
    let before = patient.server.seen().len();
    let refused = finish(&engine, "hi").await;
    assert!(matches!(refused, Some(Finish::Failed(EngineError::Unavailable(_)))), "{refused:?}");
    let probes = || patient.server.seen()[before..].to_vec();
    within(async {
        while probes().len() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut tries = probes().into_iter().filter(|request| request.line.starts_with("POST"));
    assert!(tries.all(|request| request.json()["prompt"] != "hi" && request.json()["max_tokens"] == 1));
    assert!(probes().iter().any(|request| request.line == "GET /health"));
    patient.is(WELL);
    within(engine.resumed()).await;
    assert_eq!(finish(&engine, "hi").await, Some(Finish::Stop));
    engine.cancel(task);
    let ended = Recording::of(running).await.end.expect("it went on");
    assert_eq!(ended.finish, Finish::Canceled);
}

/// ORCH-ENG-21
#[tokio::test]
async fn an_engine_that_loads_again_is_unavailable_for_as_long_as_it_says_so() {
    let patient = Patient::new();
    let engine = patient.attach().await;
    patient.is(LOADING);
    for _ in 0..3 {
        let refused = finish(&engine, "hi").await;
        assert!(matches!(refused, Some(Finish::Failed(EngineError::Unavailable(_)))), "{refused:?}");
    }
    assert!(within(engine.suspended()).await.contains("status 503"));
    patient.is(WELL);
    within(engine.resumed()).await;
    assert_eq!(finish(&engine, "hi").await, Some(Finish::Stop));
}

/// ORCH-ENG-22
#[tokio::test]
async fn an_engine_that_is_healthy_and_generates_nothing_is_gone_in_the_end() {
    let patient = Patient::new();
    let mut config = config(Attach::Url(patient.server.address()));
    config.timeouts.silence = Duration::from_millis(400);
    let engine = start(config).await.expect("starts");
    patient.is(HUNG);
    let failed = finish(&engine, "hi").await;
    assert!(matches!(failed, Some(Finish::Failed(EngineError::Failed(_)))), "{failed:?}");
    let ExitReason::Channel(why) = within(engine.gone()).await else { panic!("not the probes") };
    // The limit of the try and that of silence are over in the same moment.
    assert!(why.contains("0.4 s"), "{why}");
}

/// ORCH-ENG-22
#[tokio::test]
async fn tokens_and_reports_of_reading_are_progress_and_comments_and_events_without_text_are_none() {
    let server = FakeServer::start(|request| match request.json()["prompt"].as_str() {
        Some("reads") => Some(Reply::repeating(beginning(&[]), READING)),
        Some("comments") => Some(Reply::repeating(beginning(&["a"]), COMMENT)),
        Some("empty") => Some(Reply::repeating(beginning(&["a"]), EMPTY)),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let asked = ["reads", "comments", "empty"].map(|prompt| job(Input::Prompt(prompt.into())));
    let [reads, comments, empty] = [asked[0].task, asked[1].task, asked[2].task];
    let mut heard = Vec::new();
    for job in asked {
        let (sink, hears) = listen();
        heard.push(hears);
        engine.submit(Arc::new(job), sink);
    }
    let until_more_than = async |events: u64| {
        within(async {
            while engine.work_done(reads).is_none_or(|done| done <= events) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    };
    for heard in &mut heard[1..] {
        assert!(matches!(within(heard.recv()).await, Some(SinkCall::Token(_))));
    }
    let said = engine.work_done(comments);
    assert_eq!(said, Some(1));
    // As many events of one answer as comments of the other.
    until_more_than(20).await;
    assert_eq!((engine.work_done(comments), engine.work_done(empty)), (said, Some(1)));
    assert_eq!(within(engine.stop(Duration::ZERO)).await, engine_api::StopOutcome::Ended);
    assert_eq!(engine.work_done(reads), None, "it is not there any more");
    assert_eq!(TokenCount(0), Recording::of(heard.remove(0)).await.end.expect("canceled").tokens_out);
}

/// ORCH-ENG-29
#[tokio::test]
async fn an_answer_that_goes_on_beyond_its_limit_is_cut() {
    let token = b"23\r\ndata: {\"choices\":[{\"text\":\" a\"}]}\n\n\r\n";
    let server = FakeServer::start(|request| match request.json()["prompt"].as_str() {
        Some("endless") => Some(Reply::repeating(beginning(&[]), token)),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let (sink, heard) = listen();
    let asked = GenerateRequest { max_tokens: Some(TokenCount(4)), ..job(Input::Prompt("endless".into())) };
    engine.submit(Arc::new(asked), sink);
    let end = Recording::of(heard).await.end.expect("it ends");
    assert_eq!(end.finish, Finish::Length);
    assert!((5..64).contains(&end.tokens_out.0), "{end:?}");
    assert_eq!(within(engine.stop(Duration::ZERO)).await, engine_api::StopOutcome::Ended);
}
