//! The plane that home clients already speak (`contracts/openapi/openai.yaml`). Each request becomes one or
//! more tasks on the same queue, admitted as `/v1/tasks` admits them, and its answer is read from their logs;
//! what is decided here is form alone.
//!
//! ```text
//! body ──► the endpoint's request ──resolve──► TaskRequest … ──► DriverHandle::submit
//!                                                                     │ logs
//! whole answer ◄── generation::Generation::gather ◄─────────────────────────┤
//! events       ◄── relay, in the words of a StreamEncoder ◄─────────────────┘
//! ```
//!
//! Rules: ORCH-OAI-2

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::generate::refused::not_admitted;
use super::generate::{collect, fields, generation_tasks, logprobs, output, routing, stream};
use super::wall_time::{rfc3339, unix_now};
use super::{Api, answer};
use error::ApiFlavor;

mod anthropic;
mod chat;
mod completions;
mod conversation;
mod custom_input;
mod embeddings;
pub(super) mod error;
mod extra_body;
mod generation_params;
mod infill;
mod logit_bias;
mod models;
mod offered_tools;
mod reasoning_params;
mod rerank;
mod response_format;
mod responses;
mod text_queries;
mod usage;

/// Clients are configured with a base URL that ends in `/v1`, and some with one that does not; and some add `/v1` to one
/// that has it.
const BASES: [&str; 3] = ["/v1/v1", "/v1", ""];

/// Where the APIs that are imitated have more than is served here: what is asked there gets their words as well.
const UNSERVED: [&str; 14] = [
    "/assistants",
    "/audio",
    "/batches",
    "/chat",
    "/containers",
    "/conversations",
    "/files",
    "/fine_tuning",
    "/images",
    "/moderations",
    "/responses",
    "/threads",
    "/uploads",
    "/vector_stores",
];

/// The endpoints, by their paths under a base.
fn endpoints() -> [(&'static str, MethodRouter<Arc<Api>>); 14] {
    [
        ("/models", get(models::list).fallback(answer::only_get)),
        ("/models/{id}", get(models::retrieve).fallback(answer::only_get)),
        // Names of models have slashes, which not every client encodes.
        ("/models/{id}/{*rest}", get(models::retrieve_with_slashes).fallback(answer::only_get)),
        ("/chat/completions", post(chat::create).fallback(answer::only_post)),
        ("/completions", post(completions::create).fallback(answer::only_post)),
        ("/embeddings", post(embeddings::create).fallback(answer::only_post)),
        ("/responses", post(responses::create).fallback(answer::only_post)),
        ("/messages", post(anthropic::create).fallback(answer::only_post)),
        ("/messages/count_tokens", post(anthropic::count_tokens).fallback(answer::only_post)),
        ("/rerank", post(rerank::create).fallback(answer::only_post)),
        // In the forms of `llama-server`.
        ("/infill", post(infill::create).fallback(answer::only_post)),
        ("/tokenize", post(text_queries::tokenize).fallback(answer::only_post)),
        ("/detokenize", post(text_queries::detokenize).fallback(answer::only_post)),
        ("/apply-template", post(text_queries::apply_template).fallback(answer::only_post)),
    ]
}

/// The routes of the plane.
pub(super) fn routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for base in BASES {
        for (path, endpoint) in endpoints() {
            if !path.ends_with("{*rest}") {
                router = router.route(&format!("{base}{path}/"), endpoint.clone());
            }
            router = router.route(&format!("{base}{path}"), endpoint);
        }
    }
    router
}

/// Whether the plane answers at `path`.
pub(super) fn speaks_at(path: &str) -> bool {
    flavor_at(path).is_some()
}

/// Whose words the plane speaks at `path`; nothing where it does not answer there at all.
fn flavor_at(path: &str) -> Option<ApiFlavor> {
    static PATHS: LazyLock<[&str; 14]> = LazyLock::new(|| endpoints().map(|(path, _)| path));
    let path = BASES.iter().find_map(|base| path.strip_prefix(base)).unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_below =
        |base: &&str| path.strip_prefix(*base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if is_below(&"/messages") {
        return Some(ApiFlavor::Anthropic);
    }
    // The state of a model belongs to the control plane.
    let of_a_model = path.strip_prefix("/models/").is_some_and(|id| !id.ends_with("/state"));
    let is_unserved = UNSERVED.iter().any(is_below);
    (PATHS.contains(&path) || of_a_model || is_unserved).then_some(ApiFlavor::OpenAi)
}

#[cfg(test)]
mod tests;
