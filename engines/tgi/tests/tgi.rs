//! The adapter against a server of raw sockets.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, StartError};
use engine_http::testing::{
    FakeServer, Recording, Reply, Request, chunked, job, json, listen, spec, sse, within,
};
use engine_http::{Attach, HttpEngineConfig};
use engine_tgi::TgiFactory;
use generation::{Constraint, EngineError, Finish, GenerateRequest, Input, Message, Role};
use orchestrator_core::TokenCount;

/// TGI 2.4, `GET /info`.
const INFO: &str = r#"{"model_id":"HuggingFaceH4/zephyr-7b-beta","model_sha":"b70e0c9","model_pipeline_tag":"text-generation","max_concurrent_requests":128,"max_best_of":2,"max_stop_sequences":4,"max_input_tokens":1023,"max_total_tokens":1024,"validation_workers":2,"max_client_batch_size":4,"router":"text-generation-router","version":"2.4.1","sha":"dddd","docker_label":"sha-dddd"}"#;

/// A token is a word.
fn tgi(request: &Request) -> Option<Reply> {
    let body = request.json();
    let words = |text: &serde_json::Value| text.as_str().unwrap_or_default().split_whitespace().count();
    let tokens =
        |count: usize| vec![serde_json::json!({ "id": 1, "text": "x", "start": 0, "stop": 1 }); count];
    Some(Reply::closing(match request.line.as_str() {
        "GET /health" => json(200, ""),
        "GET /info" => json(200, INFO),
        "POST /tokenize" => json(200, &serde_json::json!(tokens(words(&body["inputs"]))).to_string()),
        "POST /chat_tokenize" => {
            let count = words(&body["messages"][0]["content"]) + 3;
            json(
                200,
                &serde_json::json!({ "tokenize_response": tokens(count), "templated_text": "" }).to_string(),
            )
        }
        "POST /generate_stream" => whole(&[
            r#"{"index":1,"token":{"id":5,"text":"Hi","logprob":-1.0,"special":false},"generated_text":null,"details":null}"#,
            r#"{"index":2,"token":{"id":6,"text":" all","logprob":-1.0,"special":false},"generated_text":"Hi all","details":{"finish_reason":"length","generated_tokens":2,"seed":7}}"#,
        ]),
        "POST /v1/chat/completions" => whole(&[
            r#"{"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"2.4.1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
            r#"{"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"2.4.1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":"stop"}],"usage":null}"#,
            r#"{"object":"chat.completion.chunk","id":"","created":1,"model":"m","system_fingerprint":"2.4.1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
            "[DONE]",
        ]),
        _ => json(404, ""),
    }))
}

fn whole(events: &[&str]) -> Vec<u8> {
    let mut bytes = sse(events);
    bytes.extend(chunked(b""));
    bytes
}

async fn attach(server: &FakeServer) -> Result<Arc<dyn Engine>, StartError> {
    let factory = TgiFactory::new(HttpEngineConfig::new(Attach::Url(server.address())));
    within(factory.start(spec(), Arc::new(|_| {}))).await
}

fn conversation() -> Input {
    Input::Messages(vec![Message::new(Role::User, "one two")])
}

#[tokio::test]
async fn the_facts_are_read_off_the_server() {
    let server = FakeServer::start(tgi);
    let engine = attach(&server).await.expect("starts");
    let facts = engine.facts();
    assert_eq!((facts.version.as_str(), facts.ctx, facts.slots), ("2.4.1", TokenCount(1024), 4));
    assert_eq!(facts.model.name, "HuggingFaceH4/zephyr-7b-beta");
}

