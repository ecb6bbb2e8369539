//! A refusal in the words of Ollama: one text in `error`, and the names that fields have there. Status and waits are
//! those of [`crate::backpressure`], but that a full queue is 503, which is what Ollama answers and its clients know.
//!
//! Rules: ORCH-OLLAMA-4

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use serde_json::{Value, json};

use crate::backpressure::{Code, Verdict};
use crate::http::answer::Refused;

/// What fields of a task are called here. Checked from the top, so that the longer names come first.
const NAMES: [(&str, &str); 5] = [
    ("`sampling.json_schema`", "`format`"),
    ("`sampling.", "`options."),
    ("`max_tokens`", "`options.num_predict`"),
    ("`model_ref`", "`model`"),
    ("`inputs", "`input"),
];

/// The body of a refusal, or the last line of a stream that failed.
pub(super) fn body(refused: &Refused) -> Value {
    let message = NAMES
        .iter()
        .fold(refused.message.clone(), |message, (of_tasks, here)| message.replace(of_tasks, here));
    json!({ "error": message })
}

/// What is known and not done.
pub(super) fn not_implemented(message: String) -> Refused {
    let (status, code) = (StatusCode::NOT_IMPLEMENTED.as_u16(), Code::InvalidParams);
    Refused { verdict: Verdict { status, code, retriable: false, retry_after: None }, message, engine: None }
}

/// Says whatever was refused in the words of Ollama: also what never reached a handler.
pub(in crate::http) fn in_ollama_form(mut response: Response) -> Response {
    let Some(refused) = response.extensions_mut().remove::<Refused>() else { return response };
    let (parts, _) = response.into_parts();
    let status = match parts.status {
        StatusCode::TOO_MANY_REQUESTS => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    };
    let mut reworded = (status, Json(body(&refused))).into_response();
    for (name, value) in parts.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH) {
        reworded.headers_mut().insert(name, value.clone());
    }
    reworded.extensions_mut().extend(parts.extensions);
    reworded
}
