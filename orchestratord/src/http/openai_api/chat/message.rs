//! One turn of a conversation, as OpenAI's clients send it.
//!
//! Rules: ORCH-OAI-19, ORCH-OAI-22

use generation::Message as Resolved;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::tools::{self, Call};
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::fields::{LEAVE_IT_OUT, TextOr, TextOrObject, Unserved, refuse_unserved};

/// What joins the parts of a text that comes in parts.
const BETWEEN_PARTS: &str = "\n";

/// One message. Fields of type [`IgnoredAny`] are taken and have no effect: they come back from answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    role: Role,
    content: Option<TextOr<Part>>,
    tool_calls: Option<Vec<Call>>,
    tool_call_id: Option<String>,
    name: Option<String>,
    function_call: Option<Value>,
    audio: Option<Value>,
    refusal: Option<String>,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
    /// Reasoning of an earlier turn, under the names that servers give it in responses.
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    /// Reasoning in forms of one provider, beside the text.
    #[serde(default, rename = "reasoning_details")]
    _reasoning_details: IgnoredAny,
    #[serde(default, rename = "thinking_blocks")]
    _thinking_blocks: IgnoredAny,
    /// What servers and libraries add to answers, and clients send back.
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "extra_content")]
    _extra_content: IgnoredAny,
    #[serde(default, rename = "parsed")]
    _parsed: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// A part of what is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<TextOrObject<ImageUrl>>,
    #[serde(default, rename = "input_audio")]
    _input_audio: IgnoredAny,
    #[serde(default, rename = "file")]
    _file: IgnoredAny,
    thinking: Option<String>,
    #[serde(default, rename = "signature")]
    _signature: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "prompt_cache_breakpoint")]
    _prompt_cache_breakpoint: IgnoredAny,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
}

/// Where an image is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageUrl {
    url: String,
    /// A hint for what to spend on it, which engines here do not take.
    #[serde(default, rename = "detail")]
    _detail: IgnoredAny,
    /// Its media type, which the image says itself.
    #[serde(default, rename = "format")]
    _format: IgnoredAny,
}

impl Message {
    /// The message at `i` as a task has it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, i: usize, image_urls: &ImageUrls) -> Result<Resolved, Refusal> {
        let field = |name: &str| format!("messages[{i}].{name}");
        let (call, audio) = (field("function_call"), field("audio"));
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        refuse_unserved(&[unserved(&call, &self.function_call, &[]), unserved(&audio, &self.audio, &[])])?;
        let role = match self.role {
            Role::System | Role::Developer => generation::Role::System,
            Role::User => generation::Role::User,
            Role::Assistant => generation::Role::Assistant,
            Role::Tool => generation::Role::Tool,
        };
        let tool_calls = tools::calls(&field("tool_calls"), self.tool_calls.unwrap_or_default())?;
        let (mut images, mut thinking) = (Vec::new(), Vec::new());
        let content = match (self.content, self.refusal) {
            (Some(TextOr::Text(text)), _) => text,
            (Some(TextOr::Many(parts)), _) => {
                let mut texts = Vec::new();
                for (k, part) in parts.into_iter().enumerate() {
                    let field = field(&format!("content[{k}]"));
                    match part.resolve(&field, image_urls)? {
                        Content::Text(text) => texts.push(text),
                        Content::Image(url) => images.push(url),
                        Content::Thinking(text) => thinking.push(text),
                    }
                }
                texts.join(BETWEEN_PARTS)
            }
            (None, Some(refusal)) => refusal,
            // A turn that was nothing but calls or reasoning, and a tool that returned nothing.
            (None, None) if matches!(self.role, Role::Assistant | Role::Tool) => String::new(),
            (None, None) => {
                return Err(Refusal::Invalid(format!("`{}` is missing: send a text", field("content"))));
            }
        };
        let (tool_call_id, name) = (self.tool_call_id, self.name);
        let thinking = (!thinking.is_empty()).then(|| thinking.join(BETWEEN_PARTS));
        let reasoning =
            self.reasoning_content.or(self.reasoning).or(thinking).filter(|text| !text.is_empty());
        Ok(Resolved { role, content, reasoning, images, tool_calls, tool_call_id, name })
    }
}

/// What a part turns out to be.
enum Content {
    Text(String),
    Image(String),
    Thinking(String),
}

impl Part {
    fn resolve(self, field: &str, image_urls: &ImageUrls) -> Result<Content, Refusal> {
        let missing = |name: &str| Refusal::Invalid(format!("`{field}.{name}` is missing: send it"));
        let (name, text) = match self.kind.as_str() {
            "text" => ("text", self.text),
            "refusal" => ("refusal", self.refusal),
            // Anthropic's form of reasoning, which libraries leave where it is.
            "thinking" => {
                return self.thinking.map(Content::Thinking).ok_or_else(|| missing("thinking"));
            }
            "image_url" => {
                let (TextOrObject::Text(url) | TextOrObject::Object(ImageUrl { url, .. })) =
                    self.image_url.ok_or_else(|| missing("image_url"))?;
                return image_urls.checked(&format!("{field}.image_url.url"), url).map(Content::Image);
            }
            "input_audio" | "file" => {
                return Err(Refusal::Invalid(format!(
                    "`{field}.type` is `{}`, which no engine here reads: send `text`",
                    self.kind
                )));
            }
            other => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!("`{field}.type` is `{other}`: use `text`")));
            }
        };
        text.map(Content::Text).ok_or_else(|| missing(name))
    }
}
