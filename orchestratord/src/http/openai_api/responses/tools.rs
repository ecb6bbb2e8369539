//! Tools and their choice, as clients of the Responses API send them.
//!
//! Rules: ORCH-OAI-22, ORCH-OAI-23

use generation::Tool;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::openai_api::offered_tools::{ClientChoice, CustomFormat, CustomTool, ToolSet, is_built_in};
use crate::http::problem;

/// A function, a custom tool, or a namespace of both. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolSpec {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Map<String, Value>>,
    strict: Option<bool>,
    format: Option<CustomFormat>,
    tools: Option<Vec<Map<String, Value>>>,
    #[serde(default, rename = "allowed_callers")]
    _allowed_callers: IgnoredAny,
    #[serde(default, rename = "async")]
    _async: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "defer_loading")]
    _defer_loading: IgnoredAny,
    #[serde(default, rename = "input_examples")]
    _input_examples: IgnoredAny,
    #[serde(default, rename = "output_schema")]
    _output_schema: IgnoredAny,
}

/// Types of tools that the model is offered.
const SERVED: [&str; 3] = ["function", "custom", "namespace"];

/// Adds the tools at `field`.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn offer(field: &str, specs: Vec<Map<String, Value>>, set: &mut ToolSet) -> Result<(), Refusal> {
    offer_within(field, None, specs, set)
}

fn offer_within(
    field: &str,
    namespace: Option<&str>,
    specs: Vec<Map<String, Value>>,
    set: &mut ToolSet,
) -> Result<(), Refusal> {
    for (i, spec) in specs.into_iter().enumerate() {
        let field = format!("{field}[{i}]");
        let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
        if is_built_in(kind) {
            set.leave_out(kind, spec.get("name").and_then(Value::as_str));
            continue;
        }
        let spec: ToolSpec = problem::parse_part(&field, Value::Object(spec))?;
        spec.offer(&field, namespace, set)?;
    }
    Ok(())
}

impl ToolSpec {
    fn offer(self, field: &str, namespace: Option<&str>, set: &mut ToolSet) -> Result<(), Refusal> {
        if !SERVED.contains(&self.kind.as_str()) {
            let kind = shown(self.kind.as_bytes());
            return Err(Refusal::Invalid(format!(
                "`{field}.type` is `{kind}`, which is not served here: use `function`, `custom` or `namespace`"
            )));
        }
        let missing = || Refusal::Invalid(format!("`{field}.name` is missing: name the {}", self.kind));
        let name = self.name.clone().ok_or_else(missing)?;
        match self.kind.as_str() {
            "custom" => {
                let tool = CustomTool { name, description: self.description, format: self.format };
                set.add_custom(field, namespace, tool)
            }
            "namespace" => {
                let nested = self.tools.unwrap_or_default();
                offer_within(&format!("{field}.tools"), Some(&name), nested, set)
            }
            _ => {
                let parameters = self.parameters.map(|schema| Value::Object(schema).to_string());
                let strict = self.strict == Some(true);
                set.add(namespace, Tool { name, description: self.description, parameters, strict });
                Ok(())
            }
        }
    }
}

/// The choice of a request.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn choice(choice: &Value) -> Result<ClientChoice, Refusal> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("auto"), _) => Ok(ClientChoice::Auto),
        (Some("none"), _) => Ok(ClientChoice::None),
        (Some("required"), _) => Ok(ClientChoice::Required),
        (None, Some("allowed_tools")) => {
            let tools = choice["tools"].as_array().into_iter().flatten();
            let names = tools.filter_map(|tool| text(&tool["name"])).collect();
            Ok(ClientChoice::Allowed { required: choice["mode"] == "required", names })
        }
        (None, Some(kind @ ("function" | "custom"))) if choice["name"].is_string() => {
            Ok(ClientChoice::Named {
                kind: kind.to_owned(),
                namespace: text(&choice["namespace"]),
                name: text(&choice["name"]),
            })
        }
        (None, Some(kind)) if is_built_in(kind) => {
            Ok(ClientChoice::Named { kind: kind.to_owned(), namespace: None, name: None })
        }
        _ => {
            let choice = choice.to_string();
            Err(Refusal::Invalid(format!(
                "`tool_choice` is {}: use `auto`, `none`, `required`, or `function` with its `name`",
                shown(choice.as_bytes())
            )))
        }
    }
}
