//! What a chat completion asks.
//!
//! Rules: ORCH-OAI-4, ORCH-OAI-22

use api_types::limits::task_request as limits;
use generation::ReasoningOptions;
use serde_json::Value;

use super::message::Message;
use super::tools::{self, NamedTool};
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::image_url::ImageUrls;
use crate::http::openai_api::conversation::{self, Conversation};
use crate::http::openai_api::fields::{LEAVE_IT_OUT, Nothing, TextOrObject, Unserved, refuse_unserved};
use crate::http::openai_api::generation_params::{GenerationParams, request};
use crate::http::openai_api::logprobs;
use crate::http::openai_api::reasoning_params::{self, Reasoning, ReasoningPlace, Thinking};
use crate::http::task_request::check;

request! {
    /// The body. Fields of type `IgnoredAny` are taken and have no effect.
    struct ChatRequest, CHAT_FIELDS {
        messages: Vec<Message>,
        max_completion_tokens: Option<u32>,
        tools: Option<Vec<serde_json::Map<String, Value>>>,
        tool_choice: Option<TextOrObject<NamedTool>>,
        parallel_tool_calls: Option<bool>,
        logprobs: Option<bool>,
        top_logprobs: Option<u32>,
        modalities: Option<Value>,
        audio: Option<Value>,
        functions: Option<Value>,
        function_call: Option<Value>,
        web_search_options: Option<Value>,
        reasoning_effort: Option<String>,
        reasoning: Option<Reasoning>,
        thinking: Option<Thinking>,
        reasoning_format: Option<String>,
        continue_final_message: Option<bool>,
        /// Notes of the caller, for lists of stored answers.
        #[serde(default, rename = "metadata")]
        _metadata: serde::de::IgnoredAny,
        /// A way to be quicker, which changes no answer.
        #[serde(default, rename = "prediction")]
        _prediction: serde::de::IgnoredAny,
        /// Another name of `user`.
        #[serde(default, rename = "safety_identifier")]
        _safety_identifier: serde::de::IgnoredAny,
        /// How long a cache is kept, and of what, is the daemon's own affair.
        #[serde(default, rename = "prompt_cache_retention")]
        _prompt_cache_retention: serde::de::IgnoredAny,
        #[serde(default, rename = "prompt_cache_options")]
        _prompt_cache_options: serde::de::IgnoredAny,
        #[serde(default, rename = "cache_control")]
        _cache_control: serde::de::IgnoredAny,
        /// Nothing is stored, and nobody looks for it here.
        #[serde(default, rename = "store")]
        _store: serde::de::IgnoredAny,
        /// A hint for models that were trained for it.
        #[serde(default, rename = "verbosity")]
        _verbosity: serde::de::IgnoredAny,
        /// Notes of a client for its provider.
        #[serde(default, rename = "client_metadata")]
        _client_metadata: serde::de::IgnoredAny,
        /// Nobody here moderates.
        #[serde(default, rename = "moderation")]
        _moderation: serde::de::IgnoredAny,
    }
}

impl ChatRequest {
    /// Checks what is its own, and gives the conversation.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(in crate::http::openai_api) fn check(
        &mut self,
        image_urls: &ImageUrls,
    ) -> Result<Conversation, Refusal> {
        self.refuse_unserved()?;
        self.max_tokens = match (self.max_tokens, self.max_completion_tokens) {
            (Some(old), Some(new)) if old != new => {
                return Err(Refusal::Invalid(format!(
                    "`max_tokens` is {old} and `max_completion_tokens` is {new}: send one of them"
                )));
            }
            (old, new) => new.or(old),
        };
        check::count("messages", self.messages.len(), limits::MESSAGES_ITEMS)?;
        let messages = std::mem::take(&mut self.messages).into_iter().enumerate();
        let messages: Vec<_> =
            messages.map(|(i, message)| message.resolve(i, image_urls)).collect::<Result<_, _>>()?;
        let offered = tools::offered(self.tools.take().unwrap_or_default())?;
        let choice = tools::choice(self.tool_choice.take())?;
        let (tools, tool_names) = offered.choose(choice, self.parallel_tool_calls == Some(false))?;
        Ok(Conversation {
            continues: conversation::continues(&messages, self.continue_final_message)?,
            messages,
            tools,
            tool_names,
        })
    }

    /// How it is to be answered, which is taken out of it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(in crate::http::openai_api) fn take_options(&mut self) -> Result<GenerationParams, Refusal> {
        let wanted = self.logprobs == Some(true);
        let logprobs = logprobs::asked(wanted, self.top_logprobs, "`logprobs` `true`")?;
        let (reasoning, reasoning_place) = self.take_reasoning()?;
        Ok(GenerationParams { logprobs, reasoning, reasoning_place, ..self.take_params() })
    }

    /// How much the model reasons, and where that goes.
    fn take_reasoning(&mut self) -> Result<(ReasoningOptions, ReasoningPlace), Refusal> {
        let effort = self.reasoning_effort.take();
        let effort =
            effort.map(|effort| reasoning_params::of_effort("reasoning_effort", &effort)).transpose()?;
        let thinking = self.thinking.take().map(Thinking::resolve).transpose()?.unwrap_or_default();
        let (reasoning, mut place) =
            self.reasoning.take().map(Reasoning::resolve).transpose()?.unwrap_or_default();
        match self.reasoning_format.as_deref() {
            None | Some("auto" | "deepseek" | "deepseek-legacy") => {}
            Some("none") => place = ReasoningPlace::InText,
            Some(other) => {
                return Err(Refusal::Invalid(format!(
                    "`reasoning_format` is `{}`: use `auto`, `deepseek`, `deepseek-legacy` or `none`",
                    shown(other.as_bytes())
                )));
            }
        }
        let effort = effort.unwrap_or_default();
        Ok((reasoning_params::joined(effort, reasoning_params::joined(reasoning, thinking)), place))
    }

    fn refuse_unserved(&self) -> Result<(), Refusal> {
        use Nothing::{Empty, OnlyText, Text};
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        refuse_unserved(&[
            unserved("modalities", &self.modalities, &[Empty, OnlyText]),
            unserved("audio", &self.audio, &[]),
            unserved("web_search_options", &self.web_search_options, &[]),
        ])?;
        let instead = "send `tools` and `tool_choice`, which took its place";
        refuse_unserved(&[
            Unserved { field: "functions", value: &self.functions, nothing: &[Empty], instead },
            Unserved {
                field: "function_call",
                value: &self.function_call,
                nothing: &[Text("none")],
                instead,
            },
        ])
    }
}
