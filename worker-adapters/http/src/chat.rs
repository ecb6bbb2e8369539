//! A conversation as OpenAI's API writes it, which every server here takes.

use adapter_api::{Message, ToolCall};
use serde::Serialize;

/// One turn.
#[derive(Debug, Serialize)]
pub struct ChatMessage<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ChatToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ChatToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: ChatFunction<'a>,
}

#[derive(Debug, Serialize)]
struct ChatFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// The turns of a conversation. Its images are refused before ([`adapter_api::Abilities::images`]).
#[must_use]
pub fn chat_messages(messages: &[Message]) -> Vec<ChatMessage<'_>> {
    messages
        .iter()
        .map(|message| ChatMessage {
            role: message.role.as_str(),
            content: &message.content,
            tool_calls: message.tool_calls.iter().map(chat_tool_call).collect(),
            tool_call_id: message.tool_call_id.as_deref(),
            name: message.name.as_deref(),
        })
        .collect()
}

fn chat_tool_call(call: &ToolCall) -> ChatToolCall<'_> {
    let function = ChatFunction { name: &call.name, arguments: &call.arguments };
    ChatToolCall { id: &call.id, r#type: "function", function }
}

#[cfg(test)]
mod tests {
    use adapter_api::Role;

    use super::*;

    #[test]
    fn a_plain_turn_has_a_role_and_a_content_and_a_call_and_its_result_refer_to_each_other() {
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{\"a\":1}".into() };
        let messages = [
            Message::new(Role::User, "hi"),
            Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
            Message {
                tool_call_id: Some("c1".into()),
                name: Some("f".into()),
                ..Message::new(Role::Tool, "2")
            },
        ];
        let expected = serde_json::json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}
            ]},
            {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "f"},
        ]);
        assert_eq!(serde_json::to_value(chat_messages(&messages)).expect("plain data"), expected);
    }
}
