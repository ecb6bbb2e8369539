//! What a request for a response asks.
//!
//! Rules: ORCH-OAI-12, ORCH-OAI-22

use std::collections::BTreeMap;

use generation::{Message, Role};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::items::{self, Entry};
use super::tools;
use crate::backpressure::Refusal;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::conversation::Conversation;
use crate::http::openai_api::fields::{Nothing, TextOr, Unserved, refuse_unserved};
use crate::http::openai_api::generation_params::GenerationParams;
use crate::http::openai_api::logprobs;
use crate::http::openai_api::offered_tools::{ClientChoice, ToolSet};
use crate::http::openai_api::reasoning_params::Reasoning;
use crate::http::openai_api::response_format::{FormatAt, ResponseFormat};
use crate::http::problem;

/// What `include` calls the probability of the answer's tokens.
const LOGPROBS: &str = "message.output_text.logprobs";

/// The body. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponsesRequest {
    model: String,
    input: TextOr<Map<String, Value>>,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stream: Option<bool>,
    tools: Option<Vec<Map<String, Value>>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    text: Option<Value>,
    service_tier: Option<String>,
    session_id: Option<String>,
    prompt_cache_key: Option<String>,
    keep_alive: Option<Value>,
    previous_response_id: Option<Value>,
    conversation: Option<Value>,
    background: Option<Value>,
    prompt: Option<Value>,
    top_logprobs: Option<u32>,
    reasoning: Option<Value>,
    /// What is not the probability of tokens is not there, and has no effect.
    include: Option<Vec<String>>,
    /// These three are repeated in the answer, and have no effect beside that.
    metadata: Option<Value>,
    user: Option<Value>,
    safety_identifier: Option<Value>,
    #[serde(default, rename = "prompt_cache_retention")]
    _prompt_cache_retention: IgnoredAny,
    #[serde(default, rename = "prompt_cache_options")]
    _prompt_cache_options: IgnoredAny,
    /// Nothing is stored, so that nothing can be asked for later.
    #[serde(default, rename = "store")]
    _store: IgnoredAny,
    /// What does not fit is refused, whatever this says.
    #[serde(default, rename = "truncation")]
    _truncation: IgnoredAny,
    /// Of built-in tools, of which there are none.
    #[serde(default, rename = "max_tool_calls")]
    _max_tool_calls: IgnoredAny,
    #[serde(default, rename = "client_metadata")]
    _client_metadata: IgnoredAny,
    #[serde(default, rename = "context_management")]
    _context_management: IgnoredAny,
    #[serde(default, rename = "moderation")]
    _moderation: IgnoredAny,
    #[serde(default, rename = "access_programs")]
    _access_programs: IgnoredAny,
    #[serde(default, rename = "background_options")]
    _background_options: IgnoredAny,
    #[serde(default, rename = "image")]
    _image: IgnoredAny,
    #[serde(default, rename = "stream_options")]
    _stream_options: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextForm {
    format: Option<Format>,
    /// A hint for models that were trained for it.
    #[serde(default, rename = "verbosity")]
    _verbosity: IgnoredAny,
}

/// A form of the answer: what a chat completion wraps once more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    schema: Option<Map<String, Value>>,
    #[serde(default, rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    #[serde(default, rename = "strict")]
    _strict: IgnoredAny,
}

/// What an answer repeats of its request, as JSON: it is serialized once, where the request is parsed.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Echo(BTreeMap<String, Box<RawValue>>);

/// Fields of an answer that repeat its request, or say what is so here whatever a request says.
#[derive(Serialize)]
struct EchoFields<'r> {
    instructions: &'r Option<String>,
    tools: &'r [Map<String, Value>],
    tool_choice: Value,
    parallel_tool_calls: bool,
    max_output_tokens: Option<u32>,
    max_tool_calls: (),
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_logprobs: u32,
    text: Value,
    reasoning: Value,
    metadata: Value,
    user: &'r Option<Value>,
    safety_identifier: &'r Option<Value>,
    prompt_cache_key: &'r Option<String>,
    previous_response_id: (),
    background: Value,
    store: Value,
    truncation: &'static str,
}

impl Echo {
    fn new(fields: &EchoFields<'_>) -> Self {
        let fields = serde_json::to_string(fields).expect("what was JSON is JSON again");
        Self(serde_json::from_str(&fields).expect("fields make an object"))
    }

    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.get().len()).sum()
    }
}

