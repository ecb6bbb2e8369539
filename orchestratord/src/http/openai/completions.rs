//! `POST /v1/completions`: text that goes on from a prompt, without a chat template.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use generation::{Input, OwnAnswer, TokenLogprob, Tools};
use serde::Serialize;
use serde_json::{Map, Value};

use super::chat::finish_reason;
use super::fields::{LEAVE_IT_OUT, Nothing, TextOr, Unserved, refuse_unserved};
use super::logprobs::{self, CompletionLogprobs};
use super::refusal::{Envelope, not_admitted};
use super::relay::{self, Framed, Place, Speaker};
use super::running::{More, Running, Whole};
use super::shared::{Shared, Style, request};
use super::unix_now;
use super::usage::Usage;
use crate::backpressure::Refusal;
use crate::http::access::About;
use crate::http::answer::{Refused, shown};
use crate::http::task_request::check;
use crate::http::{Api, body, heavy};
use crate::task_log::TaskEnd;

/// The most prompts of one request.
const PROMPTS: std::ops::RangeInclusive<usize> = 1..=16;

request! {
    /// The body.
    struct CompletionRequest, COMPLETION_FIELDS {
        prompt: TextOr<Value>,
        best_of: Option<Value>,
        echo: Option<Value>,
        logprobs: Option<u32>,
        suffix: Option<Value>,
    }
}

impl CompletionRequest {
    /// How it is to be answered, which is taken out of it.
    fn take_style(&mut self) -> Result<Shared, Refusal> {
        let logprobs = logprobs::alternatives("logprobs", self.logprobs)?;
        Ok(Shared { logprobs, ..self.take_shared() })
    }

    /// Checks what is its own, and gives the prompts.
    fn check(&mut self) -> Result<Vec<String>, Refusal> {
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        refuse_unserved(&[
            unserved("best_of", &self.best_of, &[Nothing::One]),
            unserved("echo", &self.echo, &[Nothing::False]),
            unserved("suffix", &self.suffix, &[Nothing::Empty]),
        ])?;
        match std::mem::replace(&mut self.prompt, TextOr::Many(Vec::new())) {
            TextOr::Text(prompt) => Ok(vec![prompt]),
            TextOr::Many(prompts) => {
                check::count("prompt", prompts.len(), PROMPTS)?;
                prompts.into_iter().enumerate().map(|(i, prompt)| text_of("prompt", i, prompt)).collect()
            }
        }
    }
}

/// An entry of an array of texts, which OpenAI lets be tokens too.
pub(super) fn text_of(field: &str, i: usize, entry: Value) -> Result<String, Refusal> {
    match entry {
        Value::String(text) => Ok(text),
        other => {
            let other = other.to_string();
            let other = shown(other.as_bytes());
            Err(Refusal::Invalid(format!("`{field}[{i}]` is {other}: send text, not tokens")))
        }
    }
}

/// Goes on from one or several prompts.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |mut request: CompletionRequest| {
            let prompts = request.check()?;
            let count = prompts.len();
            let plan = request.take_style()?.plan(&headers)?;
            let mut tasks = Vec::new();
            for prompt in prompts {
                let input = Input::Prompt(prompt);
                let of_prompt = plan.tasks(&api.settings().sampler_profiles, input, Tools::default());
                tasks.extend(of_prompt.map_err(|refusal| not_admitted(&api, refusal))?);
            }
            Ok::<_, Refused>((plan, count, tasks))
        }
    };
    let (plan, prompts, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let place = plan.style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks).await?;
    let about = About(running.first());
    let telling = Telling {
        id: format!("cmpl-{}", running.first()),
        created: unix_now(),
        style: plan.style,
        choices: plan.choices as usize,
    };
    if let Some(place) = place {
        let usages = vec![Usage::default(); prompts];
        let offsets = vec![0; running.len()];
        let frames = (0..running.len()).map(|_| Framed::default()).collect();
        return Ok(relay::stream(running, Chunks { telling, usages, offsets, frames }, place));
    }
    let wholes = running.gather().await?;
    let bytes = wholes.iter().map(Whole::bytes).sum();
    let work = move || Json(telling.whole(&wholes)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}

