//! Tools, their choice and their calls, as OpenAI's clients send them.
//!
//! Rules: ORCH-OAI-10

use generation::{Tool, ToolCall, ToolChoice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::openai_api::fields::TextOrObject;

/// What is called: there is no other kind.
const FUNCTION: &str = "function";

/// A tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSpec {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Map<String, Value>>,
    /// Arguments keep to their schema where the call is forced or this is set, and otherwise as far as the model does.
    strict: Option<bool>,
}

/// The choice of one tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Name>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

/// A call that the model made in an earlier turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Called,
    /// Some streaming clients send back the permit of the call as well.
    #[serde(default, rename = "index")]
    _index: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    name: String,
    arguments: String,
}

/// The tools as a task has them.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn offered(specs: Vec<ToolSpec>) -> Result<Vec<Tool>, Refusal> {
    let tool = |(i, spec): (usize, ToolSpec)| {
        only_functions(&format!("tools[{i}].type"), &spec.kind)?;
        let function = spec.function.ok_or_else(|| {
            Refusal::Invalid(format!("`tools[{i}].function` is missing: say what is to be called"))
        })?;
        let parameters = function.parameters.map(|schema| Value::Object(schema).to_string());
        let strict = function.strict == Some(true);
        Ok(Tool { name: function.name, description: function.description, parameters, strict })
    };
    specs.into_iter().enumerate().map(tool).collect()
}

/// The choice as a task has it.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn choice(choice: Option<TextOrObject<NamedTool>>) -> Result<ToolChoice, Refusal> {
    match choice {
        None => Ok(ToolChoice::Auto),
        Some(TextOrObject::Text(text)) => match text.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            other => Err(Refusal::Invalid(format!(
                "`tool_choice` is `{}`: use `auto`, `none`, `required` or a tool",
                shown(other.as_bytes())
            ))),
        },
        Some(TextOrObject::Object(named)) => {
            only_functions("tool_choice.type", &named.kind)?;
            let missing = "`tool_choice.function` is missing: name the tool";
            let function = named.function.ok_or_else(|| Refusal::Invalid(missing.to_owned()))?;
            Ok(ToolChoice::Named(function.name))
        }
    }
}

/// Calls of an earlier turn as a task has them.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn calls(field: &str, calls: Vec<Call>) -> Result<Vec<ToolCall>, Refusal> {
    let call = |(k, call): (usize, Call)| {
        if let Some(kind) = &call.kind {
            only_functions(&format!("{field}[{k}].type"), kind)?;
        }
        let Called { name, arguments } = call.function;
        Ok(ToolCall { id: call.id, name, arguments })
    };
    calls.into_iter().enumerate().map(call).collect()
}

fn only_functions(field: &str, kind: &str) -> Result<(), Refusal> {
    if kind == FUNCTION {
        return Ok(());
    }
    Err(Refusal::Invalid(format!("`{field}` is `{}`: use `{FUNCTION}`", shown(kind.as_bytes()))))
}
