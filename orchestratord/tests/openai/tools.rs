//! Calls of tools.

use engine_api::Abilities;
use engine_mock::Answer as Says;
use generation::{OutputChunk, OutputEvent, ToolCallDelta, ToolCallStart};
use serde_json::{Value, json};

use crate::contract;
use crate::test_daemon::{MockOptions, TestDaemon};
use crate::wire::Ask;
use crate::{Audit, chat, events, with};

/// A daemon whose engine takes tools, and answers `pieces`.
pub async fn calling(pieces: Vec<OutputChunk>) -> TestDaemon {
    let abilities = Abilities { tools: true, ..Abilities::default() };
    let daemon =
        TestDaemon::with(MockOptions { says: Says::Chunks(pieces), abilities, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon
}

/// A call with text before it.
pub fn a_call() -> Vec<OutputChunk> {
    let mut pieces = vec![text_piece("Let me see.")];
    pieces.extend(call_of_rome());
    pieces
}

/// The call alone.
pub fn call_of_rome() -> Vec<OutputChunk> {
    vec![call_start(0, "", "weather"), call_arguments(0, r#"{"city": "#), call_arguments(0, r#""Rome"}"#)]
}

/// The beginning of a call.
fn call_start(index: u32, id: &str, name: &str) -> OutputChunk {
    let start = ToolCallStart { id: id.to_owned(), name: name.to_owned() };
    call("<tool_call>", ToolCallDelta { index, start: Some(start), arguments: String::new() })
}

/// More of the arguments of a call.
fn call_arguments(index: u32, text: &str) -> OutputChunk {
    call(text, ToolCallDelta { index, start: None, arguments: text.to_owned() })
}

fn call(text: &str, delta: ToolCallDelta) -> OutputChunk {
    OutputChunk { events: Some(vec![OutputEvent::ToolCall(delta)]), ..text_piece(text) }
}

pub fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

/// ORCH-OAI-10
#[tokio::test]
async fn a_call_comes_out_as_one_whole_and_in_pieces_alike() {
    let (audit, daemon) = (Audit::new(), calling(a_call()).await);
    let whole = audit.expect(200, daemon.address, chat("Rome?", &json!({"tools": weather()}))).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Let me see.");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather");
    let arguments = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(arguments(&call["function"]["arguments"]), json!({"city": "Rome"}));

    let more = json!({"tools": weather(), "stream": true});
    let stream = audit.expect(200, daemon.address, chat("Rome?", &more)).await;
    let events = events(&stream);
    let deltas: Vec<_> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(text, "Let me see.");
    let calls: Vec<_> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!(calls[0]["function"]["name"], "weather");
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    let text: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments(&json!(text)), json!({"city": "Rome"}));
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

/// ORCH-OAI-10
#[tokio::test]
async fn a_conversation_with_calls_and_results_goes_on() {
    let (audit, daemon) = (Audit::new(), calling(vec![text_piece("Sunny.")]).await);
    let messages = json!([
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "30 degrees"}
    ]);
    let more = json!({"messages": messages, "tools": weather()});
    let whole = audit.expect(200, daemon.address, chat("", &more)).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Sunny.");
}

/// ORCH-OAI-10
#[tokio::test]
async fn what_the_engine_does_not_take_is_refused_by_name() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let picture = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    ]}]});
    for (more, param, words) in [
        (json!({"tools": weather()}), json!("tools"), "does not take here"),
        (json!({"tools": weather(), "tool_choice": "required"}), json!("tools"), "does not take here"),
        (
            json!({"tools": weather(), "tool_choice": {"type": "function", "function": {"name": "x"}}}),
            json!("tool_choice"),
            "not among the `tools`",
        ),
        (picture, json!("messages[0]"), "reads text only"),
    ] {
        let refused = audit.expect(400, daemon.address, chat("Rome?", &more)).await.json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(words), "{refused}");
    }
}

/// A daemon whose engine reads calls itself: a text that looks like a call and is none, and two calls.
async fn telling_apart() -> TestDaemon {
    let pieces = vec![
        text_piece("I write "),
        text_piece(LOOKS_LIKE_A_CALL),
        call_start(0, "Qx7", "weather"),
        call_arguments(0, "{\"city\":"),
        call_arguments(0, "\"Rome\"}"),
        call_start(1, "", "weather"),
        call_arguments(1, "{not JSON"),
    ];
    calling(pieces).await
}

pub fn text_piece(text: &str) -> OutputChunk {
    OutputChunk::text(text, vec![7])
}

/// What a model of the Hermes family would call with.
const LOOKS_LIKE_A_CALL: &str = r#"<tool_call>{"name": "weather", "arguments": {}}</tool_call>"#;

