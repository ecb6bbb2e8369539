//! Tools and their calls, as Ollama's clients send them: arguments are objects, and a result names its tool rather
//! than its call.
//!
//! Rules: ORCH-OLLAMA-5

use std::collections::VecDeque;

use generation::{Message, Role, Tool, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;

/// A tool. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSpec {
    /// There is one kind.
    #[serde(default, rename = "type")]
    _kind: IgnoredAny,
    #[serde(default, rename = "items")]
    _items: IgnoredAny,
    function: Function,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Map<String, Value>>,
    strict: Option<bool>,
    #[serde(default, rename = "type")]
    _kind: IgnoredAny,
}

/// A call of an earlier turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    id: Option<String>,
    #[serde(default, rename = "type")]
    _kind: IgnoredAny,
    function: Called,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    name: String,
    arguments: Option<Value>,
    #[serde(default, rename = "index")]
    _index: IgnoredAny,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
}

impl From<ToolSpec> for Tool {
    fn from(ToolSpec { function, .. }: ToolSpec) -> Self {
        let Function { name, description, parameters, strict, .. } = function;
        let parameters = parameters.map(|schema| Value::Object(schema).to_string());
        Self { name, description, parameters, strict: strict == Some(true) }
    }
}

/// Calls of an earlier turn as a task has them. One without a name of its own gets it from its place.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn calls(i: usize, calls: Vec<Call>) -> Result<Vec<ToolCall>, Refusal> {
    let call = |(k, Call { id, function: Called { name, arguments, .. }, .. }): (usize, Call)| {
        let arguments = match arguments {
            None => "{}".to_owned(),
            Some(Value::String(text)) => text,
            Some(object @ Value::Object(_)) => object.to_string(),
            Some(other) => {
                let other = other.to_string();
                return Err(Refusal::Invalid(format!(
                    "`messages[{i}].tool_calls[{k}].function.arguments` is {}: send an object",
                    shown(other.as_bytes())
                )));
            }
        };
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{i}_{k}"));
        Ok(ToolCall { id, name, arguments })
    };
    calls.into_iter().enumerate().map(call).collect()
}

/// Says of each result which call it is of, where it does not: that of its tool, or the first that has none.
pub(super) fn assign_results(messages: &mut [Message]) {
    let mut open: VecDeque<(String, String)> = VecDeque::new();
    for message in messages {
        match message.role {
            Role::Assistant => {
                open = message.tool_calls.iter().map(|call| (call.id.clone(), call.name.clone())).collect();
            }
            Role::Tool => {
                let fits = |(id, name): &(String, String)| match (&message.tool_call_id, &message.name) {
                    (Some(wanted), _) => id == wanted,
                    (None, Some(wanted)) => name == wanted,
                    (None, None) => true,
                };
                let call = open.iter().position(fits).and_then(|at| open.remove(at));
                if let Some((id, name)) = call {
                    message.tool_call_id.get_or_insert(id);
                    message.name.get_or_insert(name);
                }
            }
            Role::System | Role::User => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: Option<&str>) -> Message {
        Message { name: name.map(str::to_owned), ..Message::new(Role::Tool, "r") }
    }

    fn call(id: &str, name: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: "{}".to_owned() }
    }

    /// ORCH-OLLAMA-5
    #[test]
    fn a_result_is_of_the_call_of_its_tool_or_of_the_first_without_one() {
        let called = vec![call("1", "a"), call("2", "b"), call("3", "a")];
        let turn = Message { tool_calls: called, ..Message::new(Role::Assistant, "") };
        let mut messages = [turn, result(Some("b")), result(Some("a")), result(None), result(None)];
        assign_results(&mut messages);
        let ids: Vec<_> = messages[1..].iter().map(|message| message.tool_call_id.as_deref()).collect();
        assert_eq!(ids, [Some("2"), Some("1"), Some("3"), None]);
        assert_eq!(messages[3].name.as_deref(), Some("a"));
    }
}
