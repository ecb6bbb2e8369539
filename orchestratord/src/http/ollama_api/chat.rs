//! `POST /api/chat`: the next turn of a conversation.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-5

use api_types::limits::task_request as limits;
use generation::{Input, Message, Role};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::images;
use super::options::Options;
use super::params::{Content, Params};
use super::response::Form;
use super::run::TextRequest;
use super::tools::{self, Call, ToolSpec};
use crate::backpressure::Refusal;
use crate::health_view::PoolView;
use crate::http::answer::shown;
use crate::http::task_request::check;

/// The body. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatRequest {
    model: String,
    messages: Option<Vec<MessageIn>>,
    tools: Option<Vec<ToolSpec>>,
    stream: Option<bool>,
    format: Option<Value>,
    options: Option<Options>,
    think: Option<Value>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    keep_alive: Option<Value>,
    /// Nothing is cut in silence here, whatever a request says.
    #[serde(default, rename = "truncate")]
    _truncate: IgnoredAny,
    #[serde(default, rename = "shift")]
    _shift: IgnoredAny,
}

/// One turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageIn {
    role: String,
    content: Option<String>,
    thinking: Option<String>,
    images: Option<Vec<String>>,
    tool_calls: Option<Vec<Call>>,
    tool_call_id: Option<String>,
    tool_name: Option<String>,
    name: Option<String>,
}

impl TextRequest for ChatRequest {
    const FORM: Form = Form::Chat;

    fn take_model(&mut self) -> String {
        std::mem::take(&mut self.model)
    }

    fn streams(&self) -> bool {
        self.stream != Some(false)
    }

    /// The conversation.
    fn take_content(&mut self, _pool: &PoolView) -> Result<Option<Content>, Refusal> {
        let messages = self.messages.take().unwrap_or_default();
        if messages.is_empty() {
            return Ok(None);
        }
        check::count("messages", messages.len(), limits::MESSAGES_ITEMS)?;
        let messages = messages.into_iter().enumerate().map(|(i, message)| message.resolve(i));
        let mut messages: Vec<Message> = messages.collect::<Result<_, _>>()?;
        tools::assign_results(&mut messages);
        let continues = messages.last().is_some_and(|last| {
            last.role == Role::Assistant && last.tool_calls.is_empty() && !last.content.is_empty()
        });
        let tools = self.tools.take().unwrap_or_default().into_iter().map(Into::into).collect();
        Ok(Some(Content { input: Input::Messages(messages), tools, continues }))
    }

    fn into_params(self) -> Params {
        let Self { options, format, think, logprobs, top_logprobs, keep_alive, .. } = self;
        Params { options, format, think, logprobs, top_logprobs, keep_alive }
    }
}

impl MessageIn {
    fn resolve(self, i: usize) -> Result<Message, Refusal> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let other = shown(other.as_bytes());
                return Err(Refusal::Invalid(format!(
                    "`messages[{i}].role` is `{other}`: use `system`, `user`, `assistant` or `tool`"
                )));
            }
        };
        Ok(Message {
            role,
            content: self.content.unwrap_or_default(),
            reasoning: self.thinking.filter(|text| !text.is_empty()),
            images: images::data_urls(&format!("messages[{i}].images"), self.images.unwrap_or_default())?,
            tool_calls: tools::calls(i, self.tool_calls.unwrap_or_default())?,
            tool_call_id: self.tool_call_id.filter(|id| !id.is_empty()),
            name: self.tool_name.or(self.name).filter(|name| !name.is_empty()),
        })
    }
}
