//! The API of Ollama at its own address.

use engine_api::Abilities;
use engine_mock::control::UNTIL_LIMIT;
use engine_mock::{Answer as Says, Phase};
use generation::{OutputChunk, Workload};
use orchestratord::pool_protocol::Order;
use serde_json::{Value, json};

use crate::test_daemon::{MockOptions, TestDaemon};
use crate::tools::{call_of_rome, text_piece, weather};
use crate::wire::{self, Answer, Ask};
use crate::{Audit, with};

#[path = "ollama/contract.rs"]
mod contract;
#[path = "ollama/leaving.rs"]
mod leaving;
#[path = "ollama/pulling.rs"]
mod pulling;

/// A request without the token, as clients of Ollama send it.
fn ask(path: &str, body: &Value) -> Ask {
    Ask::post(path).without("Authorization").json(body)
}

fn get(path: &str) -> Ask {
    Ask::get(path).without("Authorization")
}

/// A conversation of one turn, with more fields.
fn chat(text: &str, more: &Value) -> Ask {
    let body = json!({"model": "starter", "messages": [{"role": "user", "content": text}]});
    ask("/api/chat", &with(body, more))
}

/// A prompt, with more fields.
fn generate(prompt: &str, more: &Value) -> Ask {
    ask("/api/generate", &with(json!({"model": "starter", "prompt": prompt}), more))
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the lines of a chat say in `field` of their messages.
fn joined(lines: &[Value], field: &str) -> String {
    lines.iter().filter_map(|line| line["message"][field].as_str()).collect()
}

async fn with_options(options: MockOptions) -> TestDaemon {
    let daemon = TestDaemon::with(options);
    daemon.bring_up().await;
    daemon
}

/// A daemon whose model says these.
async fn saying(pieces: Vec<OutputChunk>) -> TestDaemon {
    let abilities = Abilities { tools: true, reasoning: true, ..Abilities::default() };
    with_options(MockOptions { says: Says::Chunks(pieces), abilities, ..MockOptions::default() }).await
}

/// ORCH-OLLAMA-2
/// ORCH-OLLAMA-6
#[tokio::test]
async fn a_chat_is_answered_in_lines_and_whole_with_its_counts() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let stream = audit.expect(200, daemon.ollama, chat("a b", &json!({}))).await;
    assert_eq!(stream.header("content-type"), Some("application/x-ndjson"));
    let lines = lines(&stream);
    assert_eq!(joined(&lines, "content"), "user a b assistant");
    let (last, pieces) = lines.split_last().unwrap();
    assert!(pieces.iter().all(|line| line["done"] == false && line.get("done_reason").is_none()));
    let asked =
        json!({"stream": false, "keep_alive": "5m", "options": {"num_predict": 2, "num_ctx": 999_999}});
    let whole = audit.expect(200, daemon.ollama, chat("a b", &asked)).await.json();
    assert_eq!(whole["message"]["content"], "user a");
    assert_eq!((&last["done_reason"], &whole["done_reason"]), (&json!("stop"), &json!("length")));
    for end in [last, &whole] {
        assert!(end["prompt_eval_count"].as_u64() > Some(0) && end["eval_count"].as_u64() > Some(0), "{end}");
        let ns = |field: &str| end[field].as_u64().unwrap();
        assert!(ns("total_duration") >= ns("load_duration") + ns("prompt_eval_duration"), "{end}");
        assert!(ns("eval_duration") > 0);
    }
}

/// ORCH-OLLAMA-2
/// ORCH-OLLAMA-5
#[tokio::test]
async fn a_prompt_goes_through_the_chat_template_unless_it_is_raw() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let said = async |more: Value| {
        let more = with(more, &json!({"stream": false}));
        audit.expect(200, daemon.ollama, generate("a b", &more)).await.json()["response"].clone()
    };
    assert_eq!(said(json!({})).await, "user a b assistant");
    assert_eq!(said(json!({"system": "s"})).await, "system s user a b assistant");
    assert_eq!(said(json!({"raw": true, "system": "s"})).await, "a b");
    let streamed = lines(&audit.expect(200, daemon.ollama, generate("a b", &json!({"raw": true}))).await);
    let response: String = streamed.iter().filter_map(|line| line["response"].as_str()).collect();
    assert_eq!(response, "a b");
}

