//! The API of Ollama (`contracts/openapi/ollama.yaml`), at an address of its own. Each request becomes a task on the
//! same queue as any other; what is decided here is form alone. Beside it, that address speaks what OpenAI's and
//! Anthropic's clients speak, since programs that know Ollama's port use these as well; neither tasks nor the control
//! of the daemon are there.
//!
//! ```text
//! body ──► chat, text, embed ──names──► TaskRequest ──► DriverHandle::submit
//!                                                            │ log
//! one object, or a line a piece ◄── response ◄───────────────┘
//! ```
//!
//! Rules: ORCH-OLLAMA-1, ORCH-OLLAMA-2, ORCH-OLLAMA-9

use std::sync::Arc;

use axum::extract::Request;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Api;
use super::answer::{self, Refused, shown};
use crate::backpressure::Refusal;

mod chat;
mod embed;
pub(super) mod error;
mod images;
mod model_view;
mod models;
mod names;
mod options;
mod params;
mod pull;
mod response;
mod run;
mod text;
mod tools;

/// The path that anyone may ask.
pub(super) const OPEN_PATH: &str = "/";

/// What clients that look whether a server is there expect to read.
const GREETING: &str = "Ollama is running";

/// The version of Ollama whose API is spoken. Clients compare it with the one that brought a field they use.
const VERSION: &str = "0.13.5";

/// The routes of the API.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(OPEN_PATH, get(async || GREETING).fallback(answer::only_get))
        .route("/api/version", get(version).fallback(answer::only_get))
        .route("/api/tags", get(models::tags).fallback(answer::only_get))
        .route("/api/ps", get(models::ps).fallback(answer::only_get))
        .route("/api/show", post(models::show).fallback(answer::only_post))
        .route("/api/chat", post(run::create::<chat::ChatRequest>).fallback(answer::only_post))
        .route("/api/generate", post(run::create::<text::GenerateRequest>).fallback(answer::only_post))
        .route("/api/embed", post(embed::create).fallback(answer::only_post))
        .route("/api/embeddings", post(embed::create_one).fallback(answer::only_post))
        .route("/api/pull", post(pull::create).fallback(answer::only_post))
        .route("/api/delete", delete(unserved).fallback(answer::only_delete))
        .route("/api/copy", post(unserved).fallback(answer::only_post))
        .route("/api/create", post(unserved).fallback(answer::only_post))
        .route("/api/push", post(unserved).fallback(answer::only_post))
        .route("/api/blobs/{digest}", post(unserved).head(unserved).fallback(answer::only_head_or_post))
}

async fn version() -> Json<Value> {
    Json(json!({ "version": VERSION }))
}

/// What Ollama changes on disk and the daemon does not.
async fn unserved(request: Request) -> Refused {
    let path = request.uri().path();
    let instead = match path.split('/').nth(2).unwrap_or_default() {
        "delete" => "`llama-orch models remove` takes a file away that no pool serves",
        "copy" => "add the name to `aliases` of its pool in llama-orch.yaml",
        "create" => {
            "a pool in llama-orch.yaml has `model`, `aliases` and `defaults` (sampling, system prompt)"
        }
        _ => "models are files that a pool in llama-orch.yaml names",
    };
    error::not_implemented(format!("`{}` is not served here: {instead}", shown(path.as_bytes())))
}

/// The answer of a path that is not described.
pub(super) async fn unknown_path(request: Request) -> Refused {
    let path = shown(request.uri().path().as_bytes());
    Refusal::NotFound(format!(
        "there is no path `{path}` at the address of `ollama.listen`: it has `/api/chat`, `/api/generate`, `/api/embed`, \
         `/api/tags`, `/api/show`, `/api/ps`, `/api/pull` and OpenAI's `/v1/…`"
    ))
    .into()
}

#[cfg(test)]
mod tests;
