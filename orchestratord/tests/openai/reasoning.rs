//! Reasoning in responses.

use engine_api::Abilities;
use engine_mock::Answer as Says;
use generation::OutputChunk;
use serde_json::{Value, json};

use crate::contract;
use crate::test_daemon::{MockOptions, TestDaemon};
use crate::tools::{call_of_rome, text_piece, weather};
use crate::wire::{self, Ask};
use crate::{Audit, chat, completion, events, with};

/// A daemon whose model says these, each with a token.
async fn saying(texts: &[&str]) -> TestDaemon {
    answering(texts.iter().map(|text| text_piece(text)).collect()).await
}

async fn answering(pieces: Vec<OutputChunk>) -> TestDaemon {
    let abilities = Abilities { tools: true, logprobs: Some(0), ..Abilities::default() };
    let says = Says::Chunks(pieces);
    let daemon = TestDaemon::with(MockOptions { says, abilities, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon
}

const REASONS: [&str; 6] = ["<thi", "nk>\nIs it", " <b>?\n", "</think>\n\n", "Yes", "."];

/// What the events say in `field` of their deltas.
fn joined(events: &[Value], field: &str) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"][field].as_str()).collect()
}

/// ORCH-OAI-17
#[tokio::test]
async fn a_chat_has_reasoning_apart_from_its_text_whole_and_in_chunks() {
    let (audit, daemon) = (Audit::new(), saying(&REASONS).await);
    let whole = audit.expect(200, daemon.address, chat("x", &json!({}))).await.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("Is it <b>?"), &json!("Yes.")));
    let stream = audit.expect(200, daemon.address, chat("x", &json!({"stream": true}))).await;
    let events = events(&stream);
    assert_eq!(joined(&events, "reasoning_content"), "Is it <b>?");
    assert_eq!(joined(&events, "content"), "Yes.");
    // Text that goes on from a prompt is the model's own, marks and all.
    let raw = audit.expect(200, daemon.address, completion("x", &json!({}))).await.json();
    assert_eq!(raw["choices"][0]["text"], REASONS.concat());
}

/// ORCH-OAI-17
#[tokio::test]
async fn reasoning_that_was_cut_off_is_no_text() {
    let (audit, daemon) = (Audit::new(), saying(&["<think>", "Hm"]).await);
    let message =
        audit.expect(200, daemon.address, chat("x", &json!({}))).await.json()["choices"][0]["message"]
            .clone();
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("Hm"), &json!("")));
    let body = json!({"model": "starter", "input": "x"});
    let response = audit.expect(200, daemon.address, Ask::post("/v1/responses").json(&body)).await.json();
    let kinds: Vec<_> =
        response["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(kinds, ["reasoning"]);
}

/// ORCH-OAI-17
#[tokio::test]
async fn a_call_within_reasoning_is_none() {
    let called = r#"<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>"#;
    let reasoning = ["<think>", called, "</think>"].map(text_piece);
    let daemon = answering(reasoning.into_iter().chain(call_of_rome()).collect()).await;
    let audit = Audit::new();
    let more = json!({"tools": weather(), "logprobs": true});
    let whole = audit.expect(200, daemon.address, chat("x", &more)).await.json();
    let message = &whole["choices"][0]["message"];
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(message["reasoning_content"], called);
    let stream = audit.expect(200, daemon.address, chat("x", &with(more, &json!({"stream": true})))).await;
    let events = events(&stream);
    assert_eq!(joined(&events, "reasoning_content"), called);
    let calls = events.iter().filter(|event| event["choices"][0]["delta"]["tool_calls"][0]["id"].is_string());
    assert_eq!(calls.count(), 1);
}

