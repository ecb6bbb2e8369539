//! What stands around every request: one log line, and an answer even when a handler panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use orchestrator_core::TaskId;

use super::answer::Refused;
use crate::backpressure::Refusal;
use crate::clock::Clock;

/// Beside a response that is about one task.
#[derive(Clone, Copy)]
pub(super) struct About(pub(super) TaskId);

/// One line a request: at `info` when it was refused for good or failed, else at `debug`, a full queue
/// included, since that is what a queue is for. Neither the query string, nor a header, nor a body is logged.
pub(super) async fn log(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let begun = clock.now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let micros = u64::try_from(clock.now().since(begun).as_micros()).unwrap_or(u64::MAX);
    let task_id = response.extensions().get::<About>().map(|about| tracing::field::display(about.0));
    match status {
        429 | 503 | ..400 => tracing::debug!(%method, path, status, micros, task_id, "answered"),
        _ => tracing::info!(%method, path, status, micros, task_id, "refused"),
    }
    response
}

/// A panic is a defect; its text goes to the log through the panic hook, and its caller gets a 500.
pub(super) async fn panics_to_500(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            tracing::error!(path, panic = what, "a request handler panicked");
            Refused::from(Refusal::Internal).into_response()
        }
    }
}
