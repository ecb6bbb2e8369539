//! What Anthropic's clients ask.
//!
//! Rules: ORCH-OAI-14, ORCH-OAI-22, ORCH-OAI-23

use generation::{Message, ReasoningOptions, Role, Tool};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::blocks::{self, Content, Turn};
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::conversation::{self, Conversation};
use crate::http::openai_api::fields::{TextOr, Unserved, refuse_unserved};
use crate::http::openai_api::generation_params::GenerationParams;
use crate::http::openai_api::offered_tools::{ClientChoice, ToolSet};
use crate::http::openai_api::reasoning_params::{self, Thinking};
use crate::http::openai_api::response_format::{FormatAt, ResponseFormat};
use crate::http::problem;

/// The body of `POST /v1/messages`. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesRequest {
    model: String,
    messages: Vec<Turn>,
    max_tokens: u32,
    system: Option<Content>,
    stream: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Map<String, Value>>>,
    tool_choice: Option<Choice>,
    service_tier: Option<String>,
    session_id: Option<String>,
    keep_alive: Option<Value>,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    #[serde(default, rename = "context_management")]
    _context_management: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "betas")]
    _betas: IgnoredAny,
    #[serde(default, rename = "billing_policy")]
    _billing_policy: IgnoredAny,
    #[serde(default, rename = "compaction")]
    _compaction: IgnoredAny,
    #[serde(default, rename = "container")]
    _container: IgnoredAny,
    #[serde(default, rename = "diagnostics")]
    _diagnostics: IgnoredAny,
    #[serde(default, rename = "fallbacks")]
    _fallbacks: IgnoredAny,
    #[serde(default, rename = "fallback_credit_token")]
    _fallback_credit_token: IgnoredAny,
    #[serde(default, rename = "inference_geo")]
    _inference_geo: IgnoredAny,
    #[serde(default, rename = "speed")]
    _speed: IgnoredAny,
    thread: Option<Value>,
    #[serde(default, rename = "user_profile_id")]
    _user_profile_id: IgnoredAny,
    #[serde(default, rename = "workspace_id")]
    _workspace_id: IgnoredAny,
    mcp_servers: Option<Vec<McpServer>>,
}

/// The body of `POST /v1/messages/count_tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountRequest {
    model: String,
    messages: Vec<Turn>,
    system: Option<Content>,
    tools: Option<Vec<Map<String, Value>>>,
    tool_choice: Option<Choice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    #[serde(default, rename = "context_management")]
    _context_management: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "betas")]
    _betas: IgnoredAny,
    #[serde(default, rename = "container")]
    _container: IgnoredAny,
    #[serde(default, rename = "speed")]
    _speed: IgnoredAny,
    thread: Option<Value>,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    mcp_servers: Option<Vec<McpServer>>,
}

/// How an answer is to look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputConfig {
    format: Option<Format>,
    effort: Option<String>,
    /// A hint for models that were trained for it.
    #[serde(default, rename = "task_budget")]
    _task_budget: IgnoredAny,
}

/// A server of tools, which only Anthropic asks: it is left out as its tools are.
#[derive(Debug, Deserialize)]
struct McpServer {
    name: Option<String>,
}

/// A form that an answer has to have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    schema: Option<Map<String, Value>>,
}

/// How the model reasons, and the form that the answer must have.
fn output(
    thinking: Option<Thinking>,
    config: Option<OutputConfig>,
) -> Result<(ReasoningOptions, Option<ResponseFormat>), Refusal> {
    let thinking = thinking.map(Thinking::resolve).transpose()?.unwrap_or_default();
    let Some(OutputConfig { format, effort, .. }) = config else { return Ok((thinking, None)) };
    let format =
        format.map(|format| ResponseFormat::new(FormatAt::OutputConfig, &format.kind, format.schema));
    let effort =
        effort.map(|effort| reasoning_params::of_effort("output_config.effort", &effort)).transpose()?;
    // The effort says how much and not whether.
    let effort = ReasoningOptions { enabled: None, ..effort.unwrap_or_default() };
    Ok((reasoning_params::joined(thinking, effort), format.transpose()?))
}

/// A tool of the caller's own. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolSpec {
    #[serde(default, rename = "type")]
    _kind: IgnoredAny,
    name: String,
    description: Option<String>,
    input_schema: Option<Map<String, Value>>,
    strict: Option<bool>,
    #[serde(default, rename = "allowed_callers")]
    _allowed_callers: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "defer_loading")]
    _defer_loading: IgnoredAny,
    #[serde(default, rename = "eager_input_streaming")]
    _eager_input_streaming: IgnoredAny,
    #[serde(default, rename = "input_examples")]
    _input_examples: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    #[serde(rename = "type")]
    kind: ChoiceKind,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