/// What all chunks of an answer, and a whole one, say alike.
struct Telling {
    id: String,
    created: u64,
    style: Style,
    /// Answers to each prompt.
    choices: usize,
}

#[derive(Serialize)]
struct Completion<'t> {
    id: &'t str,
    object: &'static str,
    created: u64,
    model: &'t str,
    choices: Vec<Choice<'t>>,
    /// In chunks there where the client asked for it: nothing until the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    /// The engine's own.
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Serialize)]
struct Choice<'t> {
    text: std::borrow::Cow<'t, str>,
    index: usize,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(flatten)]
    own: Option<&'t Map<String, Value>>,
}

impl Telling {
    fn completion<'t>(
        &'t self,
        choices: Vec<Choice<'t>>,
        usage: Option<Option<Usage>>,
        own: Map<String, Value>,
    ) -> Completion<'t> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.style.model,
            choices,
            usage,
            own,
        }
    }

    fn logprobs(&self, of: &[TokenLogprob], offset: &mut usize) -> Option<CompletionLogprobs> {
        self.style.logprobs.map(|most| CompletionLogprobs::new(of, most, offset))
    }

    fn whole<'t>(&'t self, wholes: &'t [Whole]) -> Completion<'t> {
        let choice = |(index, whole): (usize, &'t Whole)| Choice {
            text: whole.text().into(),
            index,
            logprobs: self.logprobs(&whole.logprobs, &mut 0),
            finish_reason: Some(finish_reason(&whole.end)),
            own: Some(&whole.own.choice),
        };
        let mut usage = Usage::default();
        for of_one_prompt in wholes.chunks(self.choices) {
            usage.add(Usage::of_one_prompt(of_one_prompt.iter().map(|whole| &whole.end)));
        }
        let own = wholes.iter().flat_map(|whole| whole.own.chunk.clone()).collect();
        self.completion(wholes.iter().enumerate().map(choice).collect(), Some(Some(usage)), own)
    }

    /// A chunk with a part of one of the answers.
    fn chunk(&self, out: &mut BytesMut, choice: Choice<'_>, own: Option<&OwnAnswer>) {
        let choice = Choice { own: own.map(|own| &own.choice), ..choice };
        let chunk_own = own.map(|own| own.chunk.clone()).unwrap_or_default();
        let usage = self.style.include_usage.then_some(None);
        relay::data(out, &self.completion(vec![choice], usage, chunk_own));
    }
}

/// The answer in chunks.
struct Chunks {
    telling: Telling,
    /// Of each prompt.
    usages: Vec<Usage>,
    /// Characters told of each answer, where it is asked how probable its tokens were.
    offsets: Vec<usize>,
    /// Of each answer's tokens.
    frames: Vec<Framed>,
}

impl Speaker for Chunks {
    fn text(&mut self, out: &mut BytesMut, index: usize, text: &str, more: More) {
        let Self { telling, offsets, frames, .. } = self;
        let choice = |text: &str, logprobs| Choice {
            text: text.to_owned().into(),
            index,
            logprobs,
            finish_reason: None,
            own: None,
        };
        match more.logprobs {
            Some(logprobs) => {
                let logprobs = telling.logprobs(&logprobs, &mut offsets[index]);
                telling.chunk(out, choice(text, logprobs), more.own.as_deref());
            }
            None => frames[index]
                .put(out, text, more.own, |out, text, own| telling.chunk(out, choice(text, None), own)),
        }
    }

    fn end(&mut self, out: &mut BytesMut, index: usize, end: &TaskEnd) {
        self.usages[index / self.telling.choices].add_choice(end);
        let finish_reason = Some(finish_reason(end));
        let choice = Choice { text: "".into(), index, logprobs: None, finish_reason, own: None };
        self.telling.chunk(out, choice, end.own.as_deref());
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        relay::data(out, &Envelope::of(refused));
        relay::done(out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.telling.style.include_usage {
            let mut usage = Usage::default();
            self.usages.iter().for_each(|of_prompt| usage.add(*of_prompt));
            relay::data(out, &self.telling.completion(Vec::new(), Some(Some(usage)), Map::new()));
        }
        relay::done(out);
    }
}
