//! `POST /v1/embeddings`: a vector for each text.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use generation::{ExtraBody, Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::collect::CollectedOutput;
use super::completions::text_of;
use super::extra_body;
use super::fields::{LEAVE_IT_OUT, TextOr, Unserved};
use super::generation_tasks::{self, Generation};
use super::reasoning_params::ReasoningPlace;
use super::routing::Lane;
use super::usage::OfInput;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body, heavy, keep_alive};

/// The names of the body's fields.
const EMBEDDING_FIELDS: &[&str] =
    &["model", "input", "encoding_format", "dimensions", "service_tier", "keep_alive", "user"];

/// The body.
#[derive(Debug, Deserialize)]
struct EmbeddingRequest {
    model: String,
    input: TextOr<Value>,
    encoding_format: Option<Encoding>,
    dimensions: Option<Value>,
    service_tier: Option<String>,
    keep_alive: Option<Value>,
    /// Who asks has no effect: there is one user.
    #[serde(default, rename = "user")]
    _user: serde::de::IgnoredAny,
    /// What only an engine may know.
    #[serde(flatten)]
    beyond: Map<String, Value>,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// Its numbers as 32-bit floats, little-endian, in base64: what the official libraries ask for.
    Base64,
}

#[derive(Serialize)]
struct Embeddings {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: OfInput,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

/// Embeds texts.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let work = {
        let api = Arc::clone(&api);
        move |mut request: EmbeddingRequest| {
            let encoding = request.encoding_format.unwrap_or_default();
            let model = request.model.clone();
            let extra_body = request.take_extra_body()?;
            Ok::<_, Refused>((
                encoding,
                model,
                Generation::task_of_inputs(&api, request.into_task()?, extra_body)?,
            ))
        }
    };
    let (encoding, model, task) = body::read_as(request, api.settings().body_bytes, work).await?;
    let generation = Generation::start(&api, vec![task], ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    let output = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let mut response = heavy::run(output.bytes(), move || response(output, encoding, model)).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}

/// The response with the vectors of `output`.
fn response(output: CollectedOutput, encoding: Encoding, model: String) -> Response {
    let usage = OfInput::of(&output.end);
    let vector =
        |(index, vector)| Embedding { object: "embedding", index, embedding: encoding.encoded(vector) };
    let data = output.transcript.vectors.into_iter().enumerate().map(vector).collect();
    Json(Embeddings { object: "list", data, model, usage }).into_response()
}

impl EmbeddingRequest {
    /// What only an engine may know: a size of vectors that is not the model's own among it.
    fn take_extra_body(&mut self) -> Result<Option<ExtraBody>, Refusal> {
        let size =
            Unserved { field: "dimensions", value: &self.dimensions, nothing: &[], instead: LEAVE_IT_OUT };
        extra_body::fields(std::mem::take(&mut self.beyond), EMBEDDING_FIELDS, &[size])
    }

    fn into_task(self) -> Result<TaskRequest, Refusal> {
        let (lane, model) = Lane::of(&self.model, self.service_tier.as_deref());
        let inputs = match self.input {
            TextOr::Text(text) => vec![text],
            TextOr::Many(texts) => {
                let text = |(i, text)| text_of("input", i, text);
                texts.into_iter().enumerate().map(text).collect::<Result<_, _>>()?
            }
        };
        let keep_alive = keep_alive::read(self.keep_alive.as_ref())?;
        let task = generation_tasks::of_inputs(Workload::Embedding, model, lane, inputs);
        Ok(TaskRequest { keep_alive, ..task })
    }
}

impl Encoding {
    fn encoded(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Float => Vector::Numbers(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}
