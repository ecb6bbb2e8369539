//! `POST /v1/messages` and `/v1/messages/count_tokens`, as Anthropic's clients speak them.
//!
//! Rules: ORCH-OAI-11

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::generation_tasks::Generation;
use super::not_admitted;
use super::stream::{self, OpenStream};
use crate::backpressure::Refusal;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body, heavy};

mod blocks;
mod request;
mod response;

use request::{CountRequest, MessagesRequest};
use response::{Events, ResponseMeta};

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |request: MessagesRequest| {
            let (conversation, shared) = request.resolve(&api.settings().image_urls)?;
            let plan = shared.plan(&headers)?;
            let tasks = conversation.tasks(&plan);
            Ok::<_, Refused>((plan.options, tasks.map_err(|refusal| not_admitted(&api, refusal))?))
        }
    };
    let (options, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let permit = options.stream.then(|| OpenStream::take(&api)).transpose()?;
    let generation = Generation::start(&api, tasks, options.reasoning).await?;
    let about = About(generation.first());
    let meta = ResponseMeta::new(options.model, generation.first());
    if let Some(permit) = permit {
        return Ok(stream::stream(generation, Events::new(meta), permit));
    }
    let whole = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let bytes = whole.bytes();
    let work = move || Json(response::whole(&meta, &whole)).into_response();
    let mut response = heavy::run(bytes, work).await?;
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
    let work = {
        let api = Arc::clone(&api);
        move |request: CountRequest| {
            let (conversation, shared) = request.resolve(&api.settings().image_urls)?;
            let plan = shared.plan(&headers)?;
            let tasks = conversation.tasks(&plan);
            tasks.map_err(|refusal| not_admitted(&api, refusal))
        }
    };
    let mut tasks = body::read_as(request, api.settings().body_bytes, work).await?;
    let mut task = tasks.pop().ok_or(Refusal::Internal)?;
    let measured = api.driver.count(&mut task).await.map_err(|refusal| not_admitted(&api, refusal))?;
    Ok(Json(Count { input_tokens: measured.tokens.0 }))
}

#[cfg(test)]
mod tests;
