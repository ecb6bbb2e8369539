//! Anthropic's form.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::contract::events;
use crate::test_daemon::TestDaemon;
use crate::tools::{a_call, calling};
use crate::wire::{Answer, Ask};
use crate::{Audit, with};
use orchestratord::pool_protocol::Order;

async fn message(audit: &Audit, at: SocketAddr, more: &Value) -> Answer {
    let body =
        json!({"model": "starter", "max_tokens": 64, "messages": [{"role": "user", "content": "one two"}]});
    audit.expect(200, at, Ask::post("/v1/messages").json(&with(body, more))).await
}

/// ORCH-OAI-11
#[tokio::test]
async fn a_message_is_answered_whole_and_in_events_alike() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let more = json!({"system": [{"type": "text", "text": "be brief"}]});
    let whole = message(&audit, daemon.address, &more).await.json();
    // The pretend engine says the words of the template it was given.
    let said = "system be brief user one two assistant";
    assert_eq!(whole["content"], json!([{"type": "text", "text": said}]));
    assert_eq!(whole["stop_reason"], "end_turn");
    assert_eq!(whole["usage"], json!({"input_tokens": 7, "cache_read_input_tokens": 0, "output_tokens": 7}));

    let stream = message(&audit, daemon.address, &with(more, &json!({"stream": true}))).await;
    let events = events(stream.text()).unwrap();
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names[..2], ["message_start", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let texts: String = events.iter().filter_map(|event| event.data["delta"]["text"].as_str()).collect();
    assert_eq!(texts, said);
    let end = &events[events.len() - 2].data;
    assert_eq!((&end["delta"]["stop_reason"], &end["usage"]), (&whole["stop_reason"], &whole["usage"]));
}

/// ORCH-OAI-11
#[tokio::test]
async fn a_call_is_a_block_of_its_own() {
    let (audit, daemon) = (Audit::new(), calling(a_call()).await);
    let tools = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
    let whole = message(&audit, daemon.address, &json!({"tools": tools})).await.json();
    assert_eq!(whole["stop_reason"], "tool_use");
    assert_eq!(whole["content"][0], json!({"type": "text", "text": "Let me see."}));
    assert_eq!(whole["content"][1]["name"], "weather");
    assert_eq!(whole["content"][1]["input"], json!({"city": "Rome"}));
    let stream = message(&audit, daemon.address, &json!({"tools": tools, "stream": true})).await;
    let events = events(stream.text()).unwrap();
    let of_call = |event: &&crate::contract::Event| event.data["index"] == 1;
    let start = events.iter().find(of_call).unwrap();
    assert_eq!(start.data["content_block"]["name"], "weather");
    let json: String =
        events.iter().filter_map(|event| event.data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!({"city": "Rome"}));
    assert_eq!(events[events.len() - 2].data["delta"]["stop_reason"], "tool_use");
}

/// ORCH-OAI-11
#[tokio::test]
async fn tokens_are_counted_as_admission_counts_them_and_nothing_is_admitted() {
    let (audit, daemon) = (Audit::new(), TestDaemon::new().await);
    let body = json!({"model": "starter", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "one two"}, {"type": "thinking", "thinking": "hm", "signature": "s"}]}]});
    let ask = Ask::post("/v1/messages/count_tokens").json(&body);
    let count = audit.expect(200, daemon.address, ask.clone()).await.json();
    assert_eq!(count, json!({"input_tokens": 4}));
    assert_eq!(daemon.control.counts().submitted, 0);
}

/// ORCH-OAI-27
#[tokio::test]
async fn a_count_waits_for_a_model_that_is_not_loaded_and_has_it_loaded() {
    let mut daemon = TestDaemon::new().await;
    daemon.unload().await;
    let body = json!({"model": "starter", "messages": [{"role": "user", "content": "one two"}]});
    let asked = orchestratord::tasks::spawn({
        let at = daemon.address;
        async move { Audit::new().expect(200, at, Ask::post("/v1/messages/count_tokens").json(&body)).await }
    });
    while !matches!(daemon.ordered.recv().await.unwrap(), Order::Load) {}
    daemon.bring_up().await;
    assert_eq!(asked.await.unwrap().json(), json!({"input_tokens": 4}));
}
