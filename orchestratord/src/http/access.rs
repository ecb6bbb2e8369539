//! What stands around every request: one log line, the words of the plane, and an answer even when a handler
//! panics. It is one layer: the router copies every layer for every request, each with those within it.
//!
//! Rules: ORCH-ERR-5, ORCH-SEC-4, ORCH-TASK-17

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::Method;
use http::header::USER_AGENT;
use orchestrator_core::{TaskId, Timestamp};

use super::answer::Refused;
use super::console::session::is_own_page;
use super::openai_api::error::in_api_flavor;
use super::unread::BodyRead;
use super::{Api, cors, guard};
use crate::backpressure::Refusal;
use crate::clock::Clock;
use crate::task_view::ClientName;

/// Beside a response that is about one task.
#[derive(Clone, Copy)]
pub(super) struct About(pub(super) TaskId);

/// Passes a request on, and its answer back.
pub(super) async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let line = Line::begin(api.clock, &request);
    let origin = api.settings().origins.of(request.headers());
    let client = client_of(&request);
    let (body, request) = BodyRead::watch(request);
    let answered = AssertUnwindSafe(guard::guarded(&api, request, next)).catch_unwind().await;
    let response = answered.unwrap_or_else(|panic| {
        // A panic is a defect; its permit goes to the log through the panic hook, and its caller gets a 500.
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        tracing::error!(path = line.path, panic = what, "a request handler panicked");
        Refused::from(Refusal::Internal).into_response()
    });
    let mut response = in_api_flavor(&line.path, response);
    if let Some(origin) = origin {
        cors::allow(origin, &mut response);
    }
    body.close_if_unread(&mut response);
    if let (Some(client), Some(About(task))) = (client, response.extensions().get()) {
        api.driver.asked_by(*task, client);
    }
    line.end(&response);
    response
}

/// What sends a request that may make a task: the console, which a browser sends for, or what `User-Agent` says.
fn client_of(request: &Request) -> Option<ClientName> {
    if request.method() != Method::POST || request.uri().path().ends_with("/cancel") {
        return None;
    }
    if is_own_page(request.headers()) {
        return ClientName::new("console");
    }
    ClientName::new(request.headers().get(USER_AGENT)?.to_str().ok()?)
}

/// One line a request: at `info` when it was refused for good or failed, else at `debug`, a full queue
/// included, since that is what a queue is for. Neither the query string, nor a header, nor a body is logged.
struct Line {
    clock: Clock,
    method: Method,
    path: String,
    begun: Timestamp,
}

impl Line {
    fn begin(clock: Clock, request: &Request) -> Self {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Self { clock, method, path, begun: clock.now() }
    }

    fn end(&self, response: &Response) {
        let Self { clock, method, path, begun } = self;
        let status = response.status().as_u16();
        let micros = u64::try_from(clock.now().since(*begun).as_micros()).unwrap_or(u64::MAX);
        let task_id = response.extensions().get::<About>().map(|about| tracing::field::display(about.0));
        match status {
            429 | 503 | ..400 => tracing::debug!(%method, path, status, micros, task_id, "answered"),
            _ => tracing::info!(%method, path, status, micros, task_id, "refused"),
        }
    }
}
