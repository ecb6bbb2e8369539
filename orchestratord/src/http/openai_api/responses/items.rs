//! What a response goes on from: messages, calls of tools and their results, each an item of its own.

use generation::{Message, Role, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::fields::TextOr;

/// What joins the parts of a text.
const BETWEEN_PARTS: &str = "\n";

/// One item. Which of its fields mean something is a matter of its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<TurnRole>,
    content: Option<TextOr<Part>>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<TextOr<Part>>,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
    #[serde(default, rename = "phase")]
    _phase: IgnoredAny,
    summary: Option<Vec<SummaryPart>>,
    #[serde(default, rename = "encrypted_content")]
    _encrypted_content: IgnoredAny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TurnRole {
    System,
    Developer,
    User,
    Assistant,
}

/// A part of a summary of reasoning.
#[derive(Debug, Deserialize)]
struct SummaryPart {
    text: Option<String>,
}

/// A part of what is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<String>,
    #[serde(default, rename = "detail")]
    _detail: IgnoredAny,
    #[serde(default, rename = "annotations")]
    _annotations: IgnoredAny,
    #[serde(default, rename = "logprobs")]
    _logprobs: IgnoredAny,
}

/// Adds an item to a conversation.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn put_into(
    item: Item,
    field: &str,
    image_urls: &ImageUrls,
    messages: &mut Vec<Message>,
) -> Result<(), Refusal> {
    match item.kind.as_deref().unwrap_or("message") {
        "message" => {
            let role = match needed(field, "role", item.role)? {
                TurnRole::System | TurnRole::Developer => Role::System,
                TurnRole::User => Role::User,
                TurnRole::Assistant => Role::Assistant,
            };
            let content = needed(field, "content", item.content)?;
            let (text, images) = text_and_images(&format!("{field}.content"), content, image_urls)?;
            match messages.last_mut().filter(|last| role == Role::Assistant && is_reasoning_alone(last)) {
                Some(last) => (last.content, last.images) = (text, images),
                None => messages.push(Message { images, ..Message::new(role, text) }),
            }
        }
        "function_call" => {
            let call = ToolCall {
                id: needed(field, "call_id", item.call_id)?,
                name: needed(field, "name", item.name)?,
                arguments: needed(field, "arguments", item.arguments)?,
            };
            match messages.last_mut().filter(|last| last.role == Role::Assistant) {
                Some(last) => last.tool_calls.push(call),
                None => {
                    messages.push(Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") })
                }
            }
        }
        "function_call_output" => {
            let output = needed(field, "output", item.output)?;
            let (text, images) = text_and_images(&format!("{field}.output"), output, image_urls)?;
            let tool_call_id = Some(needed(field, "call_id", item.call_id)?);
            messages.push(Message { images, tool_call_id, ..Message::new(Role::Tool, text) });
        }
        "reasoning" => {
            let reasoning = reasoning_of(field, item.content, item.summary)?;
            if !reasoning.is_empty() {
                messages.push(Message { reasoning: Some(reasoning), ..Message::new(Role::Assistant, "") });
            }
        }
        other => {
            let other = shown(other.as_bytes());
            return Err(Refusal::Invalid(format!(
                "`{field}.type` is `{other}`: use `message`, `function_call`, `function_call_output` or `reasoning`"
            )));
        }
    }
    Ok(())
}

/// Reasoning is an item of its own, and belongs to the message or the calls behind it.
fn is_reasoning_alone(message: &Message) -> bool {
    message.reasoning.is_some() && message.content.is_empty() && message.tool_calls.is_empty()
}

/// The text of a `reasoning` item: its content, or else its summary.
fn reasoning_of(
    field: &str,
    content: Option<TextOr<Part>>,
    summary: Option<Vec<SummaryPart>>,
) -> Result<String, Refusal> {
    let content = match content {
        Some(TextOr::Text(text)) => text,
        Some(TextOr::Many(parts)) => {
            let text = |(k, part): (usize, Part)| needed(&format!("{field}.content[{k}]"), "text", part.text);
            parts.into_iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_PARTS)
        }
        None => String::new(),
    };
    if !content.is_empty() {
        return Ok(content);
    }
    let summary = summary.unwrap_or_default().into_iter().filter_map(|part| part.text);
    Ok(summary.collect::<Vec<_>>().join(BETWEEN_PARTS))
}

fn text_and_images(
    field: &str,
    content: TextOr<Part>,
    image_urls: &ImageUrls,
) -> Result<(String, Vec<String>), Refusal> {
    let parts = match content {
        TextOr::Text(text) => return Ok((text, Vec::new())),
        TextOr::Many(parts) => parts,
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for (k, part) in parts.into_iter().enumerate() {
        let field = format!("{field}[{k}]");
        match part.kind.as_str() {
            "input_text" | "output_text" | "text" => texts.push(needed(&field, "text", part.text)?),
            "refusal" => texts.push(needed(&field, "refusal", part.refusal)?),
            "input_image" => {
                let url = needed(&field, "image_url", part.image_url)?;
                images.push(image_urls.checked(&format!("{field}.image_url"), url)?);
            }
            other => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!(
                    "`{field}.type` is `{other}`, which no engine here reads: send `input_text`"
                )));
            }
        }
    }
    Ok((texts.join(BETWEEN_PARTS), images))
}

fn needed<T>(field: &str, name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::Invalid(format!("`{field}.{name}` is missing: send it")))
}
