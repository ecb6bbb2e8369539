//! A conversation as llama.cpp's chat layer takes it: the messages of OpenAI's API. What a client sends of the past may
//! be broken; it is repaired here where that is possible, since nobody can change the past.
//!
//! Rules: ORCH-ENG-27

use generation::{Message, Role, ToolCall};
use serde_json::{Map, Value, json};

/// The ids of calls that some templates take, and no others: so many letters and digits.
const SHORT_ID_CHARS: usize = 9;

/// How a template wants the ids of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallIds {
    /// As they are.
    Any,
    /// Nine letters and digits (Mistral).
    Short,
}

impl CallIds {
    fn told(self, id: &str) -> String {
        match self {
            Self::Any => id.to_owned(),
            Self::Short => {
                let letters: Vec<char> = id.chars().filter(char::is_ascii_alphanumeric).collect();
                let last: String = letters[letters.len().saturating_sub(SHORT_ID_CHARS)..].iter().collect();
                format!("{last:0>SHORT_ID_CHARS$}")
            }
        }
    }
}

/// The messages as JSON.
pub fn of(messages: &[Message], ids: CallIds) -> Vec<Value> {
    messages.iter().enumerate().map(|(at, message)| told(&messages[..at], message, ids)).collect()
}

fn told(before: &[Message], message: &Message, ids: CallIds) -> Value {
    let mut told = Map::new();
    told.insert("role".to_owned(), json!(message.role.as_str()));
    told.insert("content".to_owned(), json!(message.content));
    if let Some(reasoning) = &message.reasoning {
        told.insert("reasoning_content".to_owned(), json!(reasoning));
    }
    if !message.tool_calls.is_empty() {
        let calls: Vec<_> = message.tool_calls.iter().map(|call| call_of(call, ids)).collect();
        told.insert("tool_calls".to_owned(), json!(calls));
    }
    if let Some(id) = &message.tool_call_id {
        told.insert("tool_call_id".to_owned(), json!(ids.told(id)));
    }
    if let Some(name) = message.name.as_deref().or_else(|| name_of(before, message)) {
        told.insert("name".to_owned(), json!(name));
    }
    told.into()
}

fn call_of(call: &ToolCall, ids: CallIds) -> Value {
    let function = json!({ "name": call.name, "arguments": arguments_of(call) });
    json!({ "id": ids.told(&call.id), "type": "function", "function": function })
}

/// The arguments as the text of a JSON object. Ones that are none, as models write them now and then, become one.
fn arguments_of(call: &ToolCall) -> String {
    match call.arguments.trim() {
        "" => "{}".to_owned(),
        text if serde_json::from_str::<Map<String, Value>>(text).is_ok() => text.to_owned(),
        text => json!({ "arguments": text }).to_string(),
    }
}

/// The tool whose result it is, where the result does not say so itself.
fn name_of<'a>(before: &'a [Message], message: &Message) -> Option<&'a str> {
    let id = message.tool_call_id.as_ref().filter(|_| message.role == Role::Tool)?;
    let calls = before.iter().rev().flat_map(|message| &message.tool_calls);
    calls.into_iter().find(|call| call.id == *id).map(|call| call.name.as_str())
}

/// The conversation as templates take it that refuse the order of roles: one system message, at its beginning, and
/// no two turns of the user or the model one after the other.
#[must_use]
pub fn in_order(messages: &[Message]) -> Vec<Message> {
    let (system, others): (Vec<_>, Vec<_>) =
        messages.iter().cloned().partition(|message| message.role == Role::System);
    let mut ordered: Vec<Message> = system.into_iter().reduce(joined).into_iter().collect();
    for message in others {
        match ordered.pop() {
            Some(last) if may_join(&last, &message) => ordered.push(joined(last, message)),
            last => ordered.extend(last.into_iter().chain([message])),
        }
    }
    ordered
}

fn may_join(last: &Message, next: &Message) -> bool {
    last.role == next.role && matches!(last.role, Role::User | Role::Assistant) && last.tool_calls.is_empty()
}

fn joined(mut first: Message, second: Message) -> Message {
    if !first.content.is_empty() && !second.content.is_empty() {
        first.content.push_str("\n\n");
    }
    first.content.push_str(&second.content);
    first.reasoning = match (first.reasoning, second.reasoning) {
        (Some(first), Some(second)) => Some(format!("{first}\n\n{second}")),
        (first, second) => first.or(second),
    };
    first.images.extend(second.images);
    first.tool_calls.extend(second.tool_calls);
    first
}
