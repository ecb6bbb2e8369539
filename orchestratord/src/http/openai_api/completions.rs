//! `POST /v1/completions`: text that goes on from a prompt, without a chat template.
//!
//! Rules: ORCH-OAI-2

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use generation::{ExtraFields, Infill, Input, TokenLogprob, Tools};
use serde::Serialize;
use serde_json::{Map, Value};

use super::chat::finish_reason;
use super::collect::CollectedOutput;
use super::error::Envelope;
use super::fields::{LEAVE_IT_OUT, Nothing, TextOr, Unserved, refuse_unserved};
use super::generation_params::{GenerationParams, ResponseOptions, request};
use super::generation_tasks::Generation;
use super::logprobs::{self, CompletionLogprobs};
use super::not_admitted;
use super::output::SegmentMetadata;
use super::reasoning_params::ReasoningPlace;
use super::stream::{self, Framed, OpenStream, StreamEncoder};
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
        suffix: Option<String>,
    }
}

impl CompletionRequest {
    /// How it is to be answered, which is taken out of it.
    fn take_options(&mut self) -> Result<GenerationParams, Refusal> {
        let logprobs = logprobs::alternatives("logprobs", self.logprobs)?;
        Ok(GenerationParams { logprobs, ..self.take_params() })
    }

    /// Checks what is its extra, and gives the prompts.
    fn check(&mut self) -> Result<Vec<String>, Refusal> {
        let unserved = |field, value, nothing| Unserved { field, value, nothing, instead: LEAVE_IT_OUT };
        refuse_unserved(&[
            unserved("best_of", &self.best_of, &[Nothing::One]),
            unserved("echo", &self.echo, &[Nothing::False]),
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
            let suffix = request.suffix.take().filter(|suffix| !suffix.is_empty());
            let count = prompts.len();
            let plan = request.take_options()?.plan(&headers)?;
            let mut tasks = Vec::new();
            for prompt in prompts {
                let input = match &suffix {
                    Some(suffix) => {
                        Input::Infill(Infill { prefix: prompt, suffix: suffix.clone(), ..Infill::default() })
                    }
                    None => Input::Prompt(prompt),
                };
                let of_prompt = plan.tasks(input, Tools::default(), false);
                tasks.extend(of_prompt.map_err(|refusal| not_admitted(&api, refusal))?);
            }
            Ok::<_, Refused>((plan, count, tasks))
        }
    };
    let (plan, prompts, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let permit = plan.options.stream.then(|| OpenStream::take(&api)).transpose()?;
    let generation = Generation::start(&api, tasks, ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    let meta = ResponseMeta {
        id: format!("cmpl-{}", generation.first()),
        created: unix_now(),
        options: plan.options,
        choices: plan.choices as usize,
    };
    if let Some(permit) = permit {
        let usages = vec![Usage::default(); prompts];
        let offsets = vec![0; generation.len()];
        let frames = (0..generation.len()).map(|_| Framed::default()).collect();
        return Ok(stream::stream(generation, Chunks { meta, usages, offsets, frames }, permit));
    }
    let outputs = generation.collect().await?;
    let bytes = outputs.iter().map(CollectedOutput::bytes).sum();
    let work = move || Json(meta.whole(&outputs)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}

/// What all chunks of an answer, and a whole one, say alike.
struct ResponseMeta {
    id: String,
    created: u64,
    options: ResponseOptions,
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
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Choice<'t> {
    text: std::borrow::Cow<'t, str>,
    index: usize,
    logprobs: Option<CompletionLogprobs>,
    finish_reason: Option<&'static str>,
    #[serde(flatten)]
    extra: Option<&'t Map<String, Value>>,
}

impl ResponseMeta {
    fn completion<'t>(
        &'t self,
        choices: Vec<Choice<'t>>,
        usage: Option<Option<Usage>>,
        extra: Map<String, Value>,
    ) -> Completion<'t> {
        Completion {
            id: &self.id,
            object: "text_completion",
            created: self.created,
            model: &self.options.model,
            choices,
            usage,
            extra,
        }
    }

    fn logprobs(&self, of: &[TokenLogprob], offset: &mut usize) -> Option<CompletionLogprobs> {
        self.options.logprobs.map(|most| CompletionLogprobs::new(of, most, offset))
    }

    fn whole<'t>(&'t self, outputs: &'t [CollectedOutput]) -> Completion<'t> {
        let choice = |(index, output): (usize, &'t CollectedOutput)| Choice {
            text: output.transcript.text.as_str().into(),
            index,
            logprobs: self.logprobs(&output.logprobs, &mut 0),
            finish_reason: Some(finish_reason(&output.end)),
            extra: Some(&output.extra.choice),
        };
        let mut usage = Usage::default();
        for of_one_prompt in outputs.chunks(self.choices) {
            usage.add(Usage::of_one_prompt(of_one_prompt.iter().map(|output| &output.end)));
        }
        let extra = outputs.iter().flat_map(|output| output.extra.chunk.clone()).collect();
        self.completion(outputs.iter().enumerate().map(choice).collect(), Some(Some(usage)), extra)
    }

    /// A chunk with a part of one of the answers.
    fn chunk(&self, out: &mut BytesMut, choice: Choice<'_>, extra: Option<&ExtraFields>) {
        let choice = Choice { extra: extra.map(|extra| &extra.choice), ..choice };
        let chunk_extra = extra.map(|extra| extra.chunk.clone()).unwrap_or_default();
        let usage = self.options.include_usage.then_some(None);
        stream::data(out, &self.completion(vec![choice], usage, chunk_extra));
    }
}

/// The answer in chunks.
struct Chunks {
    meta: ResponseMeta,
    /// Of each prompt.
    usages: Vec<Usage>,
    /// Characters told of each answer, where it is asked how probable its tokens were.
    offsets: Vec<usize>,
    /// Of each answer's tokens.
    frames: Vec<Framed>,
}

impl StreamEncoder for Chunks {
    fn text(&mut self, out: &mut BytesMut, index: usize, text: &str, metadata: SegmentMetadata) {
        let Self { meta, offsets, frames, .. } = self;
        let choice = |text: &str, logprobs| Choice {
            text: text.to_owned().into(),
            index,
            logprobs,
            finish_reason: None,
            extra: None,
        };
        match metadata.logprobs {
            Some(logprobs) => {
                let logprobs = meta.logprobs(&logprobs, &mut offsets[index]);
                meta.chunk(out, choice(text, logprobs), metadata.extra.as_deref());
            }
            None => frames[index].put(out, text, metadata.extra, |out, text, extra| {
                meta.chunk(out, choice(text, None), extra)
            }),
        }
    }

    fn end(&mut self, out: &mut BytesMut, index: usize, end: &TaskEnd) {
        self.usages[index / self.meta.choices].add_choice(end);
        let finish_reason = Some(finish_reason(end));
        let choice = Choice { text: "".into(), index, logprobs: None, finish_reason, extra: None };
        self.meta.chunk(out, choice, end.extra.as_deref());
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        stream::data(out, &Envelope::of(refused));
        stream::done(out);
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.meta.options.include_usage {
            let mut usage = Usage::default();
            self.usages.iter().for_each(|of_prompt| usage.add(*of_prompt));
            stream::data(out, &self.meta.completion(Vec::new(), Some(Some(usage)), Map::new()));
        }
        stream::done(out);
    }
}