/// ORCH-ENG-13
#[tokio::test]
async fn calls_that_an_engine_tells_apart_come_out_as_it_told_them() {
    let (audit, daemon) = (Audit::new(), telling_apart().await);
    let content = format!("I write {LOOKS_LIKE_A_CALL}");
    let whole = audit.expect(200, daemon.address, chat("Rome?", &json!({"tools": weather()}))).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], json!(content), "its text is not read for calls");
    assert_eq!(choice["finish_reason"], "tool_calls");
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(
        (&calls[0]["id"], &calls[0]["function"]["arguments"]),
        (&json!("Qx7"), &json!(r#"{"city":"Rome"}"#))
    );
    assert!(
        calls[1]["id"].as_str().unwrap().starts_with("call_"),
        "one that it has no name for is given one"
    );
    assert_eq!(calls[1]["function"]["arguments"], "{not JSON", "and its arguments are what it said");

    let more = json!({"tools": weather(), "stream": true});
    let stream = audit.expect(200, daemon.address, chat("Rome?", &more)).await;
    let events = events(&stream);
    let deltas: Vec<_> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(text, content);
    let told: Vec<_> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!((&told[0]["id"], &told[0]["function"]["name"]), (&json!("Qx7"), &json!("weather")));
    let of = |index: u32| -> String {
        let of = told.iter().filter(|call| call["index"] == index);
        of.filter_map(|call| call["function"]["arguments"].as_str()).collect()
    };
    assert_eq!((of(0).as_str(), of(1).as_str()), (r#"{"city":"Rome"}"#, "{not JSON"));
}

/// ORCH-ENG-13
#[tokio::test]
async fn calls_that_an_engine_tells_apart_are_blocks_and_items_of_their_own() {
    let (audit, daemon) = (Audit::new(), telling_apart().await);
    let tool = json!({"name": "weather", "input_schema": {"type": "object"}});
    let turn = json!({"role": "user", "content": "Rome?"});
    let body = json!({"model": "starter", "max_tokens": 99, "messages": [turn], "tools": [tool]});
    let message = audit.expect(200, daemon.address, Ask::post("/v1/messages").json(&body)).await.json();
    assert_eq!(message["stop_reason"], "tool_use");
    let call = json!({"type": "tool_use", "id": "Qx7", "name": "weather", "input": {"city": "Rome"}});
    assert_eq!(message["content"][1], call);
    let stream = with(body, &json!({"stream": true}));
    let stream = audit.expect(200, daemon.address, Ask::post("/v1/messages").json(&stream)).await;
    let named = contract::events(stream.text()).unwrap();
    let begun = named.iter().filter(|event| event.name == "content_block_start");
    assert_eq!(begun.clone().count(), 3);
    assert!(begun.clone().any(|event| event.data["content_block"]["id"] == "Qx7"));

    let tool = json!({"type": "function", "name": "weather", "parameters": {"type": "object"}});
    let body = json!({"model": "starter", "input": "Rome?", "tools": [tool]});
    let response = audit.expect(200, daemon.address, Ask::post("/v1/responses").json(&body)).await.json();
    assert_eq!(response["output"][1]["call_id"], "Qx7");
    assert_eq!(response["output"][1]["arguments"], r#"{"city":"Rome"}"#);
}

/// ORCH-OAI-10
#[tokio::test]
async fn a_call_that_was_cut_does_not_look_like_one_to_run() {
    let cut = vec![call_start(0, "Qx7", "weather"), call_arguments(0, "{\"city\": \"")];
    let (audit, daemon) = (Audit::new(), calling(cut).await);
    let asked = json!({"tools": weather()});
    let whole = audit.expect(200, daemon.address, chat("Rome?", &asked)).await.json();
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    let stream =
        audit.expect(200, daemon.address, chat("Rome?", &with(asked, &json!({"stream": true})))).await;
    assert_eq!(events(&stream).last().unwrap()["choices"][0]["finish_reason"], "stop");
    let tool = json!({"name": "weather", "input_schema": {"type": "object"}});
    let turn = json!({"role": "user", "content": "Rome?"});
    let body = json!({"model": "starter", "max_tokens": 99, "messages": [turn], "tools": [tool]});
    let message = audit.expect(200, daemon.address, Ask::post("/v1/messages").json(&body)).await.json();
    // Anthropic's clients answer every call of a message, and expect this reason with one.
    assert_eq!(
        (&message["content"][0]["type"], &message["stop_reason"]),
        (&json!("tool_use"), &json!("tool_use"))
    );
}

/// A call of the custom tool `patch`.
pub fn call_of_patch() -> Vec<OutputChunk> {
    vec![
        call_start(0, "", "patch"),
        call_arguments(0, r#"{"inp"#),
        call_arguments(0, r#"ut": "a\n\"b"#),
        call_arguments(0, r#"\""}"#),
    ]
}

/// ORCH-OAI-23
#[tokio::test]
async fn a_call_of_a_custom_tool_comes_out_as_one_whole_and_in_pieces_alike() {
    let (audit, daemon) = (Audit::new(), calling(call_of_patch()).await);
    let tools = json!([{"type": "custom", "custom": {"name": "patch", "description": "Changes files."}}]);
    let whole = audit.expect(200, daemon.address, chat("Go.", &json!({"tools": tools}))).await.json();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        (&call["type"], &call["custom"]),
        (&json!("custom"), &json!({"name": "patch", "input": "a\n\"b\""}))
    );
    let stream =
        audit.expect(200, daemon.address, chat("Go.", &json!({"tools": tools, "stream": true}))).await;
    let events = events(&stream);
    let calls = events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0));
    let calls: Vec<_> = calls.collect();
    assert_eq!((&calls[0]["type"], &calls[0]["custom"]["name"]), (&json!("custom"), &json!("patch")));
    let input: String = calls.iter().filter_map(|call| call["custom"]["input"].as_str()).collect();
    assert_eq!(input, "a\n\"b\"");
}

/// ORCH-OAI-23
#[tokio::test]
async fn a_chat_leaves_tools_out_that_only_their_provider_runs() {
    let (audit, daemon) = (Audit::new(), calling(a_call()).await);
    let tools = json!([
        {"type": "web_search_preview", "search_context_size": "low"},
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let answer = audit.expect(200, daemon.address, crate::chat("one", &json!({"tools": tools}))).await.json();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "weather");
    let only = json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "function", "function": {"name": "x"}}});
    audit.expect(400, daemon.address, crate::chat("one", &only)).await;
}