#[tokio::test]
async fn a_prompt_gets_the_room_there_is_and_its_end() {
    let server = FakeServer::start(tgi);
    let engine = attach(&server).await.expect("starts");
    let (sink, heard) = listen();
    let mut asked = job(Input::Prompt("one two three".into()));
    asked.sampling.params.top_k = Some(40);
    asked.sampling.params.min_p = Some(0.05);
    asked.sampling.constraint = Some(Constraint::JsonSchema(r#"{"z":1,"a":2}"#.into()));
    engine.submit(Arc::new(asked), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(recording.text(), "Hi all");
    assert_eq!(recording.pieces[1].tokens, [6]);
    assert_eq!(recording.end.expect("an end").finish, Finish::Length);
    let request = server.last("POST /generate_stream");
    let sent = &request.json()["parameters"];
    assert_eq!(sent["max_new_tokens"], 1021);
    assert_eq!((&sent["do_sample"], &sent["seed"]), (&false.into(), &7.into()));
    assert!(
        sent.get("temperature").is_none() && sent.get("top_p").is_none(),
        "it refuses them at these values"
    );
    assert!(request.body.contains(r#""grammar":{"type":"json","value":{"z":1,"a":2}}"#), "{}", request.body);
}

#[tokio::test]
async fn a_conversation_goes_through_the_models_template() {
    let server = FakeServer::start(tgi);
    let engine = attach(&server).await.expect("starts");
    let measured = within(engine.measure(Arc::new(job(conversation())))).await.expect("counts");
    assert_eq!(measured.tokens, TokenCount(5));
    let (sink, heard) = listen();
    engine.submit(Arc::new(GenerateRequest { max_tokens: Some(TokenCount(8)), ..job(conversation()) }), sink);
    let recording = Recording::of(heard).await;
    assert_eq!(recording.text(), "Hello");
    let end = recording.end.expect("an end");
    assert_eq!((end.finish, end.tokens_in, end.tokens_out), (Finish::Stop, TokenCount(9), TokenCount(2)));
    assert_eq!(server.last("POST /v1/chat/completions").json()["max_tokens"], 8);
}

#[tokio::test]
async fn what_it_cannot_be_asked_for_is_refused_by_name() {
    let server = FakeServer::start(tgi);
    let engine = attach(&server).await.expect("starts");
    let prompt = || job(Input::Prompt("x".into()));
    let mut min_p = prompt();
    (min_p.sampling.params.temperature, min_p.sampling.params.min_p) = (Some(1.0), Some(0.2));
    let mut grammar = prompt();
    grammar.sampling.constraint = Some(Constraint::Grammar("root ::= \"a\"".into()));
    let mut top_k = job(conversation());
    (top_k.sampling.params.temperature, top_k.sampling.params.top_k) = (Some(1.0), Some(7));
    for (job, wanted) in [
        (min_p, "`sampling.min_p` is 0.2, which Text Generation Inference cannot be asked for"),
        (grammar, "`sampling.grammar` is set, which Text Generation Inference cannot be asked for"),
        (top_k, "`sampling.top_k` is 7 with `messages`, which Text Generation Inference cannot be asked for"),
        (job(Input::Inputs(vec!["a".into()])), "`inputs` are to be embedded"),
    ] {
        let (sink, heard) = listen();
        engine.submit(Arc::new(job), sink);
        let end = Recording::of(heard).await.end.expect("an end");
        let Finish::Failed(EngineError::Invalid(why)) = end.finish else { panic!("{end:?}") };
        assert!(why.starts_with(wanted), "{why}");
    }
}

#[tokio::test]
async fn another_server_is_said_not_to_be_one_and_a_loading_one_is_waited_for() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "GET /info" => Some(Reply::closing(json(200, r#"{"model_id":"bert","version":"1.5"}"#))),
        _ => tgi(request),
    });
    let error = attach(&server).await.err().expect("does not start").to_string();
    assert!(error.contains("is not a Text Generation Inference: `/info` is not what it gives"), "{error}");
    let probes = std::sync::atomic::AtomicU32::new(0);
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "GET /health" if probes.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 => {
            Some(Reply::closing(json(503, r#"{"error":"unhealthy","error_type":"healthcheck"}"#)))
        }
        _ => tgi(request),
    });
    assert!(attach(&server).await.is_ok());
}
