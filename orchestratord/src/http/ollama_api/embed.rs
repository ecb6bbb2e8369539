//! `POST /api/embed`: a vector for each text; and `/api/embeddings`, which came before it, with one text.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-5

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use generation::Workload;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::names;
use super::options::Options;
use super::response::{Form, ResponseMeta};
use super::run;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::generate::ReasoningPlace;
use crate::http::generate::collect::CollectedOutput;
use crate::http::generate::fields::TextOr;
use crate::http::generate::generation_tasks::{self, Generation};
use crate::http::task_request::check;
use crate::http::{Api, body, heavy, keep_alive};

/// The body of `/api/embed`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedRequest {
    model: String,
    input: Option<TextOr<String>>,
    dimensions: Option<u32>,
    keep_alive: Option<Value>,
    /// Nothing is cut in silence here, whatever a request says.
    #[serde(default, rename = "truncate")]
    _truncate: IgnoredAny,
    /// No token is chosen.
    #[serde(default, rename = "options")]
    _options: Option<Options>,
}

/// The body of `/api/embeddings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbeddingsRequest {
    model: String,
    prompt: Option<String>,
    keep_alive: Option<Value>,
    #[serde(default, rename = "options")]
    _options: Option<Options>,
}

#[derive(Serialize)]
struct Embeddings {
    model: String,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u32,
}

/// What is to be embedded, and how.
struct EmbedPlan {
    task: TaskRequest,
    meta: ResponseMeta,
    /// Whether there is something; else the model is only loaded.
    has_input: bool,
    dimensions: Option<usize>,
}

/// Embeds texts.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let (output, plan, about) = embedded(api, request, |request: EmbedRequest| request).await?;
    let EmbedPlan { meta, has_input, dimensions, .. } = plan;
    let work = move || {
        let (total_duration, load_duration, prompt_eval_count) = meta.figures(&output.end).of_input();
        let vectors = if has_input { output.transcript.vectors } else { Vec::new() };
        let embeddings = vectors.into_iter().map(|vector| cut(vector, dimensions)).collect();
        let model = meta.model;
        Json(Embeddings { model, embeddings, total_duration, load_duration, prompt_eval_count })
            .into_response()
    };
    respond(work, about).await
}

/// Embeds one text, in the older form.
pub(super) async fn create_one(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let (output, plan, about) = embedded(api, request, EmbeddingsRequest::into_new).await?;
    let work = move || {
        let vector = output.transcript.vectors.into_iter().next().filter(|_| plan.has_input);
        Json(json!({ "embedding": vector.unwrap_or_default() })).into_response()
    };
    respond(work, about).await
}

async fn respond(
    work: impl FnOnce() -> Response + Send + 'static,
    about: About,
) -> Result<Response, Refused> {
    // Vectors are large where they are many.
    let mut response = heavy::run(heavy::AT_ONCE_BYTES, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}

async fn embedded<R: serde::de::DeserializeOwned + Send + 'static>(
    api: Arc<Api>,
    request: Request,
    into_new: impl FnOnce(R) -> EmbedRequest + Send + 'static,
) -> Result<(CollectedOutput, EmbedPlan, About), Refused> {
    let (clock, begun) = (api.clock, api.clock.now());
    let view = api.pools().await?;
    let work = {
        let api = Arc::clone(&api);
        move |request: R| {
            let EmbedRequest { model, input, dimensions, keep_alive, .. } = into_new(request);
            let named = names::find(&view, &model)?;
            let inputs = input.map(TextOr::into_texts).unwrap_or_default();
            let inputs = Some(inputs).filter(|inputs| inputs.iter().any(|text| !text.is_empty()));
            let dimensions = check::within("dimensions", dimensions, 1..=u32::MAX)?;
            let has_input = inputs.is_some();
            let task = match inputs {
                Some(inputs) => generation_tasks::of_inputs(
                    Workload::Embedding,
                    named.model_ref.clone(),
                    named.lane,
                    inputs,
                ),
                None => run::least_task(&named),
            };
            let keep_alive = keep_alive::read(keep_alive.as_ref())?;
            let task = Generation::task_of_inputs(&api, TaskRequest { keep_alive, ..task }, None)?;
            let meta = ResponseMeta { model, form: Form::Text, clock, begun };
            let dimensions = dimensions.map(|size| size as usize);
            Ok::<_, Refused>(EmbedPlan { task, meta, has_input, dimensions })
        }
    };
    let plan = body::read_as(request, api.settings().body_bytes, work).await?;
    let generation = Generation::start(&api, vec![plan.task.clone()], ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    let output = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    Ok((output, plan, about))
}

impl EmbeddingsRequest {
    fn into_new(self) -> EmbedRequest {
        let Self { model, prompt, keep_alive, _options } = self;
        let input = prompt.map(TextOr::Text);
        EmbedRequest { model, input, dimensions: None, keep_alive, _truncate: IgnoredAny, _options }
    }
}

/// The first numbers of a vector, made one of length 1 again.
fn cut(mut vector: Vec<f32>, dimensions: Option<usize>) -> Vec<f32> {
    if let Some(size) = dimensions.filter(|size| *size < vector.len()) {
        vector.truncate(size);
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|number| *number /= length);
        }
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OLLAMA-5
    #[test]
    fn a_vector_that_is_cut_has_the_length_one() {
        assert_eq!(cut(vec![3.0, 4.0, 12.0], Some(2)), [0.6, 0.8]);
        assert_eq!(cut(vec![3.0, 4.0], Some(2)), [3.0, 4.0], "a whole one stays");
        assert_eq!(cut(vec![0.0, 0.0, 1.0], Some(2)), [0.0, 0.0]);
    }
}
