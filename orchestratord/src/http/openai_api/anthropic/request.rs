//! What Anthropic's clients ask.
//!
//! Rules: ORCH-OAI-14

use generation::{Message, ReasoningOptions, Role, Tool, ToolChoice, Tools};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::blocks::{self, Content, Turn};
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::conversation::{self, Conversation};
use crate::http::openai_api::fields::TextOr;
use crate::http::openai_api::generation_params::{FormatAt, GenerationParams, ResponseFormat};
use crate::http::openai_api::reasoning_params::{self, Thinking};

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
    tools: Option<Vec<ToolSpec>>,
    tool_choice: Option<Choice>,
    service_tier: Option<String>,
    session_id: Option<String>,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    #[serde(default, rename = "context_management")]
    _context_management: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
}

/// The body of `POST /v1/messages/count_tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountRequest {
    model: String,
    messages: Vec<Turn>,
    system: Option<Content>,
    tools: Option<Vec<ToolSpec>>,
    tool_choice: Option<Choice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    #[serde(default, rename = "context_management")]
    _context_management: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
}

/// How an answer is to look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputConfig {
    format: Option<Format>,
    effort: Option<String>,
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
    let Some(OutputConfig { format, effort }) = config else { return Ok((thinking, None)) };
    let format =
        format.map(|format| ResponseFormat::new(FormatAt::OutputConfig, &format.kind, format.schema));
    let effort =
        effort.map(|effort| reasoning_params::of_effort("output_config.effort", &effort)).transpose()?;
    // The effort says how much and not whether.
    let effort = ReasoningOptions { enabled: None, ..effort.unwrap_or_default() };
    Ok((reasoning_params::joined(thinking, effort), format.transpose()?))
}

/// A tool of the caller's own; those that Anthropic runs itself are refused by their type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    description: Option<String>,
    input_schema: Option<Map<String, Value>>,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    strict: Option<bool>,
    #[serde(default, rename = "eager_input_streaming")]
    _eager_input_streaming: IgnoredAny,
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
        let conversation =
            conversation((self.system, self.messages), image_urls, self.tools, self.tool_choice)?;
        let (reasoning, response_format) = output(self.thinking, self.output_config)?;
        let service_tier = match self.service_tier {
            // Anthropic's name for what the others call `default`.
            Some(tier) if tier == "standard_only" => None,
            tier => tier,
        };
        let shared = GenerationParams {
            model: self.model,
            stream: self.stream,
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
        let conversation =
            conversation((self.system, self.messages), image_urls, self.tools, self.tool_choice)?;
        let (reasoning, response_format) = output(self.thinking, self.output_config)?;
        Ok((
            conversation,
            GenerationParams { model: self.model, response_format, reasoning, ..GenerationParams::default() },
        ))
    }
}

fn conversation(
    (system, turns): (Option<Content>, Vec<Turn>),
    image_urls: &ImageUrls,
    tools: Option<Vec<ToolSpec>>,
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
    let offered = tools.unwrap_or_default().into_iter().enumerate();
    Ok(Conversation {
        continues: conversation::continues(&messages, None)?,
        messages,
        tools: Tools {
            offered: offered.map(|(i, tool)| tool.resolve(i)).collect::<Result<_, _>>()?,
            choice: choice.map_or(Ok(ToolChoice::Auto), Choice::resolve)?,
            single,
        },
    })
}

impl ToolSpec {
    fn resolve(self, i: usize) -> Result<Tool, Refusal> {
        if let Some(kind) = self.kind.filter(|kind| kind != "custom") {
            let kind = shown(kind.as_bytes());
            return Err(Refusal::Invalid(format!(
                "`tools[{i}].type` is `{kind}`, which is not served here: use `custom`"
            )));
        }
        let parameters = self.input_schema.map(|schema| Value::Object(schema).to_string());
        let strict = self.strict == Some(true);
        Ok(Tool { name: self.name, description: self.description, parameters, strict })
    }
}

impl Choice {
    fn resolve(self) -> Result<ToolChoice, Refusal> {
        match (self.kind, self.name) {
            (ChoiceKind::Auto, _) => Ok(ToolChoice::Auto),
            (ChoiceKind::None, _) => Ok(ToolChoice::None),
            (ChoiceKind::Any, _) => Ok(ToolChoice::Required),
            (ChoiceKind::Tool, Some(name)) => Ok(ToolChoice::Named(name)),
            (ChoiceKind::Tool, None) => {
                Err(Refusal::Invalid("`tool_choice.name` is missing: name the tool".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
