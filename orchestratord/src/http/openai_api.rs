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
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::{Api, answer};
use error::ApiFlavor;

mod anthropic;
mod chat;
mod collect;
mod completions;
mod conversation;
mod embeddings;
pub(super) mod error;
mod extra_body;
mod fields;
mod generation_params;
mod generation_tasks;
mod logit_bias;
mod logprobs;
mod models;
mod output;
mod reasoning_params;
mod rerank;
mod responses;
mod routing;
mod stream;
mod usage;

/// Clients are configured with a base URL that ends in `/v1`, and some with one that does not.
const BASES: [&str; 2] = ["/v1", ""];

/// The endpoints, by their paths under a base.
fn endpoints() -> [(&'static str, MethodRouter<Arc<Api>>); 9] {
    [
        ("/models", get(models::list).fallback(answer::only_get)),
        ("/models/{id}", get(models::retrieve).fallback(answer::only_get)),
        ("/chat/completions", post(chat::create).fallback(answer::only_post)),
        ("/completions", post(completions::create).fallback(answer::only_post)),
        ("/embeddings", post(embeddings::create).fallback(answer::only_post)),
        ("/responses", post(responses::create).fallback(answer::only_post)),
        ("/messages", post(anthropic::create).fallback(answer::only_post)),
        ("/messages/count_tokens", post(anthropic::count_tokens).fallback(answer::only_post)),
        ("/rerank", post(rerank::create).fallback(answer::only_post)),
    ]
}

/// The routes of the plane.
pub(super) fn routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for base in BASES {
        for (path, endpoint) in endpoints() {
            router = router.route(&format!("{base}{path}"), endpoint);
        }
    }
    router
}

/// Whose words the plane speaks at `path`; nothing where it does not answer there at all.
fn flavor_at(path: &str) -> Option<ApiFlavor> {
    let path = path.strip_prefix(BASES[0]).unwrap_or(path);
    let of_a_model = |path: &str| path.strip_prefix("/models/").is_some_and(|id| !id.contains('/'));
    if path == "/messages" || path == "/messages/count_tokens" {
        return Some(ApiFlavor::Anthropic);
    }
    static PATHS: LazyLock<[&str; 9]> = LazyLock::new(|| endpoints().map(|(path, _)| path));
    let ours = PATHS.contains(&path) || of_a_model(path);
    ours.then_some(ApiFlavor::OpenAi)
}

/// Seconds since 1970, which answers of this plane carry.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
