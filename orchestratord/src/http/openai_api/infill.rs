//! `POST /infill`: the text of a gap, in the form of `llama-server`, which editors speak (llama.vim, llama.vscode).
//!
//! An editor asks at each keystroke and closes the connection of the request before, which cancels it.
//!
//! Rules: ORCH-OAI-26

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use generation::{Infill, InfillFile, Input, Tools};
use orchestrator_core::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::collect::CollectedOutput;
use super::error::Envelope;
use super::fields::TextOr;
use super::generation_params::{GenerationParams, ResponseOptions};
use super::generation_tasks::Generation;
use super::not_admitted;
use super::output::SegmentMetadata;
use super::reasoning_params::ReasoningPlace;
use super::stream::{self, OpenStream, StreamEncoder};
use crate::backpressure::Refusal;
use crate::clock::Clock;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body};
use crate::task_log::{FinishReason, TaskEnd};

/// The body. Fields of type [`IgnoredAny`](serde::de::IgnoredAny) are taken and have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InfillRequest {
    input_prefix: String,
    input_suffix: String,
    input_extra: Option<Vec<OtherFile>>,
    /// What is typed in the gap already.
    prompt: Option<String>,
    model: Option<String>,
    stream: Option<bool>,
    n_predict: Option<i64>,
    response_fields: Option<Vec<String>>,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    typical_p: Option<f32>,
    repeat_penalty: Option<f32>,
    repeat_last_n: Option<u32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<TextOr<String>>,
    session_id: Option<String>,
    keep_alive: Option<Value>,
    /// The order of samplers is the engine's own.
    #[serde(default, rename = "samplers")]
    _samplers: serde::de::IgnoredAny,
    /// The cache is always used, and the slot is chosen by what it holds.
    #[serde(default, rename = "cache_prompt")]
    _cache_prompt: serde::de::IgnoredAny,
    #[serde(default, rename = "id_slot")]
    _id_slot: serde::de::IgnoredAny,
    #[serde(default, rename = "n_indent")]
    _n_indent: serde::de::IgnoredAny,
    /// Whoever waits no longer closes the connection.
    #[serde(default, rename = "t_max_prompt_ms")]
    _t_max_prompt_ms: serde::de::IgnoredAny,
    #[serde(default, rename = "t_max_predict_ms")]
    _t_max_predict_ms: serde::de::IgnoredAny,
}

/// A file that is shown beside the gap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherFile {
    #[serde(default)]
    filename: String,
    text: String,
    /// When the editor last had it open.
    #[serde(default, rename = "time")]
    _time: serde::de::IgnoredAny,
}

impl InfillRequest {
    fn take_infill(&mut self) -> Infill {
        let file = |OtherFile { filename, text, .. }| InfillFile { name: filename, text };
        Infill {
            prefix: std::mem::take(&mut self.input_prefix),
            typed: self.prompt.take().unwrap_or_default(),
            suffix: std::mem::take(&mut self.input_suffix),
            files: self.input_extra.take().unwrap_or_default().into_iter().map(file).collect(),
        }
    }

    fn into_params(self) -> GenerationParams {
        GenerationParams {
            model: self.model,
            stream: self.stream,
            // A negative number is no limit. None at all warms the cache, for which one token is needed.
            max_tokens: self.n_predict.and_then(|most| u32::try_from(most).ok()).map(|most| most.max(1)),
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repeat_penalty: self.repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            stop: self.stop,
            session_id: self.session_id,
            keep_alive: self.keep_alive,
            ..GenerationParams::default()
        }
    }
}

/// Fills a gap.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let (clock, begun) = (api.clock, api.clock.now());
    let work = {
        let api = Arc::clone(&api);
        move |mut request: InfillRequest| {
            let infill = request.take_infill();
            let fields = request.response_fields.take();
            let only_warms = request.n_predict == Some(0);
            let plan = request.into_params().plan_on_any_model(&headers)?;
            let tasks = plan.tasks(Input::Infill(infill), Tools::default(), false);
            let tasks = tasks.map_err(|refusal| not_admitted(&api, refusal))?;
            let meta = ResponseMeta { options: plan.options, fields, only_warms, clock, begun };
            Ok::<_, Refused>((meta, tasks))
        }
    };
    let (meta, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let permit = meta.options.stream.then(|| OpenStream::take(&api)).transpose()?;
    let generation = Generation::start(&api, tasks, ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    if let Some(permit) = permit {
        return Ok(stream::stream(generation, Chunks { meta, text: String::new() }, permit));
    }
    let output = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let mut response = Json(meta.whole(&output)).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}

/// What an answer needs of its request.
struct ResponseMeta {
    options: ResponseOptions,
    /// The fields that the client wants, each a path; all where it says nothing.
    fields: Option<Vec<String>>,
    /// Whether the prompt is only to be read.
    only_warms: bool,
    clock: Clock,
    /// When the request came.
    begun: Timestamp,
}

/// An answer in the words of `llama-server`.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are those of `llama-server`")]
struct Completion<'a> {
    index: u32,
    content: &'a str,
    stop: bool,
    model: &'a str,
    tokens_predicted: u32,
    tokens_evaluated: u32,
    tokens_cached: u32,
    truncated: bool,
    stop_type: &'static str,
    stopping_word: &'a str,
    has_new_line: bool,
    timings: Timings,
}

