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
use crate::http::{Api, body, heavy};

mod answer;
mod items;
mod request;

use answer::{Events, Telling};
use request::ResponsesRequest;

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |request: ResponsesRequest| {
            let echo = request.echo();
            let (conversation, shared) = request.resolve(&api.settings().image_urls)?;
            let plan = shared.plan(&headers)?;
            let tasks = conversation.tasks(&plan, &api.settings().sampler_profiles);
            Ok::<_, Refused>((plan.style, echo, tasks.map_err(|refusal| not_admitted(&api, refusal))?))
        }
    };
    let (style, echo, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let place = style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks).await?;
    let about = About(running.first());
    let telling = Telling::new(style, echo, running.first());
    if let Some(place) = place {
        return Ok(relay::stream(running, Events::new(telling), place));
    }
    let whole = running.gather().await?.pop().ok_or(Refusal::Internal)?;
    let bytes = telling.bytes(&whole);
    let work = move || Json(telling.whole(&whole)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}
