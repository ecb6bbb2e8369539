//! Every answer that is not plain success: the error envelope, its headers, and the answers of paths and
//! methods that are not there. Status, code and waits come from [`crate::backpressure`] alone.
//!
//! Rules: ORCH-ERR-1, ORCH-ERR-3, ORCH-ERR-6

use api_types::{EndEvent, Engine, ErrorCode, ErrorEnvelope, FinishReason, StartedEvent};
use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use engine_api::EngineKind;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use orchestrator_core::Millis;

use super::Api;
use crate::backpressure::{Code, Refusal, Verdict};
use crate::handle::QueuePosition;
use crate::task_log::{self, TaskEnd};

/// The wait in milliseconds, for clients of ours.
const BACKOFF: HeaderName = HeaderName::from_static("x-backoff-ms");

/// How much of a caller's own text a message repeats.
const SHOWN_BYTES: usize = 100;

/// A refusal on its way out. It stays beside the response it became, for a plane that says it in words of
/// its own.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What the caller is told.
    pub(super) verdict: Verdict,
    /// The same in words.
    pub(super) message: String,
    pub(super) engine: Option<EngineKind>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { verdict: refusal.verdict(), message: refusal.to_string(), engine: None }
    }
}

impl Api {
    /// A refusal with the engine of the pool it speaks of.
    pub(super) fn refuse(&self, refusal: Refusal) -> Refused {
        let pool = match &refusal {
            Refusal::QueueFull { pool, .. }
            | Refusal::PoolUnready { pool, .. }
            | Refusal::PoolUnavailable { pool, .. }
            | Refusal::ModelRetired { pool }
            | Refusal::EnginesFailed { pool }
            | Refusal::ReplicaExhausted { pool, .. } => Some(pool),
            Refusal::Invalid(_)
            | Refusal::Unauthorized(_)
            | Refusal::Forbidden(_)
            | Refusal::NoSuchPool(_)
            | Refusal::NotFound(_)
            | Refusal::MethodNotAllowed(_)
            | Refusal::TooLarge { .. }
            | Refusal::Stopping
            | Refusal::TooManyStreams { .. }
            | Refusal::Internal => None,
        };
        let engine = pool.and_then(|pool| self.settings().engines.get(pool).copied());
        Refused { engine, ..Refused::from(refusal) }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let verdict = self.verdict;
        let status = StatusCode::from_u16(verdict.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = envelope(verdict, self.message.clone(), self.engine);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let (Some(seconds), Some(Millis(wait))) = (verdict.retry_after_s(), verdict.retry_after) {
            headers.insert(RETRY_AFTER, seconds.into());
            headers.insert(BACKOFF, wait.max(1).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The envelope that says `message` with `verdict`.
fn envelope(verdict: Verdict, message: String, engine: Option<EngineKind>) -> ErrorEnvelope {
    ErrorEnvelope {
        code: code_on_the_wire(verdict.code),
        message,
        engine: engine.map(engine_on_the_wire),
        retriable: verdict.retriable,
        retry_after_ms: verdict.retry_after.map(|wait| wait.0),
    }
}

fn code_on_the_wire(code: Code) -> ErrorCode {
    match code {
        Code::AdmissionReject => ErrorCode::AdmissionReject,
        Code::QueueFullDropLru => ErrorCode::QueueFullDropLru,
        Code::InvalidParams => ErrorCode::InvalidParams,
        Code::PoolUnready => ErrorCode::PoolUnready,
        Code::PoolUnavailable => ErrorCode::PoolUnavailable,
        Code::ReplicaExhausted => ErrorCode::ReplicaExhausted,
        Code::DecodeTimeout => ErrorCode::DecodeTimeout,
        Code::WorkerReset => ErrorCode::WorkerReset,
        Code::Internal => ErrorCode::Internal,
    }
}

/// An engine's name on the wire.
pub(super) fn engine_on_the_wire(engine: EngineKind) -> Engine {
    match engine {
        EngineKind::Llamacpp => Engine::Llamacpp,
        EngineKind::Vllm => Engine::Vllm,
        EngineKind::Tgi => Engine::Tgi,
        EngineKind::Triton => Engine::Triton,
    }
}

/// The data of `started`.
pub(super) fn started_event(position: QueuePosition) -> StartedEvent {
    StartedEvent { queue_position: position.queue_position, predicted_start_ms: position.predicted_start.0 }
}

/// The data of `end`.
pub(super) fn end_event(end: &TaskEnd, engine: EngineKind) -> EndEvent {
    EndEvent {
        tokens_out: end.tokens_out.0,
        decode_ms: end.decode_ms.0,
        tokens_in: end.tokens_in.0,
        queue_ms: end.queue_ms.0,
        finish_reason: finish_on_the_wire(end),
        error: error_of(end, engine),
    }
}

/// Why a task ended, on the wire.
pub(super) fn finish_on_the_wire(end: &TaskEnd) -> FinishReason {
    match end.finish {
        task_log::FinishReason::Stop => FinishReason::Stop,
        task_log::FinishReason::Length => FinishReason::Length,
        task_log::FinishReason::Canceled => FinishReason::Canceled,
        task_log::FinishReason::Error => FinishReason::Error,
    }
}

/// What went wrong, where a task failed.
pub(super) fn error_of(end: &TaskEnd, engine: EngineKind) -> Option<ErrorEnvelope> {
    end.failure.as_ref().map(|failure| envelope(failure.verdict(), failure.to_string(), Some(engine)))
}

/// The answer of a path that is not described.
pub(super) async fn unknown_path(request: Request) -> Refused {
    let path = shown(request.uri().path().as_bytes());
    Refusal::NotFound(format!(
        "there is no path `{path}`: chats go to `/v1/chat/completions`, `/v1/responses` or `/v1/messages`, tasks to \
         `/v1/tasks`"
    ))
    .into()
}

/// The answer of a path that only takes GET (and with it HEAD).
pub(super) async fn only_get(request: Request) -> Response {
    wrong_method(&request, "GET, HEAD")
}

/// The answer of a path that only takes POST.
pub(super) async fn only_post(request: Request) -> Response {
    wrong_method(&request, "POST")
}

/// The answer of a path that only takes DELETE.
pub(super) async fn only_delete(request: Request) -> Response {
    wrong_method(&request, "DELETE")
}

/// The answer of a path that takes GET and POST.
pub(super) async fn only_get_or_post(request: Request) -> Response {
    wrong_method(&request, "GET, HEAD, POST")
}

/// The answer of a path that takes POST and DELETE.
pub(super) async fn only_post_or_delete(request: Request) -> Response {
    wrong_method(&request, "POST, DELETE")
}

/// The answer of a path that takes HEAD and POST.
pub(super) async fn only_head_or_post(request: Request) -> Response {
    wrong_method(&request, "HEAD, POST")
}

/// The answer of a path that takes GET and DELETE.
pub(super) async fn only_get_or_delete(request: Request) -> Response {
    wrong_method(&request, "GET, HEAD, DELETE")
}

fn wrong_method(request: &Request, allowed: &'static str) -> Response {
    let (path, method) = (shown(request.uri().path().as_bytes()), request.method());
    let method = shown(method.as_str().as_bytes());
    let refusal = Refusal::MethodNotAllowed(format!("`{path}` does not take `{method}`: use {allowed}"));
    let mut response = Refused::from(refusal).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What a caller sent, as a message may repeat it: in one line, not too long, and nothing a terminal obeys.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text: String = String::from_utf8_lossy(cut)
        .trim_end_matches(char::REPLACEMENT_CHARACTER)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