/// Where the time went.
#[derive(Serialize)]
struct Timings {
    cache_n: u32,
    prompt_n: u32,
    prompt_ms: f64,
    prompt_per_token_ms: f64,
    prompt_per_second: f64,
    predicted_n: u32,
    predicted_ms: f64,
    predicted_per_token_ms: f64,
    predicted_per_second: f64,
}

impl Timings {
    /// Of a task that ends `total` after its request.
    fn of(end: &TaskEnd, total: Duration) -> Self {
        let (prompt_n, predicted_n) = (end.tokens_in.0.saturating_sub(end.tokens_cached.0), end.tokens_out.0);
        let (prompt_ms, predicted_ms) =
            (ms(Millis::from_duration(end.prompt_time(total))), ms(end.decode_ms));
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        Self {
            cache_n: end.tokens_cached.0,
            prompt_n,
            prompt_ms,
            prompt_per_token_ms: ratio(prompt_ms, prompt_n.into()),
            prompt_per_second: ratio(1e3 * f64::from(prompt_n), prompt_ms),
            predicted_n,
            predicted_ms,
            predicted_per_token_ms: ratio(predicted_ms, predicted_n.into()),
            predicted_per_second: ratio(1e3 * f64::from(predicted_n), predicted_ms),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of one task are far below 2^53")]
fn ms(Millis(ms): Millis) -> f64 {
    ms as f64
}

impl ResponseMeta {
    /// The last answer; `all` is the whole text, and `content` what of it is told here.
    fn last(&self, all: &str, content: &str, end: &TaskEnd) -> Value {
        let (stop_type, stopping_word) = match (end.finish, &end.stop_text) {
            (FinishReason::Stop, Some(word)) => ("word", word.as_str()),
            (FinishReason::Stop, None) => ("eos", ""),
            (FinishReason::Length, _) => ("limit", ""),
            (FinishReason::Canceled | FinishReason::Error, _) => ("none", ""),
        };
        let completion = Completion {
            index: 0,
            content,
            stop: true,
            model: &self.options.model,
            tokens_predicted: end.tokens_out.0,
            tokens_evaluated: end.tokens_in.0,
            tokens_cached: end.tokens_cached.0,
            truncated: false,
            stop_type,
            stopping_word,
            has_new_line: all.contains('\n'),
            timings: Timings::of(end, self.clock.now().since(self.begun)),
        };
        let completion = serde_json::to_value(completion).expect("an answer is plain data");
        match &self.fields {
            Some(fields) => only(&completion, fields),
            None => completion,
        }
    }

    fn whole(&self, output: &CollectedOutput) -> Value {
        let text = if self.only_warms { "" } else { output.transcript.text.as_str() };
        self.last(text, text, &output.end)
    }
}

/// The fields of `whole` that are asked for, each by its path (`timings/prompt_n`), which is its name in the answer.
fn only(whole: &Value, fields: &[String]) -> Value {
    let value = |path: &String| Some((path.clone(), whole.pointer(&format!("/{path}"))?.clone()));
    Value::Object(fields.iter().filter_map(value).collect::<Map<_, _>>())
}

/// The answer in chunks.
struct Chunks {
    meta: ResponseMeta,
    /// All of it so far.
    text: String,
}

impl StreamEncoder for Chunks {
    fn text(&mut self, out: &mut BytesMut, _choice: usize, text: &str, _metadata: SegmentMetadata) {
        if self.meta.only_warms {
            return;
        }
        self.text.push_str(text);
        stream::data(out, &json!({ "index": 0, "content": text, "stop": false }));
    }

    fn end(&mut self, out: &mut BytesMut, _choice: usize, end: &TaskEnd) {
        stream::data(out, &self.meta.last(&self.text, "", end));
    }

    fn failure(&mut self, out: &mut BytesMut, refused: &Refused) {
        stream::data(out, &Envelope::of(refused));
    }

    fn done(&mut self, _out: &mut BytesMut) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OAI-26
    #[test]
    fn an_answer_has_the_fields_that_are_asked_for_by_their_paths() {
        let whole = json!({ "content": "x", "timings": { "prompt_n": 3, "prompt_ms": 1.5 }, "stop": true });
        let fields = ["content", "timings/prompt_n", "no/such"].map(str::to_owned);
        assert_eq!(only(&whole, &fields), json!({ "content": "x", "timings/prompt_n": 3 }));
        assert_eq!(only(&whole, &[String::new()]), json!({}));
    }
}
