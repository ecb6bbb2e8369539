//! `POST /v1/responses`: OpenAI's newer form of a conversation. Nothing is kept between two requests, so what
//! refers to an earlier one is refused by name.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::refusal::not_admitted;
use super::relay::{self, Place};
use super::running::Running;
use crate::backpressure::Refusal;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body};

mod answer;
mod items;
mod request;

use answer::{Events, Telling};
use request::ResponsesRequest;

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let request: ResponsesRequest = body::read_json(request, api.settings.body_bytes).await?;
    let echo = request.echo();
    let (conversation, shared) = request.resolve(&api.settings.image_urls)?;
    let plan = shared.plan(&headers)?;
    let tasks = conversation.tasks(&plan, &api.settings.sampler_profiles);
    let tasks = tasks.map_err(|refusal| not_admitted(&api, refusal))?;
    let place = plan.style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks).await?;
    let about = About(running.first());
    let telling = Telling::new(plan.style, echo, running.first());
    if let Some(place) = place {
        return Ok(relay::stream(running, Events::new(telling), place));
    }
    let whole = running.gather().await?.pop().ok_or(Refusal::Internal)?;
    let mut response = Json(telling.whole(&whole)).into_response();
    response.extensions_mut().insert(about);
    Ok(response)
}
