//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::refusal::not_admitted;
use super::relay::{self, Place};
use super::running::{Running, Whole};
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body, heavy};

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
    let work = {
        let api = Arc::clone(&api);
        move |mut request: ChatRequest| {
            let conversation = request.check(&api.settings().image_urls)?;
            let plan = request.take_style()?.plan(&headers)?;
            let tasks = conversation.tasks(&plan, &api.settings().sampler_profiles);
            Ok::<_, Refused>((plan.style, tasks.map_err(|refusal| not_admitted(&api, refusal))?))
        }
    };
    let (style, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let place = style.stream.then(|| Place::take(&api)).transpose()?;
    let running = Running::start(&api, tasks).await?;
    let about = About(running.first());
    let telling = Telling::new(style, running.first());
    if let Some(place) = place {
        let speaker = answer::Chunks::new(telling, running.len());
        return Ok(relay::stream(running, speaker, place));
    }
    let wholes = running.gather().await?;
    let bytes = wholes.iter().map(Whole::bytes).sum();
    let work = move || Json(answer::whole(&telling, &wholes)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}
