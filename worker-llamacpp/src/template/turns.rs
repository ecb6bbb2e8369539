//! The turns of a conversation as chat templates know them, which is as the Python library hands them over:
//! arguments as objects and not as text.

use adapter_api::{Message, Role, ToolCall, ToolFormat};
use minijinja::Value;
use minijinja::value::Serde;
use serde_json::{Map, json};

use super::Content;

/// What the templates of Mistral want an id to be: so many letters and digits.
const MISTRAL_ID_CHARS: usize = 9;

/// The turns for a template of `format`.
pub fn of(messages: &[Message], content: Content, format: ToolFormat) -> Vec<Value> {
    let turn = |(at, message)| Value::from(Serde(turn(&messages[..at], message, content, format)));
    messages.iter().enumerate().map(turn).collect()
}

fn turn(before: &[Message], message: &Message, content: Content, format: ToolFormat) -> serde_json::Value {
    let mut turn = Map::new();
    turn.insert("role".to_owned(), json!(message.role.as_str()));
    let content = match content {
        Content::Text => json!(message.content),
        Content::Parts => json!([{ "type": "text", "text": message.content }]),
    };
    turn.insert("content".to_owned(), content);
    if !message.tool_calls.is_empty() {
        let calls: Vec<_> = message.tool_calls.iter().map(|call| call_of(call, format)).collect();
        turn.insert("tool_calls".to_owned(), json!(calls));
    }
    if let Some(id) = &message.tool_call_id {
        turn.insert("tool_call_id".to_owned(), json!(id_of(id, format)));
    }
    if let Some(name) = message.name.as_deref().or_else(|| name_of(before, message)) {
        turn.insert("name".to_owned(), json!(name));
    }
    turn.into()
}

fn call_of(call: &ToolCall, format: ToolFormat) -> serde_json::Value {
    let arguments = match call.arguments.trim() {
        "" => json!({}),
        text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    };
    let function = json!({ "name": call.name, "arguments": arguments });
    json!({ "id": id_of(&call.id, format), "type": "function", "function": function })
}

/// The tool whose result it is, where the result does not say so itself.
fn name_of<'a>(before: &'a [Message], message: &Message) -> Option<&'a str> {
    let id = message.tool_call_id.as_ref().filter(|_| message.role == Role::Tool)?;
    let calls = before.iter().rev().flat_map(|message| &message.tool_calls);
    calls.into_iter().find(|call| call.id == *id).map(|call| call.name.as_str())
}

fn id_of(id: &str, format: ToolFormat) -> String {
    if !matches!(format, ToolFormat::MistralArray | ToolFormat::MistralNamed) {
        return id.to_owned();
    }
    let letters: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let last: String = letters[letters.len().saturating_sub(MISTRAL_ID_CHARS)..].iter().collect();
    format!("{last:0>MISTRAL_ID_CHARS$}")
}
