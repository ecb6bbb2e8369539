//! Tools, their choice and their calls, as OpenAI's clients send them.
//!
//! Rules: ORCH-OAI-10, ORCH-OAI-22, ORCH-OAI-23

use generation::{Tool, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::openai_api::custom_input::custom_arguments;
use crate::http::openai_api::fields::TextOrObject;
use crate::http::openai_api::offered_tools::{ClientChoice, CustomTool, ToolSet, is_built_in};
use crate::http::problem;

/// The kind of tool that every model knows.
const FUNCTION: &str = "function";

/// A tool whose input is a text.
const CUSTOM: &str = "custom";

/// A tool. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolSpec {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    custom: Option<CustomTool>,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "defer_loading")]
    _defer_loading: IgnoredAny,
    #[serde(default, rename = "allowed_callers")]
    _allowed_callers: IgnoredAny,
    #[serde(default, rename = "input_examples")]
    _input_examples: IgnoredAny,
    #[serde(default, rename = "eager_input_streaming")]
    _eager_input_streaming: IgnoredAny,
    #[serde(default, rename = "extra_content")]
    _extra_content: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Map<String, Value>>,
    /// Arguments keep to their schema where the call is forced or this is set, and otherwise as far as the model does.
    strict: Option<bool>,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "defer_loading")]
    _defer_loading: IgnoredAny,
    #[serde(default, rename = "input_examples")]
    _input_examples: IgnoredAny,
    #[serde(default, rename = "output_schema")]
    _output_schema: IgnoredAny,
}

/// The choice of one tool, or of some.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Name>,
    custom: Option<Name>,
    allowed_tools: Option<Allowed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    mode: String,
    tools: Vec<NamedTool>,
}

/// A call that the model made in an earlier turn. Fields of type [`IgnoredAny`] are taken and have no effect: servers and
/// libraries add them to calls, and clients send them back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    function: Option<Called>,
    custom: Option<CalledCustom>,
    /// Some streaming clients send back the place of the call as well.
    #[serde(default, rename = "index")]
    _index: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "extra_content")]
    _extra_content: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Called {
    name: String,
    /// JSON text; some clients parse it and send the object.
    arguments: Option<Value>,
    /// What a library made of the arguments.
    #[serde(default, rename = "parsed_arguments")]
    _parsed_arguments: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalledCustom {
    name: String,
    input: String,
}

/// The tools of a request.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn offered(specs: Vec<Map<String, Value>>) -> Result<ToolSet, Refusal> {
    let mut set = ToolSet::default();
    for (i, spec) in specs.into_iter().enumerate() {
        let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
        if is_built_in(kind) {
            set.leave_out(kind, spec.get("name").and_then(Value::as_str));
            continue;
        }
        let spec: ToolSpec = problem::parse_part(&format!("tools[{i}]"), Value::Object(spec))?;
        let missing = |field: &str| {
            Refusal::Invalid(format!("`tools[{i}].{field}` is missing: say what is to be called"))
        };
        match spec.kind.as_str() {
            FUNCTION => {
                let Function { name, description, parameters, strict, .. } =
                    spec.function.ok_or_else(|| missing("function"))?;
                let parameters = parameters.map(|schema| Value::Object(schema).to_string());
                set.add(None, Tool { name, description, parameters, strict: strict == Some(true) });
            }
            CUSTOM => {
                let custom = spec.custom.ok_or_else(|| missing("custom"))?;
                set.add_custom(&format!("tools[{i}].custom"), None, custom)?;
            }
            other => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!(
                    "`tools[{i}].type` is `{other}`: use `{FUNCTION}` or `{CUSTOM}`"
                )));
            }
        }
    }
    Ok(set)
}

/// The choice of a request.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn choice(choice: Option<TextOrObject<NamedTool>>) -> Result<ClientChoice, Refusal> {
    match choice {
        None => Ok(ClientChoice::Auto),
        Some(TextOrObject::Text(text)) => match text.as_str() {
            "auto" => Ok(ClientChoice::Auto),
            "none" => Ok(ClientChoice::None),
            // Mistral's and Anthropic's word for it.
            "required" | "any" => Ok(ClientChoice::Required),
            other => Err(Refusal::Invalid(format!(
                "`tool_choice` is `{}`: use `auto`, `none`, `required` or a tool",
                shown(other.as_bytes())
            ))),
        },
        Some(TextOrObject::Object(NamedTool { kind, allowed_tools: Some(allowed), .. }))
            if kind == "allowed_tools" =>
        {
            let names = allowed.tools.into_iter().map(NamedTool::name).collect::<Result<_, _>>()?;
            Ok(ClientChoice::Allowed { required: allowed.mode == "required", names })
        }
        Some(TextOrObject::Object(named)) => {
            let kind = named.kind.clone();
            Ok(ClientChoice::Named { kind, namespace: None, name: Some(named.name()?) })
        }
    }
}

impl NamedTool {
    fn name(self) -> Result<String, Refusal> {
        match (self.kind.as_str(), self.function, self.custom) {
            (FUNCTION, Some(Name { name }), _) | (CUSTOM, _, Some(Name { name })) => Ok(name),
            (kind @ (FUNCTION | CUSTOM), ..) => {
                Err(Refusal::Invalid(format!("`tool_choice.{kind}` is missing: name the tool")))
            }
            (other, ..) => Err(Refusal::Invalid(format!(
                "`tool_choice.type` is `{}`: use `{FUNCTION}`, `{CUSTOM}` or `allowed_tools`",
                shown(other.as_bytes())
            ))),
        }
    }
}

/// Calls of an earlier turn as a task has them.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn calls(field: &str, calls: Vec<Call>) -> Result<Vec<ToolCall>, Refusal> {
    let call = |(k, call): (usize, Call)| {
        let id = call.id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("call_{}", Uuid::new_v4().simple()));
        match (call.kind.as_deref().unwrap_or(FUNCTION), call.function, call.custom) {
            (FUNCTION, Some(Called { name, arguments, .. }), _) => {
                let arguments = arguments_of(&format!("{field}[{k}].function.arguments"), arguments)?;
                Ok(ToolCall { id, name, arguments })
            }
            (CUSTOM, _, Some(CalledCustom { name, input })) => {
                Ok(ToolCall { id, name, arguments: custom_arguments(&input) })
            }
            (kind @ (FUNCTION | CUSTOM), ..) => {
                Err(Refusal::Invalid(format!("`{field}[{k}].{kind}` is missing: send what was called")))
            }
            (other, ..) => Err(Refusal::Invalid(format!(
                "`{field}[{k}].type` is `{}`: use `{FUNCTION}` or `{CUSTOM}`",
                shown(other.as_bytes())
            ))),
        }
    };
    calls.into_iter().enumerate().map(call).collect()
}

/// Arguments as JSON text: none are an empty object.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(in crate::http::openai_api) fn arguments_of(
    field: &str,
    arguments: Option<Value>,
) -> Result<String, Refusal> {
    match arguments {
        None => Ok("{}".to_owned()),
        Some(Value::String(text)) => Ok(text),
        Some(object @ Value::Object(_)) => Ok(object.to_string()),
        Some(other) => {
            let other = other.to_string();
            Err(Refusal::Invalid(format!(
                "`{field}` is {}: send the arguments as JSON text or as an object",
                shown(other.as_bytes())
            )))
        }
    }
}
