//! A pretend vLLM, and an engine attached to it.

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, EngineFactory, StartError};
use engine_http::testing::{FakeServer, Reply, Request, chunked, json, spec, sse};
use engine_http::{Attach, HttpEngineConfig, Timeouts};
use engine_openai::OpenAiFactory;

pub const MODELS: &str = r#"{"object":"list","data":[{"id":"Qwen/Qwen2.5-0.5B-Instruct","object":"model","created":1763846400,"owned_by":"vllm","root":"Qwen/Qwen2.5-0.5B-Instruct","parent":null,"max_model_len":4096,"permission":[]}]}"#;

/// What vLLM answers beside completions.
pub fn vllm(request: &Request) -> Option<Reply> {
    Some(Reply::closing(match request.line.as_str() {
        "GET /v1/models" => json(200, MODELS),
        "GET /version" => json(200, r#"{"version":"0.11.0"}"#),
        "GET /health" => json(200, ""),
        "POST /tokenize" => tokenize(request),
        "POST /v1/embeddings" => json(
            404,
            r#"{"error":{"message":"The model does not support Embeddings API","type":"NotFoundError","param":null,"code":404}}"#,
        ),
        "POST /v1/completions" | "POST /v1/chat/completions" => answer(&["Hello", " world"]),
        _ => json(404, r#"{"detail":"Not Found"}"#),
    }))
}

/// A token a word; a conversation has two more a message.
fn tokenize(request: &Request) -> Vec<u8> {
    let body = request.json();
    let words = |text: &serde_json::Value| text.as_str().unwrap_or_default().split_whitespace().count();
    let count = match body["messages"].as_array() {
        Some(messages) => messages.iter().map(|message| words(&message["content"]) + 2).sum(),
        None => words(&body["prompt"]),
    };
    let tokens: Vec<usize> = (0..count).collect();
    let body =
        serde_json::json!({ "count": count, "max_model_len": 4096, "tokens": tokens, "token_strs": null });
    json(200, &body.to_string())
}

/// A whole answer of these tokens.
pub fn answer(texts: &[&str]) -> Vec<u8> {
    let mut bytes = beginning(texts);
    let end = format!(
        "data: {{\"choices\":[{{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":3,\"total_tokens\":5,\"completion_tokens\":{}}}}}\n\n\
         data: [DONE]\n\n",
        texts.len()
    );
    bytes.extend(chunked(end.as_bytes()));
    bytes.extend(chunked(b""));
    bytes
}

/// An answer that has begun with these tokens.
pub fn beginning(texts: &[&str]) -> Vec<u8> {
    let events: Vec<_> = texts
        .iter()
        .map(|text| format!(r#"{{"choices":[{{"index":0,"text":"{text}","finish_reason":null}}]}}"#))
        .collect();
    sse(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

pub fn config(attach: Attach) -> HttpEngineConfig {
    let timeouts = Timeouts {
        probe_every: Duration::from_millis(20),
        probe_failures: 2,
        start: Duration::from_secs(30),
        ..Timeouts::default()
    };
    HttpEngineConfig { timeouts, ..HttpEngineConfig::new(attach) }
}

pub async fn start(config: HttpEngineConfig) -> Result<Arc<dyn Engine>, StartError> {
    let factory = OpenAiFactory::new(config);
    engine_http::testing::within(factory.start(spec(), Arc::new(|_| {}))).await
}

pub async fn attach(server: &FakeServer) -> Arc<dyn Engine> {
    start(config(Attach::Url(server.address()))).await.expect("starts")
}
