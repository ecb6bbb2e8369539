//! OpenAI's newer form.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::contract::events;
use crate::test_daemon::TestDaemon;
use crate::tools::{a_call, call_of_patch, call_of_rome, calling};
use crate::wire::{Answer, Ask};
use crate::{Audit, with};

async fn respond(audit: &Audit, at: SocketAddr, more: &Value) -> Answer {
    let body = with(json!({"model": "starter", "input": "one two"}), more);
    audit.expect(200, at, Ask::post("/v1/responses").json(&body)).await
}

/// ORCH-OAI-12
#[tokio::test]
async fn a_response_is_told_whole_and_in_events_alike() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let more = json!({"instructions": "be brief", "max_output_tokens": 6});
    let whole = respond(&audit, daemon.address, &more).await.json();
    // The pretend engine says the words of the template it was given.
    assert_eq!(whole["output"][0]["content"][0]["text"], "system be brief user one two");
    assert_eq!(whole["status"], "incomplete");
    assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(
        whole["usage"],
        json!({"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 6,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 13})
    );

    let stream = respond(&audit, daemon.address, &with(more, &json!({"stream": true}))).await;
    let events = events(stream.text()).unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.data["sequence_number"].clone()).collect();
    assert_eq!(numbers, (0..events.len()).map(Value::from).collect::<Vec<_>>());
    assert_eq!(events[0].name, "response.created");
    let of_text = events.iter().filter(|event| event.name == "response.output_text.delta");
    let text: String = of_text.filter_map(|event| event.data["delta"].as_str()).collect();
    assert_eq!(text, "system be brief user one two");
    let last = &events[events.len() - 1];
    assert_eq!(last.name, "response.incomplete");
    assert_eq!(last.data["response"]["output"][0]["content"], whole["output"][0]["content"]);
    assert_eq!(last.data["response"]["usage"], whole["usage"]);
}

/// ORCH-OAI-12
#[tokio::test]
async fn a_call_is_an_item_of_its_own() {
    let (audit, daemon) = (Audit::new(), calling(a_call()).await);
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let whole = respond(&audit, daemon.address, &json!({"tools": tools})).await.json();
    assert_eq!(whole["output"][0]["content"][0]["text"], "Let me see.");
    assert_eq!(whole["output"][1]["type"], "function_call");
    assert_eq!(whole["output"][1]["name"], "weather");
    let arguments = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(arguments(&whole["output"][1]["arguments"]), json!({"city": "Rome"}));
    assert_eq!(whole["status"], "completed");
    let stream = respond(&audit, daemon.address, &json!({"tools": tools, "stream": true})).await;
    let events = events(stream.text()).unwrap();
    let done = events.iter().find(|event| event.name == "response.function_call_arguments.done").unwrap();
    assert_eq!(arguments(&done.data["arguments"]), json!({"city": "Rome"}));
    assert_eq!(done.data["output_index"], 1);
    let deltas = events.iter().filter(|event| event.name == "response.function_call_arguments.delta");
    let text: String = deltas.filter_map(|event| event.data["delta"].as_str()).collect();
    assert_eq!(arguments(&json!(text)), json!({"city": "Rome"}));
}

/// ORCH-OAI-23
#[tokio::test]
async fn a_custom_tool_and_one_of_a_namespace_are_called_as_their_client_calls_them() {
    let custom =
        json!([{"type": "custom", "name": "patch"}, {"type": "web_search"}, {"type": "local_shell"}]);
    let (audit, daemon) = (Audit::new(), calling(call_of_patch()).await);
    let whole = respond(&audit, daemon.address, &json!({"tools": custom})).await.json();
    let call = &whole["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("custom_tool_call"), &json!("patch")));
    assert_eq!(call["input"], "a\n\"b\"");
    assert_eq!(whole["tools"], custom);
    let stream = respond(&audit, daemon.address, &json!({"tools": custom, "stream": true})).await;
    let all = events(stream.text()).unwrap();
    let deltas = all.iter().filter(|event| event.name == "response.custom_tool_call_input.delta");
    let input: String = deltas.filter_map(|event| event.data["delta"].as_str()).collect();
    let done = all.iter().find(|event| event.name == "response.custom_tool_call_input.done").unwrap();
    assert_eq!((input.as_str(), &done.data["input"]), ("a\n\"b\"", &json!("a\n\"b\"")));

    let named = json!([{"type": "namespace", "name": "mcp__sky", "tools": [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}}]}]);
    let mut output = call_of_rome();
    for chunk in &mut output {
        for event in chunk.events.iter_mut().flatten() {
            if let generation::OutputEvent::ToolCall(delta) = event
                && let Some(start) = &mut delta.start
            {
                start.name = "mcp__sky__weather".to_owned();
            }
        }
    }
    let daemon = calling(output).await;
    let history = json!([
        {"role": "user", "content": "Rome?"},
        {"type": "function_call", "call_id": "c", "name": "weather", "namespace": "mcp__sky", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "?"},
        {"type": "web_search_call", "id": "ws", "status": "completed"}]);
    let whole = respond(&audit, daemon.address, &json!({"tools": named, "input": history})).await.json();
    let call = &whole["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("weather")));
    assert_eq!(call["namespace"], "mcp__sky");
}
