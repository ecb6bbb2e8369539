//! OrchQueue v1: tasks, their streams, their end, and sessions (`contracts/openapi/data.yaml`).
//!
//! Rules: ORCH-TASK-1, ORCH-CANCEL-3

use std::sync::Arc;

use api_types::{Session, TaskAccepted};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use orchestrator_core::{SessionId, TaskId};
use uuid::Uuid;

use super::access::About;
use super::answer::{Refused, shown};
use super::events::Relay;
use super::{Api, body, task_request};
use crate::backpressure::Refusal;

/// Tells reverse proxies to pass every event on at once.
pub(super) const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The event a reader had last, as browsers send it when they come back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The id in a path, as it came.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// `POST /v1/tasks`
pub(super) async fn create_task(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let work = {
        let api = Arc::clone(&api);
        move |request| task_request::resolve(request, &api.settings().sampler_profiles, Uuid::new_v4)
    };
    let request = body::read_as(request, api.settings().body_bytes, work).await?;
    let task = request.id();
    let accepted = match api.driver.submit(request).await {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(about(task, api.refuse(refusal).into_response())),
    };
    let body = TaskAccepted {
        task_id: accepted.task.0,
        queue_position: accepted.position.queue_position,
        predicted_start_ms: accepted.position.predicted_start.0,
        backoff_ms: accepted.backoff.0,
    };
    Ok(about(task, (StatusCode::ACCEPTED, Json(body)).into_response()))
}

/// `GET /v1/tasks/{id}/stream`
pub(super) async fn stream_task(
    State(api): State<Arc<Api>>,
    id: Id,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let task = TaskId(uuid_in_path(id)?);
    let from = first_event(&headers)?;
    let permit = api.open_stream()?;
    let subscription = api.driver.subscribe(task, from).await.map_err(|refusal| api.refuse(refusal))?;
    let relay = Relay::new(subscription, api.settings().keepalive, permit);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok(about(task, (headers, relay.into_body()).into_response()))
}

/// `POST /v1/tasks/{id}/cancel`
pub(super) async fn cancel_task(State(api): State<Arc<Api>>, id: Id) -> Result<Response, Refused> {
    let task = TaskId(uuid_in_path(id)?);
    let done = api.driver.cancel(task).await.map_err(|refusal| api.refuse(refusal));
    Ok(about(task, done.map(|()| StatusCode::NO_CONTENT).into_response()))
}

/// `GET /v1/sessions/{id}`
pub(super) async fn get_session(State(api): State<Arc<Api>>, id: Id) -> Result<Json<Session>, Refused> {
    let session = SessionId(uuid_in_path(id)?);
    let view = api.driver.session(session).await.map_err(|refusal| api.refuse(refusal))?;
    Ok(Json(Session {
        ttl_ms_remaining: view.ttl_remaining.0,
        turns: view.turns,
        kv_bytes: view.kv_bytes,
        kv_warmth: view.kv_warmth.into(),
    }))
}

/// `DELETE /v1/sessions/{id}`
pub(super) async fn delete_session(State(api): State<Arc<Api>>, id: Id) -> Result<StatusCode, Refused> {
    let session = SessionId(uuid_in_path(id)?);
    api.driver.evict_session(session).await.map_err(|refusal| api.refuse(refusal))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The UUID of a path.
pub(super) fn uuid_in_path(id: Id) -> Result<Uuid, Refusal> {
    let not_text = |_| Refusal::Invalid("the id in the path is not UTF-8: use a UUID".to_owned());
    let Path(id) = id.map_err(not_text)?;
    Uuid::parse_str(&id).map_err(|_| {
        Refusal::Invalid(format!(
            "the id `{}` in the path is not a UUID: use the one that `POST /v1/tasks` took or gave",
            shown(id.as_bytes())
        ))
    })
}

/// The first event that a reader wants.
fn first_event(headers: &HeaderMap) -> Result<u32, Refusal> {
    let Some(last) = headers.get(LAST_EVENT_ID) else { return Ok(0) };
    // A reader that was cut off before the first token sends what it has: nothing.
    let text = last.to_str().ok().map(str::trim);
    let number = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match number.map(str::parse::<u64>) {
        Some(Ok(last)) => Ok(u32::try_from(last.saturating_add(1)).unwrap_or(u32::MAX)),
        _ if text == Some("") => Ok(0),
        _ => Err(Refusal::Invalid(format!(
            "`Last-Event-ID` is `{}`: send the `id` of the last `token` event, or leave the header out",
            shown(last.as_bytes())
        ))),
    }
}

/// Notes which task a response is about.
pub(super) fn about(task: TaskId, mut response: Response) -> Response {
    response.extensions_mut().insert(About(task));
    response
}
