//! The tools of a request, as its client calls them and as the model is offered them. A model knows functions alone, so
//! that a tool of another kind is offered as one: a custom tool as a function with one text, a function of a namespace
//! under both names. Tools that only their provider runs are left out.
//!
//! Rules: ORCH-OAI-10, ORCH-OAI-23

use std::collections::HashSet;

use generation::{Tool, ToolChoice, Tools};
use serde::Deserialize;
use serde_json::json;

use super::custom_input::INPUT;
use crate::backpressure::Refusal;
use crate::http::answer::shown;

/// What joins the name of a namespace and that of a function in it.
const BETWEEN_NAMES: &str = "__";

/// The kinds of left-out tools that one log line names at most.
const LOGGED: usize = 16;

/// The types of tools that OpenAI defines or runs.
const BUILT_IN: [&str; 15] = [
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use",
    "computer_use_preview",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_preview",
    "x_search",
];

/// A tool whose input is a text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomTool {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) format: Option<CustomFormat>,
}

/// The form of a custom tool's input, which the model is told and not held to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomFormat {
    #[serde(rename = "type")]
    kind: String,
    syntax: Option<String>,
    definition: Option<String>,
    grammar: Option<GrammarFormat>,
}

/// What a chat completion wraps once more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrammarFormat {
    syntax: Option<String>,
    definition: Option<String>,
}

impl CustomTool {
    /// The function that the model is offered.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    fn into_function(self, field: &str) -> Result<Tool, Refusal> {
        let form = self.format.map_or(Ok(None), |format| format.described(field))?;
        let description = [self.description, form].into_iter().flatten().collect::<Vec<_>>().join("\n\n");
        let parameters = json!({
            "type": "object",
            "properties": {INPUT: {"type": "string", "description": "The input of the tool."}},
            "required": [INPUT],
            "additionalProperties": false,
        });
        Ok(Tool {
            name: self.name,
            description: Some(description).filter(|text| !text.is_empty()),
            parameters: Some(parameters.to_string()),
            strict: false,
        })
    }
}

impl CustomFormat {
    /// The form in words for the model; nothing where any text is right.
    fn described(self, field: &str) -> Result<Option<String>, Refusal> {
        match self.kind.as_str() {
            "text" => Ok(None),
            "grammar" => {
                let (syntax, definition) = match self.grammar {
                    Some(GrammarFormat { syntax, definition }) => (syntax, definition),
                    None => (self.syntax, self.definition),
                };
                let definition = definition.ok_or_else(|| {
                    Refusal::Invalid(format!("`{field}.format.definition` is missing: send the grammar"))
                })?;
                let syntax = syntax.unwrap_or_else(|| "lark".to_owned());
                Ok(Some(format!("`{INPUT}` must match this {syntax} grammar:\n{definition}")))
            }
            other => Err(Refusal::Invalid(format!(
                "`{field}.format.type` is `{}`: use `text` or `grammar`",
                shown(other.as_bytes())
            ))),
        }
    }
}

/// How a client calls a tool that the model knows as a function of another name or form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientTool {
    /// The function's name.
    offered: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) is_custom: bool,
}

/// The tools of a request that its client calls otherwise than the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToolNames(Vec<ClientTool>);

impl ToolNames {
    /// The client's own words for the function `offered`; nothing where it is just that.
    pub(super) fn of(&self, offered: &str) -> Option<&ClientTool> {
        self.0.iter().find(|tool| tool.offered == offered)
    }

    /// Whether the model's `offered` is a custom tool.
    pub(super) fn is_custom(&self, offered: &str) -> bool {
        self.of(offered).is_some_and(|tool| tool.is_custom)
    }
}

/// Whether a tool of this type is one of OpenAI's own; some have a date in their type.
pub(super) fn is_built_in(kind: &str) -> bool {
    let is_it = |built_in: &str| {
        kind.strip_prefix(built_in).is_some_and(|rest| rest.is_empty() || rest.starts_with("_2"))
    };
    BUILT_IN.iter().any(|built_in| is_it(built_in))
}

/// The name under which the model is offered `name` of `namespace`.
pub(super) fn offered_name(namespace: Option<&str>, name: &str) -> String {
    match namespace.filter(|namespace| !namespace.is_empty()) {
        // A client that joins the names itself ends the first or begins the second so.
        Some(namespace) if namespace.ends_with('_') || name.starts_with('_') => format!("{namespace}{name}"),
        Some(namespace) => format!("{namespace}{BETWEEN_NAMES}{name}"),
        None => name.to_owned(),
    }
}

