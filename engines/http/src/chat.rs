//! A conversation as OpenAI's API writes it, which every server here takes.
//!
//! Rules: ORCH-ENG-13

use generation::{Message, Tool, ToolCall, ToolChoice, Tools};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// One turn.
#[derive(Debug, Serialize)]
pub struct ChatMessage<'a> {
    role: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ChatToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Both names that servers have for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
}

/// A text, or pictures with a text behind them.
#[derive(Debug)]
struct Content<'a> {
    text: &'a str,
    images: &'a [String],
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.images.is_empty() {
            return to.serialize_str(self.text);
        }
        let image = |url| Part::ImageUrl { image_url: ImageUrl { url } };
        let text = (!self.text.is_empty()).then_some(Part::Text { text: self.text });
        to.collect_seq(self.images.iter().map(|url| image(url.as_str())).chain(text))
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Debug, Serialize)]
struct ChatToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: ChatFunction<'a>,
}

#[derive(Debug, Serialize)]
struct ChatFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// The turns of a conversation. A server that does not see is never given images
/// ([`engine_api::Abilities::images`]).
#[must_use]
pub fn chat_messages(messages: &[Message]) -> Vec<ChatMessage<'_>> {
    messages
        .iter()
        .map(|message| ChatMessage {
            role: message.role.as_str(),
            content: Content { text: &message.content, images: &message.images },
            tool_calls: message.tool_calls.iter().map(chat_tool_call).collect(),
            tool_call_id: message.tool_call_id.as_deref(),
            name: message.name.as_deref(),
            reasoning_content: message.reasoning.as_deref(),
            reasoning: message.reasoning.as_deref(),
        })
        .collect()
}

fn chat_tool_call(call: &ToolCall) -> ChatToolCall<'_> {
    let function = ChatFunction { name: &call.name, arguments: &call.arguments };
    ChatToolCall { id: &call.id, r#type: FUNCTION, function }
}

/// What may be called, in the fields of a request; empty where no tool is shown to the model.
#[derive(Debug, Default, Serialize)]
pub struct ChatTools<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ChatTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ChatToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ChatTool<'a> {
    r#type: &'static str,
    function: ChatToolFunction<'a>,
}

#[derive(Debug, Serialize)]
struct ChatToolFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ChatToolChoice<'a> {
    Word(&'static str),
    Named { r#type: &'static str, function: ChatToolName<'a> },
}

#[derive(Debug, Serialize)]
struct ChatToolName<'a> {
    name: &'a str,
}

impl<'a> ChatTools<'a> {
    /// As the API has them.
    ///
    /// # Errors
    /// [`Fault::Refused`] for parameters that are no JSON.
    pub fn new(tools: &'a Tools) -> Result<Self, Fault> {
        if !tools.are_shown() {
            return Ok(Self::default());
        }
        Ok(Self {
            tools: tools.offered.iter().map(chat_tool).collect::<Result<_, _>>()?,
            tool_choice: Some(match &tools.choice {
                ToolChoice::Auto | ToolChoice::None => ChatToolChoice::Word("auto"),
                ToolChoice::Required => ChatToolChoice::Word("required"),
                ToolChoice::Named(name) => {
                    ChatToolChoice::Named { r#type: FUNCTION, function: ChatToolName { name } }
                }
            }),
            parallel_tool_calls: Some(!tools.single),
        })
    }

    /// For a server that can be told to call, and not which tool: it is shown the one alone.
    ///
    /// # Errors
    /// As [`ChatTools::new`].
    pub fn of_words(tools: &'a Tools) -> Result<Self, Fault> {
        let mut all = Self::new(tools)?;
        if let ToolChoice::Named(name) = &tools.choice {
            all.tools.retain(|tool| tool.function.name == *name);
            all.tool_choice = Some(ChatToolChoice::Word("required"));
        }
        Ok(all)
    }
}

const FUNCTION: &str = "function";

fn chat_tool(tool: &Tool) -> Result<ChatTool<'_>, Fault> {
    let schema = tool.parameters.as_deref().map(serde_json::from_str).transpose();
    let parameters =
        schema.map_err(|error| Fault::Refused(format!("`tools`: `{}` has no JSON: {error}", tool.name)))?;
    let strict = tool.strict.then_some(true);
    let function =
        ChatToolFunction { name: &tool.name, description: tool.description.as_deref(), parameters, strict };
    Ok(ChatTool { r#type: FUNCTION, function })
}

#[cfg(test)]
mod tests {
    use generation::Role;

    use super::*;

    #[test]
    fn a_plain_turn_has_a_role_and_a_content_and_a_call_and_its_result_refer_to_each_other() {
        let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{\"a\":1}".into() };
        let messages = [
            Message::new(Role::User, "hi"),
            Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "") },
            Message {
                tool_call_id: Some("c1".into()),
                name: Some("f".into()),
                ..Message::new(Role::Tool, "2")
            },
        ];
        let expected = serde_json::json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}
            ]},
            {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "f"},
        ]);
        assert_eq!(serde_json::to_value(chat_messages(&messages)).expect("plain data"), expected);
    }

    #[test]
    fn pictures_come_before_the_text_of_their_turn() {
        let mut turn = Message::new(Role::User, "What is it?");
        turn.images = vec!["data:image/png;base64,AA==".to_owned(), "https://x/y.png".to_owned()];
        let seen = serde_json::to_value(chat_messages(std::slice::from_ref(&turn))).expect("plain data");
        let expected = serde_json::json!([
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "text", "text": "What is it?"},
        ]);
        assert_eq!(seen[0]["content"], expected);
    }

    #[test]
    fn tools_that_are_shown_are_sent_with_their_choice_and_those_that_are_not_are_not() {
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            description: Some("d".to_owned()),
            parameters: Some(r#"{"z":1,"a":2}"#.to_owned()),
            ..Tool::default()
        };
        let tools = |choice| Tools { offered: vec![tool("f"), tool("g")], choice, single: true };
        let sent =
            |tools: &Tools| serde_json::to_string(&ChatTools::new(tools).expect("JSON")).expect("plain");
        let auto = sent(&tools(ToolChoice::Auto));
        assert!(auto.contains(r#""parameters":{"z":1,"a":2}"#), "the order of keys is kept: {auto}");
        assert!(auto.ends_with(r#""tool_choice":"auto","parallel_tool_calls":false}"#), "{auto}");
        assert!(sent(&tools(ToolChoice::Required)).contains(r#""tool_choice":"required""#));
        let named = tools(ToolChoice::Named("g".to_owned()));
        let choice = r#""tool_choice":{"type":"function","function":{"name":"g"}}"#;
        assert!(sent(&named).contains(choice), "{}", sent(&named));
        assert_eq!(sent(&tools(ToolChoice::None)), "{}");
        let words = serde_json::to_value(ChatTools::of_words(&named).expect("JSON")).expect("plain");
        assert_eq!(words["tool_choice"], "required");
        assert_eq!(words["tools"].as_array().map(Vec::len), Some(1));
        assert_eq!(words["tools"][0]["function"]["name"], "g");
    }
}
