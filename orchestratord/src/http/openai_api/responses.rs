//! `POST /v1/responses`: OpenAI's newer form of a conversation. Nothing is kept between two requests, so what
//! refers to an earlier one is refused by name.
//!
//! Rules: ORCH-OAI-12

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::generation_tasks::Generation;
use super::not_admitted;
use super::stream::{self, OpenStream};
use crate::backpressure::Refusal;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body, heavy};

mod items;
mod request;
mod response;
mod tools;

use request::ResponsesRequest;
use response::{Events, ResponseMeta};

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |request: ResponsesRequest| {
            let echo = request.echo();
            let (mut conversation, shared) = request.resolve(&api.settings().image_urls)?;
            let plan = shared.plan(&headers)?;
            let tool_names = std::mem::take(&mut conversation.tool_names);
            let tasks = conversation.tasks(&plan);
            Ok::<_, Refused>((
                plan.options,
                echo,
                tool_names,
                tasks.map_err(|refusal| not_admitted(&api, refusal))?,
            ))
        }
    };
    let (options, echo, tool_names, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let permit = options.stream.then(|| OpenStream::take(&api)).transpose()?;
    let generation = Generation::start(&api, tasks, options.reasoning).await?;
    let about = About(generation.first());
    let meta = ResponseMeta::new(options, echo, tool_names, generation.first());
    if let Some(permit) = permit {
        return Ok(stream::stream(generation, Events::new(meta), permit));
    }
    let whole = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let bytes = meta.bytes(&whole);
    let work = move || Json(meta.whole(&whole)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}
