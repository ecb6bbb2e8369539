//! One turn of a conversation, as OpenAI's clients send it.

use api_types as wire;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::openai::fields::{LEAVE_IT_OUT, Nothing, TextOr, Unserved, refuse_unserved};

/// What joins the parts of a text that comes in parts.
const BETWEEN_PARTS: &str = "\n";

/// One message. Fields of type [`IgnoredAny`] are taken and have no effect: they come back from answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    role: Role,
    content: Option<TextOr<Part>>,
    tool_calls: Option<Value>,
    function_call: Option<Value>,
    audio: Option<Value>,
    refusal: Option<String>,
    /// Templates know roles and no names.
    #[serde(default, rename = "name")]
    _name: IgnoredAny,
    #[serde(default, rename = "tool_call_id")]
    _tool_call_id: IgnoredAny,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
    /// What a model thought is not repeated to it.
    #[serde(default, rename = "reasoning_content")]
    _reasoning_content: IgnoredAny,
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
    #[serde(default, rename = "image_url")]
    _image_url: IgnoredAny,
    #[serde(default, rename = "input_audio")]
    _input_audio: IgnoredAny,
    #[serde(default, rename = "file")]
    _file: IgnoredAny,
}

impl Message {
    /// The message at `i` as a task has it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn resolve(self, i: usize) -> Result<wire::Message, Refusal> {
        let field = |name: &str| format!("messages[{i}].{name}");
        let (calls, call, audio) = (field("tool_calls"), field("function_call"), field("audio"));
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        refuse_unserved(&[
            unserved(&calls, &self.tool_calls, &[Nothing::Empty]),
            unserved(&call, &self.function_call, &[]),
            unserved(&audio, &self.audio, &[]),
        ])?;
        let role = match self.role {
            Role::System | Role::Developer => wire::Role::System,
            Role::User => wire::Role::User,
            Role::Assistant => wire::Role::Assistant,
            Role::Tool => wire::Role::Tool,
        };
        let content = match (self.content, self.refusal) {
            (Some(TextOr::Text(text)), _) => text,
            (Some(TextOr::Many(parts)), _) => {
                let text = |(k, part): (usize, Part)| part.into_text(&field(&format!("content[{k}]")));
                let texts: Result<Vec<_>, _> = parts.into_iter().enumerate().map(text).collect();
                texts?.join(BETWEEN_PARTS)
            }
            (None, Some(refusal)) => refusal,
            (None, None) => {
                return Err(Refusal::Invalid(format!("`{}` is missing: send a text", field("content"))));
            }
        };
        Ok(wire::Message { role, content })
    }
}

impl Part {
    fn into_text(self, field: &str) -> Result<String, Refusal> {
        let (name, text) = match self.kind.as_str() {
            "text" => ("text", self.text),
            "refusal" => ("refusal", self.refusal),
            "image_url" | "input_audio" | "file" => {
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
        text.ok_or_else(|| Refusal::Invalid(format!("`{field}.{name}` is missing: send a text")))
    }
}
