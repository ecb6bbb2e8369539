//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::relay::{self, Place};
use super::running::Running;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body};

mod answer;
mod message;
mod request;
mod tools;

use answer::Telling;
pub(super) use answer::finish_reason;
pub(super) use request::CHAT_FIELDS;
use request::ChatRequest;

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let mut request: ChatRequest = body::read_json(request, api.settings.body_bytes).await?;
    let conversation = request.check(&api.settings.image_urls)?;
    let plan = request.take_style()?.plan(&headers)?;
    let tasks = conversation.tasks(&plan, &api.settings.sampler_profiles);
    let place = plan.style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks.map_err(|refusal| super::refusal::not_admitted(&api, refusal))?);
    let running = running.await?;
    let about = About(running.first());
    let telling = Telling::new(plan.style, running.first());
    if let Some(place) = place {
        let speaker = answer::Chunks::new(telling, running.len());
        return Ok(relay::stream(running, speaker, place));
    }
    let wholes = running.gather().await?;
    let mut response = Json(answer::whole(&telling, &wholes)).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}
