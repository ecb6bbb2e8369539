//! What a request for a response asks.

use generation::{Message, Role, Tool, ToolChoice, Tools};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::items::{self, Item};
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::conversation::Conversation;
use crate::http::openai_api::fields::{LEAVE_IT_OUT, Nothing, TextOr, Unserved, refuse_unserved};
use crate::http::openai_api::generation_params::{FormatAt, GenerationParams, ResponseFormat};
use crate::http::openai_api::logprobs;
use crate::http::openai_api::reasoning_params::Reasoning;

/// What `include` calls the probability of the answer's tokens.
const LOGPROBS: &str = "message.output_text.logprobs";

/// The body. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponsesRequest {
    model: String,
    input: TextOr<Item>,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stream: Option<bool>,
    tools: Option<Vec<ToolSpec>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    text: Option<TextForm>,
    service_tier: Option<String>,
    session_id: Option<String>,
    prompt_cache_key: Option<String>,
    store: Option<Value>,
    previous_response_id: Option<Value>,
    conversation: Option<Value>,
    background: Option<Value>,
    prompt: Option<Value>,
    truncation: Option<Value>,
    top_logprobs: Option<u32>,
    max_tool_calls: Option<Value>,
    reasoning: Option<Reasoning>,
    /// What is not the probability of tokens is not there, and has no effect.
    include: Option<Vec<String>>,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    #[serde(default, rename = "user")]
    _user: IgnoredAny,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: IgnoredAny,
    #[serde(default, rename = "prompt_cache_retention")]
    _prompt_cache_retention: IgnoredAny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextForm {
    format: Option<Format>,
    verbosity: Option<Value>,
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

/// A tool.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSpec {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    parameters: Option<Map<String, Value>>,
    strict: Option<bool>,
}

/// What an answer repeats of its request, each as JSON: it is serialized once, where the request is parsed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Echo {
    instructions: Box<RawValue>,
    tools: Box<RawValue>,
    tool_choice: Box<RawValue>,
    parallel_tool_calls: bool,
}

impl Echo {
    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        [&self.instructions, &self.tools, &self.tool_choice].iter().map(|json| json.get().len()).sum()
    }
}

impl ResponsesRequest {
    /// What its answer repeats of it.
    pub(super) fn echo(&self) -> Echo {
        Echo {
            instructions: json(&self.instructions),
            tools: json(&self.tools.as_deref().unwrap_or_default()),
            tool_choice: json(self.tool_choice.as_ref().unwrap_or(&Value::from("auto"))),
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
        }
    }

    /// The conversation, and how it is to be answered.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, image_urls: &ImageUrls) -> Result<(Conversation, GenerationParams), Refusal> {
        self.refuse_unserved()?;
        let wanted = self.include.iter().flatten().any(|what| what == LOGPROBS);
        let logprobs = logprobs::asked(wanted, self.top_logprobs, &format!("`include` `{LOGPROBS}`"))?;
        let mut messages = Vec::new();
        messages.extend(self.instructions.map(|text| Message::new(Role::System, text)));
        match self.input {
            TextOr::Text(text) => messages.push(Message::new(Role::User, text)),
            TextOr::Many(items) => {
                for (i, item) in items.into_iter().enumerate() {
                    items::put_into(item, &format!("input[{i}]"), image_urls, &mut messages)?;
                }
            }
        }
        let offered = self.tools.unwrap_or_default().into_iter().enumerate();
        let tools = Tools {
            offered: offered.map(|(i, tool)| tool.resolve(i)).collect::<Result<_, _>>()?,
            choice: self.tool_choice.map_or(Ok(ToolChoice::Auto), |choice| choice_of(&choice))?,
            single: self.parallel_tool_calls == Some(false),
        };
        let format = self.text.and_then(|text| text.format);
        let reasoning = self.reasoning.map(Reasoning::resolve).transpose()?;
        let (reasoning, reasoning_place) = reasoning.unwrap_or_default();
        let shared = GenerationParams {
            model: self.model,
            stream: self.stream,
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
        Ok((Conversation { messages, tools, continues: false }, shared))
    }

    fn refuse_unserved(&self) -> Result<(), Refusal> {
        use Nothing::{False, Text};
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        let nothing = None;
        let verbosity = self.text.as_ref().map_or(&nothing, |text| &text.verbosity);
        let instead = "nothing is kept between requests: send the whole conversation in `input`";
        let unkept = |field, value| Unserved { field, value, nothing: &[False], instead };
        refuse_unserved(&[
            unkept("store", &self.store),
            unkept("previous_response_id", &self.previous_response_id),
            unkept("conversation", &self.conversation),
            unserved("background", &self.background, &[False]),
            unserved("prompt", &self.prompt, &[]),
            unserved("truncation", &self.truncation, &[Text("disabled")]),
            unserved("max_tool_calls", &self.max_tool_calls, &[]),
            unserved("text.verbosity", verbosity, &[Text("medium")]),
        ])
    }
}

impl ToolSpec {
    fn resolve(self, i: usize) -> Result<Tool, Refusal> {
        if self.kind != "function" {
            let kind = shown(self.kind.as_bytes());
            return Err(Refusal::Invalid(format!(
                "`tools[{i}].type` is `{kind}`, which is not served here: use `function`"
            )));
        }
        let missing = || Refusal::Invalid(format!("`tools[{i}].name` is missing: name the function"));
        let parameters = self.parameters.map(|schema| Value::Object(schema).to_string());
        let (name, strict) = (self.name.ok_or_else(missing)?, self.strict == Some(true));
        Ok(Tool { name, description: self.description, parameters, strict })
    }
}

fn choice_of(choice: &Value) -> Result<ToolChoice, Refusal> {
    match (choice.as_str(), choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), ..) => Ok(ToolChoice::Auto),
        (Some("none"), ..) => Ok(ToolChoice::None),
        (Some("required"), ..) => Ok(ToolChoice::Required),
        (None, Some("function"), Some(name)) => Ok(ToolChoice::Named(name.to_owned())),
        _ => {
            let choice = choice.to_string();
            Err(Refusal::Invalid(format!(
                "`tool_choice` is {}: use `auto`, `none`, `required`, or `function` with its `name`",
                shown(choice.as_bytes())
            )))
        }
    }
}

fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("what was JSON is JSON again")
}