/// What a request says of the choice of a tool, in the words of its client.
#[derive(Debug, Default)]
pub(super) enum ClientChoice {
    #[default]
    Auto,
    None,
    Required,
    /// One tool, by its kind, its namespace and its name.
    Named {
        kind: String,
        namespace: Option<String>,
        name: Option<String>,
    },
    /// Some of the tools.
    Allowed {
        required: bool,
        names: Vec<String>,
    },
}

/// Tools while they are read from a request.
#[derive(Debug, Default)]
pub(super) struct ToolSet {
    offered: Vec<Tool>,
    names: ToolNames,
    /// Those that are left out: kind and name.
    left_out: Vec<(String, Option<String>)>,
}

impl ToolSet {
    /// Adds a function, of a namespace where there is one.
    pub(super) fn add(&mut self, namespace: Option<&str>, function: Tool) {
        let offered = offered_name(namespace, &function.name);
        if let Some(namespace) = namespace {
            self.names.0.push(ClientTool {
                offered: offered.clone(),
                name: function.name,
                namespace: Some(namespace.to_owned()),
                is_custom: false,
            });
        }
        self.offered.push(Tool { name: offered, ..function });
    }

    /// Adds a custom tool, of a namespace where there is one. `field` is its place in the request.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn add_custom(
        &mut self,
        field: &str,
        namespace: Option<&str>,
        tool: CustomTool,
    ) -> Result<(), Refusal> {
        let function = tool.into_function(field)?;
        let offered = offered_name(namespace, &function.name);
        self.names.0.push(ClientTool {
            offered: offered.clone(),
            name: function.name,
            namespace: namespace.map(str::to_owned),
            is_custom: true,
        });
        self.offered.push(Tool { name: offered, ..function });
        Ok(())
    }

    /// Leaves a tool out that only its provider runs.
    pub(super) fn leave_out(&mut self, kind: &str, name: Option<&str>) {
        self.left_out.push((kind.to_owned(), name.map(str::to_owned)));
    }

    /// The tools as a task has them, and their names. What is left out is logged.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn choose(
        mut self,
        choice: ClientChoice,
        single: bool,
    ) -> Result<(Tools, ToolNames), Refusal> {
        let choice = match choice {
            ClientChoice::Auto => ToolChoice::Auto,
            ClientChoice::None => ToolChoice::None,
            ClientChoice::Required => ToolChoice::Required,
            ClientChoice::Named { kind, namespace, name } => self.named(&kind, namespace.as_deref(), name)?,
            ClientChoice::Allowed { required, names } => {
                let names: HashSet<String> = names.into_iter().collect();
                self.offered.retain(|tool| {
                    let client = self.names.of(&tool.name).map(|client| &client.name);
                    names.contains(&tool.name) || client.is_some_and(|name| names.contains(name))
                });
                if required { ToolChoice::Required } else { ToolChoice::Auto }
            }
        };
        if !self.left_out.is_empty() {
            let kinds: Vec<_> =
                self.left_out.iter().take(LOGGED).map(|(kind, _)| shown(kind.as_bytes())).collect();
            let count = self.left_out.len();
            tracing::info!(count, kinds = kinds.join(", "), "left out tools that only their provider runs");
        }
        Ok((Tools { offered: self.offered, choice, single }, self.names))
    }

    fn named(
        &self,
        kind: &str,
        namespace: Option<&str>,
        name: Option<String>,
    ) -> Result<ToolChoice, Refusal> {
        let left_out = self.left_out.iter().any(|(left_kind, left_name)| match &name {
            Some(_) => *left_name == name,
            None => left_kind == kind,
        });
        if left_out {
            let named = name.as_deref().unwrap_or(kind);
            return Err(Refusal::Invalid(format!(
                "`tool_choice` names `{}`, which only its provider runs and which was left out: choose another tool",
                shown(named.as_bytes())
            )));
        }
        let name = name.ok_or_else(|| {
            Refusal::Invalid(format!(
                "`tool_choice` is of the type `{}`, which is not served here: name a function",
                shown(kind.as_bytes())
            ))
        })?;
        let known = self.names.0.iter().find(|tool| {
            tool.name == name
                && namespace.is_none_or(|namespace| tool.namespace.as_deref() == Some(namespace))
        });
        let is_offered = self.offered.iter().any(|tool| tool.name == name);
        Ok(ToolChoice::Named(match known {
            Some(tool) if !is_offered || namespace.is_some() => tool.offered.clone(),
            _ => offered_name(namespace, &name),
        }))
    }
}

#[cfg(test)]
mod tests;
