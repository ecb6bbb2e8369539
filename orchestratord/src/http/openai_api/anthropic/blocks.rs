//! What is said in Anthropic's form: blocks of text, images, calls of tools and their results.

use generation::{Message, Role, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::fields::TextOr;

/// What joins the blocks of a text.
const BETWEEN_BLOCKS: &str = "\n";

/// A text, or blocks.
pub(super) type Content = TextOr<Block>;

/// One turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    role: TurnRole,
    content: Content,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TurnRole {
    User,
    Assistant,
    System,
}

/// One block. Which of its fields mean something is a matter of its type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    source: Option<Source>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Map<String, Value>>,
    tool_use_id: Option<String>,
    content: Option<Box<Content>>,
    /// A result that says of itself that it is one of a failure says it in its text too.
    #[serde(default, rename = "is_error")]
    _is_error: IgnoredAny,
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "citations")]
    _citations: IgnoredAny,
    #[serde(default, rename = "caller")]
    _caller: IgnoredAny,
    #[serde(default, rename = "toolset_name")]
    _toolset_name: IgnoredAny,
    thinking: Option<String>,
    #[serde(default, rename = "signature")]
    _signature: IgnoredAny,
    #[serde(default, rename = "data")]
    _data: IgnoredAny,
}

/// Where an image is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
}

impl Turn {
    /// Adds it to a conversation: results of tools are turns of their own there.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn put_into(
        self,
        field: &str,
        image_urls: &ImageUrls,
        messages: &mut Vec<Message>,
    ) -> Result<(), Refusal> {
        let role = match self.role {
            TurnRole::User => Role::User,
            TurnRole::Assistant => Role::Assistant,
            TurnRole::System => Role::System,
        };
        let blocks = match self.content {
            TextOr::Text(text) => {
                messages.push(Message::new(role, text));
                return Ok(());
            }
            TextOr::Many(blocks) => blocks,
        };
        let (mut turn, mut texts, mut results) = (Message::new(role, ""), Vec::new(), false);
        for (k, block) in blocks.into_iter().enumerate() {
            let field = format!("{field}.content[{k}]");
            match block.kind.as_str() {
                "text" => texts.push(needed(&field, "text", block.text)?),
                "image" => {
                    let source = needed(&field, "source", block.source)?;
                    turn.images.push(source.into_url(&format!("{field}.source"), image_urls)?);
                }
                "tool_use" => turn.tool_calls.push(ToolCall {
                    id: needed(&field, "id", block.id)?,
                    name: needed(&field, "name", block.name)?,
                    arguments: Value::Object(needed(&field, "input", block.input)?).to_string(),
                }),
                "tool_result" => {
                    let content = block.content.map_or(Ok(String::new()), |content| {
                        text_of(&format!("{field}.content"), *content)
                    })?;
                    let mut result = Message::new(Role::Tool, content);
                    result.tool_call_id = Some(needed(&field, "tool_use_id", block.tool_use_id)?);
                    messages.push(result);
                    results = true;
                }
                "thinking" => {
                    let thinking = needed(&field, "thinking", block.thinking)?;
                    let before =
                        turn.reasoning.take().map(|before| before + BETWEEN_BLOCKS).unwrap_or_default();
                    turn.reasoning = Some(before + &thinking).filter(|text| !text.is_empty());
                }
                // Nobody here can read it.
                "redacted_thinking" => {}
                _ => return Err(block.unknown(&field)),
            }
        }
        turn.content = texts.join(BETWEEN_BLOCKS);
        let something = turn.reasoning.is_some()
            || !texts.is_empty()
            || !turn.images.is_empty()
            || !turn.tool_calls.is_empty();
        if something || !results {
            messages.push(turn);
        }
        Ok(())
    }
}

/// Content that is text and nothing else.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn text_of(field: &str, content: Content) -> Result<String, Refusal> {
    match content {
        TextOr::Text(text) => Ok(text),
        TextOr::Many(blocks) => {
            let text = |(k, block): (usize, Block)| {
                let field = format!("{field}[{k}]");
                if block.kind != "text" {
                    return Err(block.unknown(&field));
                }
                needed(&field, "text", block.text)
            };
            let texts: Result<Vec<_>, _> = blocks.into_iter().enumerate().map(text).collect();
            Ok(texts?.join(BETWEEN_BLOCKS))
        }
    }
}

impl Block {
    fn unknown(&self, field: &str) -> Refusal {
        let kind = shown(self.kind.as_bytes());
        Refusal::Invalid(format!("`{field}.type` is `{kind}`, which no engine here reads: send `text`"))
    }
}

impl Source {
    fn into_url(self, field: &str, image_urls: &ImageUrls) -> Result<String, Refusal> {
        match self.kind.as_str() {
            "base64" => {
                let media_type = needed(field, "media_type", self.media_type)?;
                let url = format!("data:{media_type};base64,{}", needed(field, "data", self.data)?);
                image_urls.checked(field, url)
            }
            "url" => image_urls.checked(&format!("{field}.url"), needed(field, "url", self.url)?),
            other => {
                let other = shown(other.as_bytes());
                Err(Refusal::Invalid(format!("`{field}.type` is `{other}`: use `base64` or `url`")))
            }
        }
    }
}

fn needed<T>(field: &str, name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::Invalid(format!("`{field}.{name}` is missing: send it")))
}