/// ORCH-OLLAMA-2
#[tokio::test]
async fn reasoning_is_in_thinking_whole_and_in_lines() {
    let pieces = ["<thi", "nk>\nHm", ".\n</think>\n\n", "Yes."].map(text_piece);
    let (audit, daemon) = (Audit::of_ollama(), saying(pieces.into()).await);
    let whole = audit.expect(200, daemon.ollama, chat("x", &json!({"stream": false, "think": true}))).await;
    let message = &whole.json()["message"];
    assert_eq!((&message["thinking"], &message["content"]), (&json!("Hm."), &json!("Yes.")));
    let lines = lines(&audit.expect(200, daemon.ollama, chat("x", &json!({"think": "low"}))).await);
    assert_eq!(
        (joined(&lines, "thinking"), joined(&lines, "content")),
        ("Hm.".to_owned(), "Yes.".to_owned())
    );
}

/// ORCH-OLLAMA-2
/// ORCH-OLLAMA-5
#[tokio::test]
async fn a_call_of_a_tool_is_whole_and_its_result_is_taken_back() {
    let (audit, daemon) = (Audit::of_ollama(), saying(call_of_rome()).await);
    let offered = json!({"tools": weather()});
    let whole = with(offered.clone(), &json!({"stream": false}));
    let whole = audit.expect(200, daemon.ollama, chat("Rome?", &whole)).await.json();
    let streamed = lines(&audit.expect(200, daemon.ollama, chat("Rome?", &offered)).await);
    let calling: Vec<_> =
        streamed.iter().filter(|line| line["message"].get("tool_calls").is_some()).collect();
    assert_eq!(calling.len(), 1);
    for message in [&whole["message"], &calling[0]["message"]] {
        let function = &message["tool_calls"][0]["function"];
        assert_eq!(*function, json!({"index": 0, "name": "weather", "arguments": {"city": "Rome"}}));
    }
    let history = json!({"tools": weather(), "stream": false, "messages": [
        {"role": "user", "content": "Rome?"},
        whole["message"],
        {"role": "tool", "tool_name": "weather", "content": "Sunny."},
    ]});
    audit.expect(200, daemon.ollama, chat("", &history)).await;
}

/// ORCH-OLLAMA-5
#[tokio::test]
async fn a_field_that_would_change_the_answer_is_rejected_by_name() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    for (ask, words) in [
        (chat("x", &json!({"options": {"temperature": -1}})), "`options.temperature` is -1"),
        (chat("x", &json!({"options": {"temprature": 1}})), "did you mean `temperature`?"),
        (chat("x", &json!({"tempreature": 1})), "`tempreature` is not a field"),
        (chat("x", &json!({"format": "yaml"})), "`format` is"),
        (chat("x", &json!({"think": "huge"})), "`think` is"),
        (chat("x", &json!({"keep_alive": "a while"})), "`keep_alive` is"),
        (chat("x", &json!({"tools": weather()})), "`tools`"),
        (
            chat("x", &json!({"messages": [{"role": "robot", "content": ""}]})),
            "`messages[0].role` is `robot`",
        ),
        (
            chat("x", &json!({"messages": [{"role": "user", "images": ["x"]}]})),
            "`messages[0].images[0]` is no image",
        ),
        (generate("x", &json!({"suffix": "b"})), "`suffix`"),
        (generate("x", &json!({"template": "{{ .Prompt }}"})), "`template` is"),
        (generate("x", &json!({"context": [1, 2]})), "`/api/chat`"),
        (
            ask("/api/embed", &json!({"model": "starter", "input": ["a"], "dimensions": 0})),
            "`dimensions` is 0",
        ),
    ] {
        let refused = audit.expect(400, daemon.ollama, ask).await.json();
        let error = refused["error"].as_str().unwrap();
        assert!(error.contains(words), "{words}: {error}");
    }
    assert_eq!(daemon.control.counts().submitted, daemon.control.counts().ended, "none became a task");
}

