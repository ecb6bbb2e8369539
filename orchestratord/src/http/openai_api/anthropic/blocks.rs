//! What is said in Anthropic's form: blocks of text, images, calls of tools and their results.
//!
//! Rules: ORCH-OAI-19, ORCH-OAI-22

use generation::{Message, Role, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::fields::{TextOr, TextOrObject};
use crate::http::openai_api::generation_tasks::tool_call_id;
use crate::http::problem;

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
    #[serde(default, rename = "cache_control")]
    _cache_control: IgnoredAny,
    #[serde(default, rename = "clear_at")]
    _clear_at: IgnoredAny,
    #[serde(default, rename = "output_config")]
    _output_config: IgnoredAny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TurnRole {
    User,
    Assistant,
    System,
}

/// One block. Which of its fields mean something is a matter of its type. Fields of type [`IgnoredAny`] are taken and have
/// no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    source: Option<BlockSource>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Map<String, Value>>,
    tool_use_id: Option<String>,
    tool_name: Option<String>,
    title: Option<String>,
    context: Option<String>,
    content: Option<Value>,
    thinking: Option<String>,
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
    #[serde(default, rename = "server_name")]
    _server_name: IgnoredAny,
    #[serde(default, rename = "signature")]
    _signature: IgnoredAny,
    #[serde(default, rename = "data")]
    _data: IgnoredAny,
    #[serde(default, rename = "transformations")]
    _transformations: IgnoredAny,
}

/// Blocks of tools that only their provider runs: in history they are left out.
const OF_SERVER_TOOLS: [&str; 3] = ["server_tool_use", "mcp_tool_use", "mcp_tool_listing"];

/// The end of the types of their results.
const SERVER_RESULT: &str = "_tool_result";

/// Where an image or a document is: an object with a type, or an address.
type BlockSource = TextOrObject<Source>;

/// Where an image is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    media_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
    content: Option<Value>,
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
        let mut turn = TurnParts::new(role);
        for (k, block) in blocks.into_iter().enumerate() {
            turn.add(&format!("{field}.content[{k}]"), block, image_urls, messages)?;
        }
        turn.put_into(messages);
        Ok(())
    }
}

/// A turn while its blocks are read.
struct TurnParts {
    turn: Message,
    texts: Vec<String>,
    /// Whether it brought results of tools, which are turns of their own.
    results: bool,
}

impl TurnParts {
    fn new(role: Role) -> Self {
        Self { turn: Message::new(role, ""), texts: Vec::new(), results: false }
    }

    fn add(
        &mut self,
        field: &str,
        block: Block,
        image_urls: &ImageUrls,
        messages: &mut Vec<Message>,
    ) -> Result<(), Refusal> {
        match block.kind.as_str() {
            "image" => self.turn.images.push(block.image(field, image_urls)?),
            "tool_use" => self.turn.tool_calls.push(ToolCall {
                id: block.id.unwrap_or_else(|| tool_call_id(String::new())),
                name: needed(field, "name", block.name)?,
                arguments: Value::Object(block.input.unwrap_or_default()).to_string(),
            }),
            "tool_result" => {
                let (content, images) = match block.content {
                    Some(content) => text_and_images(&format!("{field}.content"), content, image_urls)?,
                    None => (String::new(), Vec::new()),
                };
                let tool_call_id = Some(needed(field, "tool_use_id", block.tool_use_id)?);
                messages.push(Message { images, tool_call_id, ..Message::new(Role::Tool, content) });
                self.results = true;
            }
            "thinking" => {
                let thinking = needed(field, "thinking", block.thinking)?;
                let before = self.turn.reasoning.take().map(|before| before + BETWEEN_BLOCKS);
                let reasoning = before.unwrap_or_default() + &thinking;
                self.turn.reasoning = Some(reasoning).filter(|text| !text.is_empty());
            }
            // Nobody here can read it.
            "redacted_thinking" => {}
            kind if OF_SERVER_TOOLS.contains(&kind) || kind.ends_with(SERVER_RESULT) => {}
            _ => self.texts.push(block.into_text(field)?),
        }
        Ok(())
    }

    fn put_into(mut self, messages: &mut Vec<Message>) {
        self.turn.content = self.texts.join(BETWEEN_BLOCKS);
        let something = self.turn.reasoning.is_some()
            || !self.texts.is_empty()
            || !self.turn.images.is_empty()
            || !self.turn.tool_calls.is_empty();
        if something || !self.results {
            messages.push(self.turn);
        }
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
            let text = |(k, block): (usize, Block)| block.into_text(&format!("{field}[{k}]"));
            let texts: Result<Vec<_>, _> = blocks.into_iter().enumerate().map(text).collect();
            Ok(texts?.join(BETWEEN_BLOCKS))
        }
    }
}

/// The content of a result: texts and images.
fn text_and_images(
    field: &str,
    content: Value,
    image_urls: &ImageUrls,
) -> Result<(String, Vec<String>), Refusal> {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    match nested(field, content)? {
        TextOr::Text(text) => texts.push(text),
        TextOr::Many(blocks) => {
            for (k, block) in blocks.into_iter().enumerate() {
                let field = format!("{field}[{k}]");
                match block.kind.as_str() {
                    "image" => images.push(block.image(&field, image_urls)?),
                    _ => texts.push(block.into_text(&field)?),
                }
            }
        }
    }
    Ok((texts.join(BETWEEN_BLOCKS), images))
}

/// Content within a block.
fn nested(field: &str, content: Value) -> Result<Content, Refusal> {
    // One block without its array is what some clients send.
    let content = if content.is_object() { Value::Array(vec![content]) } else { content };
    problem::parse_part(field, content)
}

impl Block {
    /// The text of a block that is one, or can be read as one.
    fn into_text(self, field: &str) -> Result<String, Refusal> {
        let titled = |text: String| {
            [self.title.clone(), self.context.clone(), Some(text)].into_iter().flatten().collect::<Vec<_>>()
        };
        match (self.kind.as_str(), self.content.clone()) {
            ("text", _) => needed(field, "text", self.text),
            // A summary of earlier turns.
            ("compaction", Some(Value::String(text))) => Ok(text),
            ("tool_reference", _) => needed(field, "tool_name", self.tool_name),
            ("search_result", Some(content)) => {
                let text = text_of(&format!("{field}.content"), nested(field, content)?)?;
                Ok(titled(text).join(BETWEEN_BLOCKS))
            }
            ("document", _) => match &self.source {
                Some(TextOrObject::Object(Source { kind, data: Some(text), .. })) if kind == "text" => {
                    Ok(titled(text.clone()).join(BETWEEN_BLOCKS))
                }
                Some(TextOrObject::Object(Source { kind, content: Some(content), .. }))
                    if kind == "content" =>
                {
                    let text = text_of(&format!("{field}.source.content"), nested(field, content.clone())?)?;
                    Ok(titled(text).join(BETWEEN_BLOCKS))
                }
                _ => Err(Refusal::Invalid(format!(
                    "`{field}.source` is not text, and no engine here reads other documents: send its text"
                ))),
            },
            _ => Err(self.unknown(field)),
        }
    }

    fn image(self, field: &str, image_urls: &ImageUrls) -> Result<String, Refusal> {
        match needed(field, "source", self.source)? {
            TextOrObject::Object(source) => source.into_url(&format!("{field}.source"), image_urls),
            TextOrObject::Text(url) => image_urls.checked(&format!("{field}.source"), url),
        }
    }

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
