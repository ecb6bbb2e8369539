//! `POST /v1/rerank`: documents by how well they answer a query, in the form that Jina and Cohere have.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use generation::Workload;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::extra_body;
use super::fields::TextOrObject;
use super::generation_tasks::{self, Generation};
use super::reasoning_params::ReasoningPlace;
use super::routing::Lane;
use super::usage::OfInput;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::task_request::check;
use crate::http::{Api, body, keep_alive};

/// The most documents: one text less than a task takes.
const DOCUMENTS: std::ops::RangeInclusive<usize> = 1..=2047;

/// The names of the body's fields.
const RERANK_FIELDS: &[&str] =
    &["model", "query", "documents", "top_n", "return_documents", "service_tier", "keep_alive", "user"];

/// The body.
#[derive(Debug, Deserialize)]
struct RerankRequest {
    model: String,
    query: String,
    documents: Vec<TextOrObject<Document>>,
    top_n: Option<usize>,
    return_documents: Option<bool>,
    service_tier: Option<String>,
    keep_alive: Option<Value>,
    /// Who asks has no effect: there is one user.
    #[serde(default, rename = "user")]
    _user: serde::de::IgnoredAny,
    /// What only an engine may know.
    #[serde(flatten)]
    beyond: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    text: String,
}

#[derive(Serialize)]
struct Reranked {
    id: String,
    object: &'static str,
    model: String,
    results: Vec<Ranked>,
    usage: OfInput,
}

#[derive(Serialize)]
struct Ranked {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

/// Ranks documents.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let work = {
        let api = Arc::clone(&api);
        move |mut request: RerankRequest| {
            let model = request.model.clone();
            let most = request.check()?;
            let shown = request.return_documents.unwrap_or_default();
            let extra_body = extra_body::fields(std::mem::take(&mut request.beyond), RERANK_FIELDS, &[])?;
            let (task, documents) = request.into_task()?;
            Ok::<_, Refused>((
                model,
                most,
                shown,
                documents,
                Generation::task_of_inputs(&api, task, extra_body)?,
            ))
        }
    };
    let (model, most, shown, documents, task) =
        body::read_as(request, api.settings().body_bytes, work).await?;
    let generation = Generation::start(&api, vec![task], ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    let id = format!("rerank-{}", generation.first());
    let output = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let mut results = ranked(&output.transcript.scores, documents.len())?;
    results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    results.truncate(most);
    if shown {
        for ranked in &mut results {
            ranked.document = documents.get(ranked.index).map(|text| Document { text: text.clone() });
        }
    }
    let answer = Reranked { id, object: "rerank", model, results, usage: OfInput::of(&output.end) };
    let mut response = Json(answer).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}

impl RerankRequest {
    /// Checks what is its own, and says how many results are wanted.
    fn check(&self) -> Result<usize, Refusal> {
        check::not_empty("query", &self.query)?;
        check::no_nul(|| "query", &self.query)?;
        check::count("documents", self.documents.len(), DOCUMENTS)?;
        for (i, document) in self.documents.iter().enumerate() {
            let (TextOrObject::Text(text) | TextOrObject::Object(Document { text })) = document;
            if text.is_empty() {
                check::not_empty(&format!("documents[{i}]"), text)?;
            }
            check::no_nul(|| format!("documents[{i}]"), text)?;
        }
        Ok(check::within("top_n", self.top_n, 1..=usize::MAX)?.unwrap_or(usize::MAX))
    }

    fn into_task(self) -> Result<(TaskRequest, Vec<String>), Refusal> {
        let (lane, model) = Lane::of(&self.model, self.service_tier.as_deref());
        let text = |document| match document {
            TextOrObject::Text(text) | TextOrObject::Object(Document { text }) => text,
        };
        let documents: Vec<String> = self.documents.into_iter().map(text).collect();
        let inputs = std::iter::once(self.query).chain(documents.iter().cloned()).collect();
        let keep_alive = keep_alive::read(self.keep_alive.as_ref())?;
        let task = generation_tasks::of_inputs(Workload::Rerank, model, lane, inputs);
        let task = TaskRequest { keep_alive, ..task };
        Ok((task, documents))
    }
}

/// The scores, one for each document.
fn ranked(scores: &[f32], documents: usize) -> Result<Vec<Ranked>, Refusal> {
    if scores.len() != documents {
        tracing::error!(
            scores = scores.len(),
            documents,
            "an engine returned another number of scores than documents"
        );
        return Err(Refusal::Internal);
    }
    let ranked = |(index, score): (usize, &f32)| Ranked { index, relevance_score: *score, document: None };
    Ok(scores.iter().enumerate().map(ranked).collect())
}
