//! `POST /api/generate`: an answer to a prompt. Through the model's chat template, unless `raw` says otherwise or the
//! model has none; what is missing before `suffix`, where there is one.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-5

use generation::{Infill, Input, Message, Role};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::images;
use super::options::Options;
use super::params::{Content, Params};
use super::response::Form;
use super::run::TextRequest;
use crate::backpressure::Refusal;
use crate::health_view::PoolView;
use crate::http::generate::fields::{Nothing, Unserved, refuse_unserved};

/// The body. Fields of type [`IgnoredAny`] are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GenerateRequest {
    model: String,
    prompt: Option<String>,
    suffix: Option<String>,
    system: Option<String>,
    images: Option<Vec<String>>,
    raw: Option<bool>,
    template: Option<Value>,
    context: Option<Value>,
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
    /// Of models that make images, which are not served here.
    #[serde(default, rename = "width")]
    _width: IgnoredAny,
    #[serde(default, rename = "height")]
    _height: IgnoredAny,
    #[serde(default, rename = "steps")]
    _steps: IgnoredAny,
}

impl TextRequest for GenerateRequest {
    const FORM: Form = Form::Text;

    fn take_model(&mut self) -> String {
        std::mem::take(&mut self.model)
    }

    fn streams(&self) -> bool {
        self.stream != Some(false)
    }

    /// The prompt.
    fn take_content(&mut self, pool: &PoolView) -> Result<Option<Content>, Refusal> {
        self.refuse_unserved()?;
        let prompt = self.prompt.take().unwrap_or_default();
        let images = images::data_urls("images", self.images.take().unwrap_or_default())?;
        if prompt.is_empty() && images.is_empty() {
            return Ok(None);
        }
        if let Some(suffix) = self.suffix.take().filter(|suffix| !suffix.is_empty()) {
            let input = Input::Infill(Infill { prefix: prompt, suffix, ..Infill::default() });
            return Ok(Some(Content { input, tools: Vec::new(), continues: false }));
        }
        let system = self.system.take().filter(|text| !text.is_empty());
        let has_template = pool.facts.as_ref().is_none_or(|facts| facts.model.chat_template);
        let input = if self.raw == Some(true) || (!has_template && images.is_empty()) {
            let with = |system: String| format!("{system}\n\n{prompt}");
            Input::Prompt(system.filter(|_| self.raw != Some(true)).map(with).unwrap_or(prompt))
        } else {
            let system = system.map(|text| Message::new(Role::System, text));
            let turn = Message { images, ..Message::new(Role::User, prompt) };
            Input::Messages(system.into_iter().chain([turn]).collect())
        };
        Ok(Some(Content { input, tools: Vec::new(), continues: false }))
    }

    fn into_params(self) -> Params {
        let Self { options, format, think, logprobs, top_logprobs, keep_alive, .. } = self;
        Params { options, format, think, logprobs, top_logprobs, keep_alive }
    }
}

impl GenerateRequest {
    fn refuse_unserved(&self) -> Result<(), Refusal> {
        let unserved = |field, value, instead| Unserved { field, value, nothing: &[Nothing::Empty], instead };
        refuse_unserved(&[
            unserved("template", &self.template, "the model's own is used; send `raw` with a whole prompt"),
            unserved("context", &self.context, "send the turns so far to `/api/chat`"),
        ])
    }
}