/// ORCH-OLLAMA-3
#[tokio::test]
async fn a_pool_is_listed_and_found_under_all_of_its_names() {
    let aliases = vec!["llama3.2".to_owned(), "qwen3:8b".to_owned()];
    let abilities = Abilities { tools: true, reasoning: true, ..Abilities::default() };
    let daemon = with_options(MockOptions { aliases, abilities, ..MockOptions::default() }).await;
    let audit = Audit::of_ollama();
    let tags = audit.expect(200, daemon.ollama, get("/api/tags")).await.json();
    let names: Vec<_> =
        tags["models"].as_array().unwrap().iter().map(|model| model["name"].clone()).collect();
    assert_eq!(names, ["p:latest", "llama3.2:latest", "qwen3:8b"]);
    let digest = &tags["models"][0]["digest"];
    assert_eq!(digest, &tags["models"][2]["digest"], "one model has one digest");
    for name in ["p", "p:latest", "llama3.2", "llama3.2:latest", "qwen3:8b", "starter:latest"] {
        let shown = audit.expect(200, daemon.ollama, ask("/api/show", &json!({"model": name}))).await.json();
        assert_eq!(shown["capabilities"], json!(["completion", "tools", "thinking", "embedding"]));
        let architecture = shown["model_info"]["general.architecture"].as_str().unwrap();
        assert_eq!(shown["model_info"][format!("{architecture}.context_length")], 4096, "{shown}");
        audit.expect(200, daemon.ollama, chat("x", &json!({"model": name, "stream": false}))).await;
    }
    let loaded = audit.expect(200, daemon.ollama, get("/api/ps")).await.json();
    assert_eq!((&loaded["models"][0]["name"], &loaded["models"][0]["digest"]), (&json!("p:latest"), digest));
    daemon.unload().await;
    let loaded = audit.expect(200, daemon.ollama, get("/api/ps")).await.json();
    assert_eq!(loaded["models"], json!([]));
}

/// ORCH-OLLAMA-4
#[tokio::test]
async fn a_model_that_is_not_served_is_not_found() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let of = |model: &str| json!({"model": model, "stream": false});
    let unknown = of("gpt-oss:20b");
    for path in ["/api/show", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"] {
        let mut body = unknown.clone();
        if !matches!(path, "/api/chat" | "/api/generate") {
            body.as_object_mut().unwrap().remove("stream");
        }
        let refused = audit.expect(404, daemon.ollama, ask(path, &body)).await.json();
        assert_eq!(refused["error"], "model 'gpt-oss:20b' not found: there is 'p:latest'");
    }
    let pull = audit.expect(400, daemon.ollama, ask("/api/pull", &of("llama3.2"))).await.json();
    assert!(pull["error"].as_str().unwrap().contains("`hf:OWNER/REPO/FILE.gguf`"), "{pull}");
}

/// ORCH-OLLAMA-7
#[tokio::test]
async fn a_request_without_a_prompt_is_about_the_model_alone() {
    let (audit, mut daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let load = ask("/api/generate", &json!({"model": "starter", "keep_alive": -1}));
    let loaded = lines(&audit.expect(200, daemon.ollama, load).await);
    assert_eq!(
        (loaded.len(), &loaded[0]["done_reason"], &loaded[0]["response"]),
        (1, &json!("load"), &json!(""))
    );
    let unload = json!({"model": "starter", "messages": [], "keep_alive": 0, "stream": false});
    let unloaded = audit.expect(200, daemon.ollama, ask("/api/chat", &unload)).await.json();
    assert_eq!((&unloaded["done_reason"], &unloaded["done"]), (&json!("unload"), &json!(true)));
    let unloads = async { while !matches!(daemon.ordered.recv().await, Some(Order::Unload)) {} };
    tokio::time::timeout(UNTIL_LIMIT, unloads).await.expect("the model is let go");
}

/// ORCH-OLLAMA-2
#[tokio::test]
async fn texts_become_vectors_in_both_forms() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let asked = json!({"model": "starter", "input": ["a b", "c"], "truncate": true});
    let many = audit.expect(200, daemon.ollama, ask("/api/embed", &asked)).await.json();
    assert_eq!(many["embeddings"].as_array().unwrap().len(), 2);
    let one = ask("/api/embeddings", &json!({"model": "starter", "prompt": "a b"}));
    let one = audit.expect(200, daemon.ollama, one).await.json();
    assert_eq!(one["embedding"].as_array().unwrap().len(), many["embeddings"][0].as_array().unwrap().len());
    let none = ask("/api/embed", &json!({"model": "starter", "input": ""}));
    assert_eq!(audit.expect(200, daemon.ollama, none).await.json()["embeddings"], json!([]));
}

