//! Requests that are answered in one: embeddings (`POST /v1/embeddings`) and scores (`POST /v1/rerank`).

use std::borrow::Cow;

use engine_http::{Call, Fault, Reading, Whole, with_extra_body};
use generation::{GenerateRequest, Input, OutputEvent};
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Ranks {
    results: Vec<Rank>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Rank {
    index: usize,
    relevance_score: f32,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    total_tokens: Option<u32>,
}

impl Usage {
    fn tokens_in(self) -> Option<TokenCount> {
        self.prompt_tokens.or(self.total_tokens).map(TokenCount)
    }
}

/// The request of an embedding.
///
/// # Errors
/// [`Fault::Refused`] where the job has no inputs.
pub fn embedding<A>(model: &str, job: &GenerateRequest) -> Result<Call<A>, Fault> {
    let Input::Inputs(inputs) = &*job.input else {
        return Err(Fault::Refused("an embedding takes `inputs`".to_owned()));
    };
    let body = json!({ "model": model, "input": inputs, "encoding_format": "float" });
    let body = with_extra_body(body.to_string().into_bytes(), job.extra_body.as_ref())?;
    Ok(Call { path: Cow::Borrowed("/v1/embeddings"), body, reading: Reading::Whole(read_embeddings) })
}

/// The request of scores.
///
/// # Errors
/// [`Fault::Refused`] where the job has no query or no documents.
pub fn rerank<A>(model: &str, job: &GenerateRequest) -> Result<Call<A>, Fault> {
    let (query, documents) = match &*job.input {
        Input::Inputs(inputs) => match inputs.split_first() {
            Some((query, documents)) if !documents.is_empty() => (query, documents),
            _ => return Err(Fault::Refused("a rerank takes `inputs`: the query, then documents".to_owned())),
        },
        _ => return Err(Fault::Refused("a rerank takes `inputs`".to_owned())),
    };
    let body = json!({ "model": model, "query": query, "documents": documents });
    let body = with_extra_body(body.to_string().into_bytes(), job.extra_body.as_ref())?;
    Ok(Call { path: Cow::Borrowed("/v1/rerank"), body, reading: Reading::Whole(read_ranks) })
}

fn read_embeddings(body: &[u8]) -> Result<Whole, String> {
    let Embeddings { mut data, usage } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    data.sort_by_key(|one| one.index);
    let results = data.into_iter().map(|one| OutputEvent::Embedding(one.embedding)).collect();
    Ok(Whole { results, tokens_in: usage.and_then(Usage::tokens_in) })
}

/// Scores come ordered by score; they are given in the order of the documents.
fn read_ranks(body: &[u8]) -> Result<Whole, String> {
    let Ranks { mut results, usage } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    results.sort_by_key(|one| one.index);
    let results = results.iter().map(|one| OutputEvent::Score(one.relevance_score)).collect();
    Ok(Whole { results, tokens_in: usage.and_then(Usage::tokens_in) })
}

/// The size of the first vector in an answer.
#[must_use]
pub fn embedding_size(body: &[u8]) -> Option<u32> {
    let Embeddings { data, .. } = serde_json::from_slice(body).ok()?;
    u32::try_from(data.first()?.embedding.len()).ok()
}

/// Whether an answer holds scores.
#[must_use]
pub fn is_rerank(body: &[u8]) -> bool {
    serde_json::from_slice::<Ranks>(body).is_ok_and(|ranks| !ranks.results.is_empty())
}
