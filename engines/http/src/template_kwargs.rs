//! Arguments of an engine's chat template that hold for every chat which does not say otherwise: each of them is sent
//! where neither the chat's own arguments nor what it says of its reasoning takes its place.
//!
//! Rules: ORCH-ENG-33

use std::collections::BTreeMap;
use std::sync::Arc;

use generation::{ExtraBody, GenerateRequest, Input};
use serde_json::value::{RawValue, to_raw_value};

/// The field of a chat that has them.
const FIELD: &str = "chat_template_kwargs";

/// The argument that switches reasoning on and off.
const THINKING: &str = "enable_thinking";

/// The argument that says how much a model reasons.
const EFFORT: &str = "reasoning_effort";

/// Arguments by name, as they were written.
type Kwargs = BTreeMap<String, Box<RawValue>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TemplateKwargs(Kwargs);

impl TemplateKwargs {
    /// Those of the text of a JSON object; none without one.
    pub(crate) fn of(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::default()) };
        serde_json::from_str(text).map(Self).map_err(|error| format!("are no JSON object: {error}"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The job with them, where it is a chat.
    pub(crate) fn given_to(&self, mut job: Arc<GenerateRequest>) -> Arc<GenerateRequest> {
        if self.is_empty() || !matches!(*job.input, Input::Messages(_)) {
            return job;
        }
        let own = job.extra_body.as_ref();
        let fields = own.map_or(Ok(Kwargs::new()), |own| serde_json::from_str(&own.fields));
        // What is no object is the adapter's to refuse.
        let Ok(mut fields) = fields else { return job };
        let own: Kwargs =
            fields.get(FIELD).and_then(|own| serde_json::from_str(own.get()).ok()).unwrap_or_default();
        let mut all = self.0.clone();
        if job.reasoning.effort.is_some() {
            all.remove(EFFORT);
        }
        if let Some(enabled) = job.reasoning.enabled {
            all.insert(THINKING.to_owned(), raw(&enabled));
        }
        all.extend(own);
        fields.insert(FIELD.to_owned(), raw(&all));
        let fields = raw(&fields).get().to_owned();
        let job_with = Arc::make_mut(&mut job);
        let extra = job_with.extra_body.take();
        let with = extra.unwrap_or_else(|| ExtraBody {
            fields: String::new(),
            template: None,
            refusal: String::new(),
        });
        job_with.extra_body = Some(ExtraBody { fields, ..with });
        job
    }
}

fn raw<T: serde::Serialize>(value: &T) -> Box<RawValue> {
    to_raw_value(value).expect("JSON values are JSON")
}

#[cfg(test)]
mod tests {
    use generation::{Message, ReasoningOptions, Role};
    use orchestrator_core::TaskId;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn sent(own: Option<&str>, reasoning: ReasoningOptions) -> Value {
        let kwargs =
            TemplateKwargs::of(Some(r#"{"enable_thinking":false,"mood":"calm","reasoning_effort":"low"}"#));
        let input = Input::Messages(vec![Message::new(Role::User, "Hi")]);
        let own =
            own.map(|fields| ExtraBody { fields: fields.to_owned(), template: None, refusal: String::new() });
        let job = GenerateRequest {
            extra_body: own,
            reasoning,
            ..GenerateRequest::new(TaskId(Uuid::nil()), input)
        };
        let job = kwargs.expect("an object").given_to(Arc::new(job));
        serde_json::from_str(&job.extra_body.as_ref().expect("some").fields).expect("JSON")
    }

    /// ORCH-ENG-33
    #[test]
    fn each_holds_unless_the_chat_says_otherwise() {
        let silent = ReasoningOptions::default();
        assert_eq!(
            sent(None, silent.clone()),
            json!({ FIELD: { "enable_thinking": false, "mood": "calm", "reasoning_effort": "low" } })
        );
        assert_eq!(
            sent(Some(r#"{"chat_template_kwargs":{"mood":"grim"},"top_a":1.50}"#), silent),
            json!({ FIELD: { "enable_thinking": false, "mood": "grim", "reasoning_effort": "low" }, "top_a": 1.50 })
        );
        let asked = ReasoningOptions { enabled: Some(true), effort: Some("high".to_owned()), budget: None };
        assert_eq!(sent(None, asked.clone()), json!({ FIELD: { "enable_thinking": true, "mood": "calm" } }));
        assert_eq!(
            sent(Some(r#"{"chat_template_kwargs":{"enable_thinking":false}}"#), asked),
            json!({ FIELD: { "enable_thinking": false, "mood": "calm" } })
        );
    }

    /// ORCH-ENG-33
    #[test]
    fn what_is_no_chat_and_an_engine_without_them_are_left_alone() {
        let prompt = || Arc::new(GenerateRequest::new(TaskId(Uuid::nil()), Input::Prompt("Hi".to_owned())));
        let kwargs = TemplateKwargs::of(Some(r#"{"mood":"calm"}"#)).expect("an object");
        assert_eq!(kwargs.given_to(prompt()), prompt());
        let chat = Input::Messages(vec![Message::new(Role::User, "Hi")]);
        let chat = Arc::new(GenerateRequest::new(TaskId(Uuid::nil()), chat));
        assert_eq!(TemplateKwargs::default().given_to(Arc::clone(&chat)), chat);
    }
}