impl MessagesRequest {
    /// The conversation, and how it is to be answered.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, image_urls: &ImageUrls) -> Result<(Conversation, GenerationParams), Refusal> {
        without_thread(&self.thread)?;
        let tools = offered(self.tools, self.mcp_servers)?;
        let conversation = conversation((self.system, self.messages), image_urls, tools, self.tool_choice)?;
        let (reasoning, response_format) = output(self.thinking, self.output_config)?;
        let service_tier = match self.service_tier {
            // Anthropic's name for what the others call `default`.
            Some(tier) if tier == "standard_only" => None,
            tier => tier,
        };
        let shared = GenerationParams {
            model: Some(self.model),
            stream: self.stream,
            keep_alive: self.keep_alive,
            max_tokens: Some(self.max_tokens),
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            stop: self.stop_sequences.map(TextOr::Many),
            response_format,
            reasoning,
            service_tier,
            session_id: self.session_id,
            ..GenerationParams::default()
        };
        Ok((conversation, shared))
    }
}

impl CountRequest {
    /// The conversation, and who is to count it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, image_urls: &ImageUrls) -> Result<(Conversation, GenerationParams), Refusal> {
        without_thread(&self.thread)?;
        let tools = offered(self.tools, self.mcp_servers)?;
        let conversation = conversation((self.system, self.messages), image_urls, tools, self.tool_choice)?;
        let (reasoning, response_format) = output(self.thinking, self.output_config)?;
        Ok((
            conversation,
            GenerationParams {
                model: Some(self.model),
                response_format,
                reasoning,
                ..GenerationParams::default()
            },
        ))
    }
}

fn conversation(
    (system, turns): (Option<Content>, Vec<Turn>),
    image_urls: &ImageUrls,
    tools: ToolSet,
    choice: Option<Choice>,
) -> Result<Conversation, Refusal> {
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = system {
        messages.push(Message::new(Role::System, blocks::text_of("system", system)?));
    }
    for (i, turn) in turns.into_iter().enumerate() {
        turn.put_into(&format!("messages[{i}]"), image_urls, &mut messages)?;
    }
    let single = choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use) == Some(true);
    let choice = choice.map_or(Ok(ClientChoice::Auto), Choice::resolve)?;
    let (tools, tool_names) = tools.choose(choice, single)?;
    Ok(Conversation { continues: conversation::continues(&messages, None)?, messages, tools, tool_names })
}

/// A thread would have to be kept between requests: the next one would bring its last turn alone.
fn without_thread(thread: &Option<Value>) -> Result<(), Refusal> {
    let instead = "nothing is kept between requests: leave it out, and send all `messages`";
    refuse_unserved(&[Unserved { field: "thread", value: thread, nothing: &[], instead }])
}

/// The tools of a request. Those that Anthropic defines, by a name with a date, and those of its servers are left out.
fn offered(
    specs: Option<Vec<Map<String, Value>>>,
    mcp_servers: Option<Vec<McpServer>>,
) -> Result<ToolSet, Refusal> {
    let mut set = ToolSet::default();
    for (i, spec) in specs.into_iter().flatten().enumerate() {
        match spec.get("type").and_then(Value::as_str) {
            None | Some("custom") => {
                let ToolSpec { name, description, input_schema, strict, .. } =
                    problem::parse_part(&format!("tools[{i}]"), Value::Object(spec))?;
                let parameters = input_schema.map(|schema| Value::Object(schema).to_string());
                set.add(None, Tool { name, description, parameters, strict: strict == Some(true) });
            }
            Some(kind) if is_built_in(kind) => {
                set.leave_out(kind, spec.get("name").and_then(Value::as_str));
            }
            Some(other) => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!("`tools[{i}].type` is `{other}`: use `custom`")));
            }
        }
    }
    for server in mcp_servers.into_iter().flatten() {
        set.leave_out("mcp_servers", server.name.as_deref());
    }
    Ok(set)
}

/// Whether a tool of this type is one that Anthropic defines: `web_search_20250305`, `mcp_toolset`.
fn is_built_in(kind: &str) -> bool {
    let is_dated = |(name, date): (&str, &str)| {
        !name.is_empty() && date.len() == DATE_DIGITS && date.bytes().all(|byte| byte.is_ascii_digit())
    };
    kind == "mcp_toolset" || kind.rsplit_once('_').is_some_and(is_dated)
}

/// Digits of the date that ends the type of a tool.
const DATE_DIGITS: usize = 8;

impl Choice {
    fn resolve(self) -> Result<ClientChoice, Refusal> {
        match (self.kind, self.name) {
            (ChoiceKind::Auto, _) => Ok(ClientChoice::Auto),
            (ChoiceKind::None, _) => Ok(ClientChoice::None),
            (ChoiceKind::Any, _) => Ok(ClientChoice::Required),
            (ChoiceKind::Tool, name @ Some(_)) => {
                Ok(ClientChoice::Named { kind: "tool".to_owned(), namespace: None, name })
            }
            (ChoiceKind::Tool, None) => {
                Err(Refusal::Invalid("`tool_choice.name` is missing: name the tool".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
