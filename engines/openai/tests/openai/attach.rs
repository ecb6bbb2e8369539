//! What is learned of a server, and what stands in the way of it.

use engine_api::StartError;
use engine_http::testing::{FakeServer, Reply, job, json, within};
use engine_http::{Address, Attach, HttpEngineConfig, Secret};
use generation::{Input, Message, Role, Workload};
use orchestrator_core::TokenCount;
use std::sync::Arc;

use super::test_server::{MODELS, attach, config, start, vllm};

/// ORCH-ENG-7
#[tokio::test]
async fn the_facts_are_read_off_the_server() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let facts = engine.facts();
    assert_eq!(facts.version, "0.11.0");
    assert_eq!(facts.ctx, TokenCount(4096));
    assert_eq!(facts.slots, 4);
    assert_eq!(facts.model.name, "Qwen/Qwen2.5-0.5B-Instruct");
    assert_eq!(facts.workloads, [Workload::Completion]);
    assert!(!facts.strict);
}

#[tokio::test]
async fn an_address_may_end_in_v1_and_the_key_is_sent() {
    let server = FakeServer::start(vllm);
    let url = format!("http://127.0.0.1:{}/v1/", server.port());
    let attach = Attach::Url(Address::parse(&url).expect("an address"));
    let key = Some(Secret::new("sk-1").expect("a key"));
    let engine =
        start(HttpEngineConfig { api_key: key, slots: Some(9), ..config(attach) }).await.expect("starts");
    assert_eq!(engine.facts().slots, 9);
    assert!(server.last("GET /v1/models").headers.contains("authorization: bearer sk-1"));
}

#[tokio::test]
async fn counts_are_the_servers_own() {
    let server = FakeServer::start(vllm);
    let engine = attach(&server).await;
    let measured =
        within(engine.measure(Arc::new(job(Input::Prompt("one two three".into()))))).await.expect("counts");
    assert_eq!((measured.tokens, measured.longest), (TokenCount(3), TokenCount(3)));
    let message = Message::new(Role::User, "one two");
    let measured =
        within(engine.measure(Arc::new(job(Input::Messages(vec![message]))))).await.expect("counts");
    assert_eq!(measured.tokens, TokenCount(4));
    let asked = server.last("POST /tokenize").json();
    assert_eq!(asked["messages"][0]["role"], "user");
    assert_eq!(asked["add_generation_prompt"], true);
    let inputs = Input::Inputs(vec!["a".into(), "b c d".into()]);
    let measured = within(engine.measure(Arc::new(job(inputs)))).await.expect("counts");
    assert_eq!((measured.tokens, measured.longest), (TokenCount(4), TokenCount(3)));
}

#[tokio::test]
async fn a_server_that_cannot_count_estimates_and_refuses_nothing_by_it() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /tokenize" => Some(Reply::closing(json(404, "{}"))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    let measured =
        within(engine.measure(Arc::new(job(Input::Prompt("x".repeat(400)))))).await.expect("counts");
    assert_eq!((measured.tokens, measured.longest), (TokenCount(100), TokenCount(1)));
}

#[tokio::test]
async fn a_model_that_embeds_and_one_that_ranks_say_so() {
    let server = FakeServer::start(|request| match request.line.as_str() {
        "POST /v1/embeddings" => Some(Reply::closing(json(
            200,
            r#"{"object":"list","data":[{"index":0,"object":"embedding","embedding":[0.6,0.8]}],"usage":{"prompt_tokens":1}}"#,
        ))),
        "POST /v1/rerank" => Some(Reply::closing(json(
            200,
            r#"{"id":"r","results":[{"index":0,"document":{"text":"a"},"relevance_score":0.5}],"usage":{"total_tokens":2}}"#,
        ))),
        "POST /v1/completions" => Some(Reply::closing(json(400, r#"{"message":"no"}"#))),
        _ => vllm(request),
    });
    let engine = attach(&server).await;
    assert_eq!(engine.facts().workloads, [Workload::Embedding, Workload::Rerank]);
    assert_eq!(engine.facts().model.embedding_size, 2);
}

async fn refusal(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> StartError {
    let server =
        FakeServer::start(move |request| answer(&request.line).map(Reply::closing).or_else(|| vllm(request)));
    start(config(Attach::Url(server.address()))).await.err().expect("does not start")
}

#[tokio::test]
async fn a_server_of_several_models_needs_a_name() {
    let models = r#"{"data":[{"id":"a","owned_by":"library"},{"id":"b","owned_by":"library"}]}"#;
    let error = refusal(move |line| (line == "GET /v1/models").then(|| json(200, models))).await;
    let StartError::Model(text) = error else { panic!("{error:?}") };
    assert!(text.ends_with("serves `a`, `b`: set the engine's `model` to one of them"), "{text}");
}

#[tokio::test]
async fn an_adapter_of_a_model_is_not_taken_for_another_model() {
    let models = MODELS.replace(
        r#"permission":[]}]"#,
        r#"permission":[]},{"id":"lora","parent":"Qwen/Qwen2.5-0.5B-Instruct"}]"#,
    );
    let server = FakeServer::start(move |request| match request.line.as_str() {
        "GET /v1/models" => Some(Reply::closing(json(200, &models))),
        _ => vllm(request),
    });
    assert_eq!(attach(&server).await.facts().model.name, "Qwen/Qwen2.5-0.5B-Instruct");
    let lora = HttpEngineConfig { model: Some("lora".into()), ..config(Attach::Url(server.address())) };
    assert_eq!(start(lora).await.expect("starts").facts().model.name, "lora");
    let none = HttpEngineConfig { model: Some("other".into()), ..config(Attach::Url(server.address())) };
    let error = start(none).await.err().expect("does not start").to_string();
    assert!(
        error.contains("does not serve the model `other`: it serves `Qwen/Qwen2.5-0.5B-Instruct`, `lora`"),
        "{error}"
    );
}

/// ORCH-ENG-3
#[tokio::test]
async fn what_is_not_an_engine_is_told_by_what_it_says() {
    let cases: [(&'static [u8], &str); 5] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>",
            "is not a list of models",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not HTTP/1.1 as an engine speaks it"),
        (
            b"HTTP/1.1 500 E\r\ncontent-length: 26\r\n\r\n{\"error\":\"tensor on fire\"}",
            "answers with status 500: tensor on fire",
        ),
        (b"HTTP/1.1 401 U\r\ncontent-length: 0\r\n\r\n", "hint: set the `api_key` of this engine"),
        (b"HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n", "is not a server of the OpenAI API"),
    ];
    for (bytes, wanted) in cases {
        let error = refusal(move |line| (line == "GET /v1/models").then(|| bytes.to_vec())).await;
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(error.to_string().contains("http://127.0.0.1:"), "{error}");
    }
}

/// ORCH-ENG-3
#[tokio::test]
async fn a_port_where_nobody_listens_is_said_to_be_one() {
    let port = FakeServer::start(|_| None).port();
    let error =
        start(config(Attach::Url(Address::of_this_machine(port)))).await.err().expect("does not start");
    assert_eq!(
        error.to_string(),
        format!("cannot connect to `openai-http` at http://127.0.0.1:{port}: nothing listens there")
    );
}