/// ORCH-OAI-17
#[tokio::test]
async fn a_message_has_a_thinking_block_before_its_text() {
    let (audit, daemon) = (Audit::new(), saying(&REASONS).await);
    let ask = |stream: bool| {
        Ask::post("/v1/messages").json(&json!({"model": "starter", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "x"}]}))
    };
    let whole = audit.expect(200, daemon.address, ask(false)).await.json();
    let thinking = json!({"type": "thinking", "thinking": "Is it <b>?", "signature": ""});
    assert_eq!(whole["content"], json!([thinking, {"type": "text", "text": "Yes."}]));
    let stream = audit.expect(200, daemon.address, ask(true)).await;
    let events = contract::events(stream.text()).unwrap();
    let said: Vec<String> = events
        .iter()
        .map(|event| {
            match event.data["delta"]["type"].as_str().or(event.data["content_block"]["type"].as_str()) {
                Some(kind) => format!("{kind} {}", event.data["index"]),
                None => event.name.clone(),
            }
        })
        .collect();
    assert_eq!(
        said,
        [
            "message_start",
            "thinking 0",
            "thinking_delta 0",
            "thinking_delta 0",
            "signature_delta 0",
            "content_block_stop",
            "text 1",
            "text_delta 1",
            "text_delta 1",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
}

/// ORCH-OAI-17
#[tokio::test]
async fn a_response_has_a_reasoning_item_before_its_message() {
    let (audit, daemon) = (Audit::new(), saying(&REASONS).await);
    let ask = |stream: bool| {
        Ask::post("/v1/responses").json(&json!({"model": "starter", "input": "x", "stream": stream}))
    };
    let whole = audit.expect(200, daemon.address, ask(false)).await.json();
    let [reasoning, message] = whole["output"].as_array().unwrap().as_slice() else { panic!("{whole}") };
    assert_eq!(reasoning["content"], json!([{"type": "reasoning_text", "text": "Is it <b>?"}]));
    assert_eq!((&reasoning["type"], &reasoning["summary"]), (&json!("reasoning"), &json!([])));
    assert_eq!(message["content"][0]["text"], "Yes.");
    let stream = audit.expect(200, daemon.address, ask(true)).await;
    let events = contract::events(stream.text()).unwrap();
    let deltas: String = events
        .iter()
        .filter(|event| event.name == "response.reasoning_text.delta")
        .map(|event| event.data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, "Is it <b>?");
    let last = &events.last().unwrap().data["response"]["output"];
    let without_ids = |items: &Value| {
        let mut items = items.clone();
        items.as_array_mut().unwrap().iter_mut().for_each(|item| item["id"] = Value::Null);
        items
    };
    assert_eq!(without_ids(last), without_ids(&whole["output"]));
}

/// ORCH-OAI-18
#[tokio::test]
async fn tokens_of_reasoning_are_counted_in_every_usage() {
    let (audit, daemon) = (Audit::new(), saying(&REASONS).await);
    let chat_usage = audit.expect(200, daemon.address, chat("x", &json!({}))).await.json()["usage"].clone();
    // The tags and what is between them; the end tag comes with the text behind it.
    assert_eq!(chat_usage["completion_tokens_details"]["reasoning_tokens"], 3, "{chat_usage}");
    assert_eq!(chat_usage["completion_tokens"], 6);
    let body = json!({"model": "starter", "input": "x"});
    let response = audit.expect(200, daemon.address, Ask::post("/v1/responses").json(&body)).await.json();
    assert_eq!(response["usage"]["output_tokens_details"]["reasoning_tokens"], 3);
}

/// ORCH-OAI-18
#[tokio::test]
async fn reasoning_stays_in_the_text_or_out_of_the_response_where_the_request_says_so() {
    let (audit, daemon) = (Audit::new(), saying(&REASONS).await);
    for (more, content) in [
        (json!({"reasoning_format": "none"}), "<think>Is it <b>?</think>Yes."),
        (json!({"reasoning": {"exclude": true}}), "Yes."),
    ] {
        let whole = audit.expect(200, daemon.address, chat("x", &more)).await.json();
        let message = &whole["choices"][0]["message"];
        assert_eq!((&message["reasoning_content"], &message["content"]), (&Value::Null, &json!(content)));
        let stream = with(more, &json!({"stream": true}));
        let stream = audit.expect(200, daemon.address, chat("x", &stream)).await;
        let events = events(&stream);
        assert_eq!(
            (joined(&events, "reasoning_content").as_str(), joined(&events, "content").as_str()),
            ("", content)
        );
    }
}

/// ORCH-OAI-17
#[tokio::test]
async fn the_data_plane_has_the_raw_text_and_what_it_was_parsed_into() {
    let daemon = saying(&REASONS).await;
    let id = "6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f";
    let task = json!({"task_id": id, "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(wire::send(daemon.address, &Ask::post("/v1/tasks").json(&task)).await.status, 202);
    let stream = wire::send(daemon.address, &Ask::get(&format!("/v1/tasks/{id}/stream"))).await;
    let events = contract::events(stream.text()).unwrap();
    let tokens: Vec<_> =
        events.iter().filter(|event| event.name == "token").map(|event| &event.data).collect();
    let raw: String = tokens.iter().map(|token| token["t"].as_str().unwrap()).collect();
    assert_eq!(raw, REASONS.concat());
    let (mut reasoning, mut text) = (String::new(), String::new());
    for token in tokens {
        let Some(parts) = token["output"].as_array() else {
            text.push_str(token["t"].as_str().unwrap());
            continue;
        };
        for part in parts {
            reasoning.push_str(part["reasoning"].as_str().unwrap_or_default());
            text.push_str(part["text"].as_str().unwrap_or_default());
        }
    }
    assert_eq!((reasoning.as_str(), text.as_str()), ("Is it <b>?", "Yes."));
}