impl ResponsesRequest {
    /// What its answer repeats of it.
    pub(super) fn echo(&self) -> Echo {
        let object = |value: &Option<Value>, absent: Value| match value {
            Some(value @ Value::Object(_)) => value.clone(),
            _ => absent,
        };
        let fields = EchoFields {
            instructions: &self.instructions,
            tools: self.tools.as_deref().unwrap_or_default(),
            tool_choice: self.tool_choice.clone().unwrap_or_else(|| "auto".into()),
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            max_output_tokens: self.max_output_tokens,
            max_tool_calls: (),
            temperature: self.temperature,
            top_p: self.top_p,
            top_logprobs: self.top_logprobs.unwrap_or_default(),
            text: object(&self.text, json!({"format": {"type": "text"}})),
            reasoning: object(&self.reasoning, json!({"effort": null, "summary": null})),
            metadata: object(&self.metadata, json!({})),
            user: &self.user,
            safety_identifier: &self.safety_identifier,
            prompt_cache_key: &self.prompt_cache_key,
            previous_response_id: (),
            background: false.into(),
            store: false.into(),
            truncation: "disabled",
        };
        Echo::new(&fields)
    }

    /// The conversation, and how it is to be answered.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, image_urls: &ImageUrls) -> Result<(Conversation, GenerationParams), Refusal> {
        self.refuse_unserved()?;
        let wanted = self.include.iter().flatten().any(|what| what == LOGPROBS);
        let logprobs = logprobs::asked(wanted, self.top_logprobs, &format!("`include` `{LOGPROBS}`"))?;
        let mut set = ToolSet::default();
        tools::offer("tools", self.tools.unwrap_or_default(), &mut set)?;
        let mut messages = Vec::new();
        messages.extend(self.instructions.map(|text| Message::new(Role::System, text)));
        match self.input {
            TextOr::Text(text) => messages.push(Message::new(Role::User, text)),
            TextOr::Many(entries) => {
                for (i, entry) in entries.into_iter().enumerate() {
                    let field = format!("input[{i}]");
                    match items::entry(&field, entry)? {
                        Entry::Item(item) => items::put_into(*item, &field, image_urls, &mut messages)?,
                        Entry::Tools(more) => tools::offer(&format!("{field}.tools"), more, &mut set)?,
                        Entry::Nothing => {}
                    }
                }
            }
        }
        let choice = self.tool_choice.map_or(Ok(ClientChoice::Auto), |choice| tools::choice(&choice))?;
        let (tools, tool_names) = set.choose(choice, self.parallel_tool_calls == Some(false))?;
        let text: Option<TextForm> = self.text.map(|text| problem::parse_part("text", text)).transpose()?;
        let format = text.and_then(|text| text.format);
        let reasoning = self.reasoning.map(|reasoning| {
            problem::parse_part::<Reasoning>("reasoning", reasoning).and_then(Reasoning::resolve)
        });
        let reasoning = reasoning.transpose()?;
        let (reasoning, reasoning_place) = reasoning.unwrap_or_default();
        let shared = GenerationParams {
            model: Some(self.model),
            stream: self.stream,
            keep_alive: self.keep_alive,
            max_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            response_format: format
                .map(|format| ResponseFormat::new(FormatAt::Text, &format.kind, format.schema))
                .transpose()?,
            service_tier: self.service_tier,
            session_id: self.session_id,
            prompt_cache_key: self.prompt_cache_key,
            logprobs,
            reasoning,
            reasoning_place,
            ..GenerationParams::default()
        };
        Ok((Conversation { messages, tools, tool_names, continues: false }, shared))
    }

    fn refuse_unserved(&self) -> Result<(), Refusal> {
        let kept = "nothing is kept between requests: send the whole conversation in `input`";
        let unserved = |field, value, instead| Unserved { field, value, nothing: &[Nothing::False], instead };
        refuse_unserved(&[
            unserved("previous_response_id", &self.previous_response_id, kept),
            unserved("conversation", &self.conversation, kept),
            unserved("background", &self.background, "stream the response, or send a task to `/v1/tasks`"),
            unserved("prompt", &self.prompt, "send its text in `instructions` and `input`"),
        ])
    }
}