/// ORCH-OLLAMA-1
#[tokio::test]
async fn the_address_asks_for_no_token_and_is_closed_to_pages_and_foreign_names() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let text = chat("x", &json!({"stream": false})).header("Content-Type", "text/plain");
    audit.expect(403, daemon.ollama, text.header("Origin", "http://example.org")).await;
    let rebound = get("/api/tags").without("Host").header("Host", "example.org:11434");
    audit.expect(403, daemon.ollama, rebound).await;
    audit.expect(403, daemon.ollama, get("/api/tags").header("Origin", "null")).await;
    let allowed = wire::send(daemon.ollama, &get("/api/tags").header("Origin", "https://chat.example")).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://chat.example"));
    let dummy = get("/api/tags").header("Authorization", "Bearer ollama");
    audit.expect(200, daemon.ollama, dummy).await;
}

/// ORCH-OLLAMA-1
#[tokio::test]
async fn the_openai_plane_is_at_the_address_and_the_control_of_the_daemon_is_not() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    let models = wire::send(daemon.ollama, &get("/v1/models")).await;
    assert_eq!((models.status, &models.json()["object"]), (200, &json!("list")));
    let wrong =
        wire::send(daemon.ollama, &ask("/v1/chat/completions", &json!({"model": "x", "messages": []}))).await;
    assert_eq!(wrong.json()["error"]["type"], "invalid_request_error", "in that plane's own words");
    for path in ["/v1/tasks", "/health", "/metrics", "/console", "/v1/store", "/v1/pools/p/reload"] {
        let refused = audit.expect(404, daemon.ollama, get(path)).await.json();
        assert!(refused["error"].as_str().unwrap().contains("`/api/chat`"), "{refused}");
    }
}

/// ORCH-OLLAMA-1
#[tokio::test]
async fn the_token_is_asked_for_where_the_configuration_says_so() {
    let daemon = with_options(MockOptions { ollama_needs_token: true, ..MockOptions::default() }).await;
    let audit = Audit::of_ollama();
    audit.expect(401, daemon.ollama, get("/api/tags")).await;
    audit.expect(401, daemon.ollama, get("/api/tags").header("Authorization", "Bearer ollama")).await;
    audit.expect(200, daemon.ollama, Ask::get("/api/tags")).await;
    audit.expect(200, daemon.ollama, get("/")).await;
}

/// ORCH-OLLAMA-2
#[tokio::test]
async fn a_stream_that_waits_carries_lines_without_text() {
    let (audit, daemon) = (Audit::of_ollama(), TestDaemon::new().await);
    daemon.control.hold(Phase::Decode);
    let mut stream = leaving::send(daemon.ollama, "/api/chat", &leaving::body(true)).await;
    leaving::read_until(&mut stream, "\"content\":\"\"").await;
    daemon.control.release(Phase::Decode);
    leaving::read_until(&mut stream, "\"done\":true").await;
    audit.expect(200, daemon.ollama, chat("x", &json!({}))).await;
}

/// ORCH-OLLAMA-5
#[tokio::test]
async fn the_tokens_of_an_answer_are_told_with_their_probabilities() {
    let abilities = Abilities { logprobs: Some(20), ..Abilities::default() };
    let daemon = with_options(MockOptions { abilities, ..MockOptions::default() }).await;
    let audit = Audit::of_ollama();
    let asked = json!({"logprobs": true, "top_logprobs": 1, "stream": false});
    let whole = audit.expect(200, daemon.ollama, chat("a", &asked)).await.json();
    let texts: Vec<_> =
        whole["logprobs"].as_array().unwrap().iter().map(|token| token["token"].clone()).collect();
    assert_eq!(texts, ["user", " a", " assistant"]);
}

/// ORCH-OLLAMA-7
#[tokio::test]
async fn a_model_of_vectors_is_loaded_without_a_prompt() {
    let workloads = vec![Workload::Embedding];
    let daemon = with_options(MockOptions { workloads, ..MockOptions::default() }).await;
    let audit = Audit::of_ollama();
    let load = ask("/api/generate", &json!({"model": "starter", "stream": false}));
    assert_eq!(audit.expect(200, daemon.ollama, load).await.json()["done_reason"], "load");
}
