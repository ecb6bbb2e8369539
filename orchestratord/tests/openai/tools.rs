//! Calls of tools.

use adapter_api::{Abilities, ToolFormat};
use adapter_mock::Answer as Says;
use serde_json::{Value, json};

use crate::house::{House, Manners};
use crate::{Audit, chat, events};

/// A daemon whose model answers `says` in Hermes' form.
pub async fn calling(says: &str) -> House {
    let abilities = Abilities { tools: Some(ToolFormat::Hermes), ..Abilities::default() };
    let says = Says::Canned(says.to_owned());
    let house = House::with(Manners { says, abilities, ..Manners::default() });
    house.bring_up().await;
    house
}

pub const CALLS: &str =
    r#"Let me see. <tool_call> {"name": "weather", "arguments": {"city": "Rome"}} </tool_call>"#;

pub fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

#[tokio::test]
async fn a_call_comes_out_as_one_whole_and_in_pieces_alike() {
    let (audit, house) = (Audit::new(), calling(CALLS).await);
    let whole = audit.expect(200, house.address, chat("Rome?", &json!({"tools": weather()}))).await.json();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Let me see.");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "weather");
    let arguments = |text: &Value| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap();
    assert_eq!(arguments(&call["function"]["arguments"]), json!({"city": "Rome"}));

    let more = json!({"tools": weather(), "stream": true});
    let stream = audit.expect(200, house.address, chat("Rome?", &more)).await;
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

#[tokio::test]
async fn an_answer_without_tools_is_not_read_for_calls() {
    let (audit, house) = (Audit::new(), calling(CALLS).await);
    for more in [json!({}), json!({"tools": weather(), "tool_choice": "none"})] {
        let whole = audit.expect(200, house.address, chat("Rome?", &more)).await.json();
        assert_eq!(whole["choices"][0]["message"]["content"], CALLS);
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_conversation_with_calls_and_results_goes_on() {
    let (audit, house) = (Audit::new(), calling("Sunny.").await);
    let messages = json!([
        {"role": "user", "content": "Rome?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "30 degrees"}
    ]);
    let more = json!({"messages": messages, "tools": weather()});
    let whole = audit.expect(200, house.address, chat("", &more)).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Sunny.");
}

#[tokio::test]
async fn what_the_engine_does_not_take_is_refused_by_name() {
    let (audit, house) = (Audit::new(), House::new().await);
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
        let refused = audit.expect(400, house.address, chat("Rome?", &more)).await.json();
        assert_eq!(refused["error"]["param"], param, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(words), "{refused}");
    }
}
