//! What a response goes on from: messages, calls of tools and their results, each an item of its own.
//!
//! Rules: ORCH-OAI-19, ORCH-OAI-22, ORCH-OAI-23

use generation::{Message, Role, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::chat::arguments_of;
use crate::http::openai_api::custom_input::custom_arguments;
use crate::http::openai_api::fields::TextOr;
use crate::http::openai_api::offered_tools::offered_name;
use crate::http::problem;

/// What joins the parts of a text.
const BETWEEN_PARTS: &str = "\n";

/// One item. Which of its fields mean something is a matter of its type. Fields of type [`IgnoredAny`] are taken and have
/// no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: Option<TurnRole>,
    content: Option<TextOr<Part>>,
    call_id: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    arguments: Option<Value>,
    input: Option<String>,
    output: Option<TextOr<Part>>,
    summary: Option<Vec<SummaryPart>>,
    tools: Option<Vec<Map<String, Value>>>,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
    #[serde(default, rename = "phase")]
    _phase: IgnoredAny,
    #[serde(default, rename = "caller")]
    _caller: IgnoredAny,
    #[serde(default, rename = "async")]
    _async: IgnoredAny,
    #[serde(default, rename = "encrypted_content")]
    _encrypted_content: IgnoredAny,
    #[serde(default, rename = "end_turn")]
    _end_turn: IgnoredAny,
    #[serde(default, rename = "extra_content")]
    _extra_content: IgnoredAny,
    #[serde(default, rename = "provider_specific_fields")]
    _provider_specific_fields: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
}

/// Types of items that tools of a provider leave in a history: they are left out.
const OF_BUILT_IN_TOOLS: [&str; 22] = [
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

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
    #[serde(default, rename = "prompt_cache_breakpoint")]
    _prompt_cache_breakpoint: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
}

/// An entry of `input`, read as far as its type is known.
pub(super) enum Entry {
    Item(Box<Item>),
    /// Tools that are offered from here on.
    Tools(Vec<Map<String, Value>>),
    /// Nothing that the model reads.
    Nothing,
}

/// Reads the entry at `field`.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn entry(field: &str, entry: Map<String, Value>) -> Result<Entry, Refusal> {
    let kind = entry.get("type").and_then(Value::as_str);
    if kind.is_some_and(|kind| OF_BUILT_IN_TOOLS.contains(&kind)) {
        return Ok(Entry::Nothing);
    }
    let mut item: Item = problem::parse_part(field, Value::Object(entry))?;
    match (item.kind.as_deref(), item.tools.take()) {
        (Some("additional_tools"), tools) => Ok(Entry::Tools(tools.unwrap_or_default())),
        _ => Ok(Entry::Item(Box::new(item))),
    }
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
        "message" => message(item, field, image_urls, messages),
        "function_call" | "custom_tool_call" => {
            messages_of_call(call_of(item, field)?, messages);
            Ok(())
        }
        "function_call_output" | "custom_tool_call_output" => {
            let (text, images) = match item.output {
                Some(output) => text_and_images(&format!("{field}.output"), output, image_urls)?,
                None => (String::new(), Vec::new()),
            };
            let tool_call_id = Some(needed(field, "call_id", item.call_id)?);
            messages.push(Message { images, tool_call_id, ..Message::new(Role::Tool, text) });
            Ok(())
        }
        "reasoning" => {
            let reasoning = reasoning_of(field, item.content, item.summary)?;
            if !reasoning.is_empty() {
                messages.push(Message { reasoning: Some(reasoning), ..Message::new(Role::Assistant, "") });
            }
            Ok(())
        }
        "item_reference" => Err(Refusal::Invalid(format!(
            "`{field}.type` is `item_reference`, and nothing is kept between requests: send the item itself"
        ))),
        "compaction" => Err(Refusal::Invalid(format!(
            "`{field}.type` is `compaction`, which only the service that made it can read: send the conversation"
        ))),
        other => {
            let other = shown(other.as_bytes());
            Err(Refusal::Invalid(format!(
                "`{field}.type` is `{other}`: use `message`, `function_call`, `function_call_output`, \
                 `custom_tool_call`, `custom_tool_call_output` or `reasoning`"
            )))
        }
    }
}

fn message(
    item: Item,
    field: &str,
    image_urls: &ImageUrls,
    messages: &mut Vec<Message>,
) -> Result<(), Refusal> {
    let role = match needed(field, "role", item.role)? {
        TurnRole::System | TurnRole::Developer => Role::System,
        TurnRole::User => Role::User,
        TurnRole::Assistant => Role::Assistant,
    };
    let (text, images) = match item.content {
        Some(content) => text_and_images(&format!("{field}.content"), content, image_urls)?,
        None if role == Role::Assistant => (String::new(), Vec::new()),
        None => return needed(field, "content", None::<()>),
    };
    match messages.last_mut().filter(|last| role == Role::Assistant && is_reasoning_alone(last)) {
        Some(last) => (last.content, last.images) = (text, images),
        None => messages.push(Message { images, ..Message::new(role, text) }),
    }
    Ok(())
}

/// The call that an item is, under the name that the model knows the tool by.
fn call_of(item: Item, field: &str) -> Result<ToolCall, Refusal> {
    let name = needed(field, "name", item.name)?;
    let arguments = match (item.kind.as_deref(), item.input) {
        (Some("custom_tool_call"), input) => custom_arguments(&needed(field, "input", input)?),
        _ => arguments_of(&format!("{field}.arguments"), item.arguments)?,
    };
    Ok(ToolCall {
        id: needed(field, "call_id", item.call_id)?,
        name: offered_name(item.namespace.as_deref(), &name),
        arguments,
    })
}

fn messages_of_call(call: ToolCall, messages: &mut Vec<Message>) {
    match messages.last_mut().filter(|last| last.role == Role::Assistant) {
        Some(last) => last.tool_calls.push(call),
        None => messages.push(Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") }),
    }
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
