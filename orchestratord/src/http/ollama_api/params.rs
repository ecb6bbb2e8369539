//! What a chat and a prompt have in common beside their text.
//!
//! Rules: ORCH-OLLAMA-5

use std::sync::Arc;

use generation::{GenerateRequest, Input, MaxTokensMode, ReasoningOptions, Sampling, Tools};
use http::HeaderMap;
use orchestrator_core::{SessionId, TaskId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::names::Named;
use super::options::Options;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::answer::shown;
use crate::http::generate::{logprobs, routing};
use crate::http::task_request::sampling::constraint;
use crate::http::{keep_alive, task_request};

/// The shared fields, as a request brings them.
#[derive(Debug, Default)]
pub(super) struct Params {
    pub(super) options: Option<Options>,
    pub(super) format: Option<Value>,
    pub(super) think: Option<Value>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<u32>,
    pub(super) keep_alive: Option<Value>,
}

/// What is read, what may be called, and whether the answer continues the last message.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) input: Input,
    pub(super) tools: Vec<generation::Tool>,
    pub(super) continues: bool,
}

impl Params {
    /// The task that answers `content` on the pool that is named.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn into_task(
        self,
        content: Content,
        named: &Named<'_>,
        headers: &HeaderMap,
    ) -> Result<TaskRequest, Refusal> {
        let chosen = self.options.unwrap_or_default().resolve();
        let tools = Tools { offered: content.tools, ..Tools::default() };
        let wanted = self.logprobs == Some(true);
        let task = TaskId(Uuid::new_v4());
        let generate = GenerateRequest {
            session: routing::session_of_headers(headers)?.map(SessionId),
            priority: named.lane.priority(),
            max_tokens: chosen.max_tokens,
            max_tokens_mode: MaxTokensMode::Ceiling,
            sampling: Sampling {
                params: chosen.params,
                stop: chosen.stop,
                logit_bias: Vec::new(),
                text_bias: Vec::new(),
                constraint: constraint(("format", "format"), None, schema(self.format)?)?,
            },
            seed: chosen.seed.unwrap_or_else(|| task_request::seed_of(task)),
            reasoning: reasoning(self.think)?,
            continue_final_message: content.continues,
            tools: Arc::new(tools),
            logprobs: logprobs::asked(wanted, self.top_logprobs, "`logprobs` `true`")?,
            ..GenerateRequest::new(task, content.input)
        };
        let keep_alive = keep_alive::read(self.keep_alive.as_ref())?;
        let model_ref = Some(named.model_ref.clone());
        task_request::check(TaskRequest { model_ref, keep_alive, ..TaskRequest::new(generate) })
    }
}

/// The schema that `format` asks for: of any object, or the one that it is.
fn schema(format: Option<Value>) -> Result<Option<Map<String, Value>>, Refusal> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "json" => {
            Ok(Some(Map::from_iter([("type".to_owned(), Value::from("object"))])))
        }
        Some(Value::Object(schema)) => Ok(Some(schema)),
        Some(other) => {
            let other = other.to_string();
            let other = shown(other.as_bytes());
            Err(Refusal::Invalid(format!("`format` is {other}: use `json` or a JSON schema, as an object")))
        }
    }
}

/// How the model reasons: on, off, or a word for how much.
fn reasoning(think: Option<Value>) -> Result<ReasoningOptions, Refusal> {
    let invalid = |other: &Value| {
        let other = other.to_string();
        let other = shown(other.as_bytes());
        Refusal::Invalid(format!("`think` is {other}: use `true`, `false`, `low`, `medium` or `high`"))
    };
    match think {
        None | Some(Value::Null) => Ok(ReasoningOptions::default()),
        Some(Value::Bool(enabled)) => {
            Ok(ReasoningOptions { enabled: Some(enabled), ..ReasoningOptions::default() })
        }
        // Some clients send the word for a value that they have as text.
        Some(Value::String(text)) if text.is_empty() => Ok(ReasoningOptions::default()),
        Some(Value::String(text)) => {
            ReasoningOptions::of_effort(&text).ok_or_else(|| invalid(&Value::String(text)))
        }
        Some(other) => Err(invalid(&other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// ORCH-OLLAMA-5
    #[test]
    fn a_format_is_json_or_a_schema() {
        assert_eq!(schema(None), Ok(None));
        assert_eq!(schema(Some(json!(""))), Ok(None));
        let any = schema(Some(json!("json"))).map(|schema| schema.map(Value::Object));
        assert_eq!(any, Ok(Some(json!({"type": "object"}))));
        let own = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let found = schema(Some(own.clone())).map(|schema| schema.map(Value::Object));
        assert_eq!(found, Ok(Some(own)));
        let refused = schema(Some(json!("yaml"))).expect_err("rejected").to_string();
        assert!(refused.contains("`format` is \"yaml\"") && refused.contains("`json`"), "{refused}");
    }

    /// ORCH-OLLAMA-5
    #[test]
    fn thinking_is_on_off_or_a_word_for_how_much() {
        let think = |value: Value| reasoning(Some(value));
        let options = |enabled, effort: Option<&str>| ReasoningOptions {
            enabled,
            effort: effort.map(str::to_owned),
            budget: None,
        };
        assert_eq!(reasoning(None), Ok(options(None, None)));
        assert_eq!(think(json!(true)), Ok(options(Some(true), None)));
        assert_eq!(think(json!(false)), Ok(options(Some(false), None)));
        assert_eq!(think(json!("high")), Ok(options(Some(true), Some("high"))));
        for bad in [json!("huge"), json!(3)] {
            let refused = think(bad).expect_err("rejected").to_string();
            assert!(refused.contains("`think` is") && refused.contains("`medium`"), "{refused}");
        }
    }
}
