//! What stands around every request: one log line, the words of the plane, and an answer even when a handler
//! panics. It is one layer: the router copies every layer for every request, each with those within it.
//!
//! Rules: ORCH-ERR-5, ORCH-ERR-10, ORCH-SEC-4, ORCH-TASK-17, ORCH-OLLAMA-1

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::USER_AGENT;
use http::{HeaderValue, Method};
use orchestrator_core::{TaskId, Timestamp};

use super::answer::{Refused, shown};
use super::console::session::is_own_page;
use super::ollama_api::error::in_ollama_form;
use super::openai_api::error::in_api_flavor;
use super::refusal_log::{self, RefusalLog};
use super::unread::BodyRead;
use super::{Api, cors, guard, openai_api};
use crate::backpressure::Refusal;
use crate::clock::Clock;
use crate::server::Authenticated;
use crate::task_view::ClientName;

/// The address that a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// That of `listen`.
    Main,
    /// That of `ollama.listen`.
    Ollama,
}

/// Beside a response that is about one task.
#[derive(Clone, Copy)]
pub(super) struct About(pub(super) TaskId);

/// Passes a request on, and its answer back.
pub(super) async fn around(
    State((api, listener)): State<(Arc<Api>, Listener)>,
    request: Request,
    next: Next,
) -> Response {
    let line = Line::begin(&api, &request);
    let origin = api.settings().origins.of(request.headers());
    let may_make_a_task = may_make_a_task(&request);
    let (body, request) = BodyRead::watch(request);
    let answered = AssertUnwindSafe(guard::guarded(&api, listener, request, next)).catch_unwind().await;
    let response = answered.unwrap_or_else(|panic| {
        // A panic is a defect; its permit goes to the log through the panic hook, and its caller gets a 500.
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        tracing::error!(path = line.path, panic = what, "a request handler panicked");
        Refused::from(Refusal::Internal).into_response()
    });
    let refused = response.extensions().get::<Refused>().cloned();
    let mut response = match listener {
        Listener::Ollama if !openai_api::speaks_at(&line.path) => in_ollama_form(response),
        Listener::Ollama | Listener::Main => in_api_flavor(&line.path, response),
    };
    if let Some(origin) = origin {
        cors::allow(origin, &mut response);
    }
    body.close_if_unread(&mut response);
    if may_make_a_task
        && let Some(About(task)) = response.extensions().get()
        && let Some(client) = line.sender.name()
    {
        api.driver.asked_by(*task, client);
    }
    line.end(&response, refused.as_ref());
    response
}

/// Who sends a request, as far as it says so. Names are made of it where they are needed: most requests need none.
struct Sender {
    /// Whether a browser sends it for the console.
    is_console: bool,
    agent: Option<HeaderValue>,
    peer: Option<IpAddr>,
}

impl Sender {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            is_console: is_own_page(headers),
            agent: headers.get(USER_AGENT).cloned(),
            peer: request.extensions().get::<Authenticated>().and_then(Authenticated::peer),
        }
    }

    /// The console, or what `User-Agent` says.
    fn name(&self) -> Option<ClientName> {
        if self.is_console {
            return ClientName::new("console");
        }
        ClientName::new(self.agent.as_ref()?.to_str().ok()?)
    }

    /// The same, or else an address.
    fn name_or_address(&self) -> Option<ClientName> {
        self.name().or_else(|| ClientName::new(&self.peer?.to_string()))
    }
}

/// Whether a request may make a task.
fn may_make_a_task(request: &Request) -> bool {
    request.method() == Method::POST && !request.uri().path().ends_with("/cancel")
}

/// One line a request: at `info` when it was refused, as far as [`super::refusal_log`] lets it, else at `debug`. Neither
/// the query string, nor a header but `User-Agent`, nor a body is logged.
struct Line {
    clock: Clock,
    refusals: Arc<RefusalLog>,
    method: Method,
    path: String,
    sender: Sender,
    begun: Timestamp,
}

impl Line {
    fn begin(api: &Api, request: &Request) -> Self {
        Self {
            clock: api.clock,
            refusals: Arc::clone(&api.refusals),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            sender: Sender::of(request),
            begun: api.clock.now(),
        }
    }

    fn end(&self, response: &Response, refused: Option<&Refused>) {
        let Self { clock, method, begun, .. } = self;
        let path = shown(self.path.as_bytes());
        let status = response.status().as_u16();
        let micros = u64::try_from(clock.now().since(*begun).as_micros()).unwrap_or(u64::MAX);
        let task_id = response.extensions().get::<About>().map(|about| tracing::field::display(about.0));
        let is_refusal = refused.is_some() || !matches!(status, 503 | ..400);
        if !is_refusal || !tracing::enabled!(tracing::Level::INFO) || !self.refusals.has_line(status) {
            tracing::debug!(%method, path, status, micros, task_id, "answered");
            return;
        }
        let code = refused.map(|refused| refused.verdict.code.as_str());
        let (reason, field) = (refused.map(refusal_log::reason), refused.and_then(refusal_log::field));
        let client = self.sender.name_or_address();
        let client = client.as_ref().map(ClientName::as_str);
        tracing::info!(%method, path, status, code, field, reason, client, micros, task_id, "refused");
    }
}
