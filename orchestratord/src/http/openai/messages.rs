//! `POST /v1/messages` and `/v1/messages/count_tokens`, as Anthropic's clients speak them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::refusal::not_admitted;
use super::relay::{self, Place};
use super::running::Running;
use crate::backpressure::Refusal;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body};

mod answer;
mod blocks;
mod request;

use answer::{Events, Telling};
use request::{CountRequest, MessagesRequest};

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let request: MessagesRequest = body::read_json(request, api.settings.body_bytes).await?;
    let (conversation, shared) = request.resolve(&api.settings.image_urls)?;
    let plan = shared.plan(&headers)?;
    let tasks = conversation.tasks(&plan, &api.settings.sampler_profiles);
    let tasks = tasks.map_err(|refusal| not_admitted(&api, refusal))?;
    let place = plan.style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks).await?;
    let about = About(running.first());
    let telling = Telling::new(plan.style.model, running.first());
    if let Some(place) = place {
        return Ok(relay::stream(running, Events::new(telling), place));
    }
    let whole = running.gather().await?.pop().ok_or(Refusal::Internal)?;
    let mut response = Json(answer::whole(&telling, &whole)).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}

#[derive(Serialize)]
pub(super) struct Count {
    input_tokens: u32,
}

/// Counts the tokens of a conversation, as its admission would.
pub(super) async fn count_tokens(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<Count>, Refused> {
    let headers = request.headers().clone();
    let request: CountRequest = body::read_json(request, api.settings.body_bytes).await?;
    let (conversation, shared) = request.resolve(&api.settings.image_urls)?;
    let plan = shared.plan(&headers)?;
    let tasks = conversation.tasks(&plan, &api.settings.sampler_profiles);
    let task = tasks.map_err(|refusal| not_admitted(&api, refusal))?.pop().ok_or(Refusal::Internal)?;
    let measured = api.driver.count(&task).await.map_err(|refusal| not_admitted(&api, refusal))?;
    Ok(Json(Count { input_tokens: measured.tokens.0 }))
}
