//! `POST /v1/chat/completions`.
//!
//! Rules: ORCH-OAI-2

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};

use super::collect::CollectedOutput;
use super::generation_tasks::Generation;
use super::not_admitted;
use super::stream::{self, OpenStream};
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::{Api, body, heavy};

mod message;
mod request;
mod response;
mod tools;

pub(super) use request::CHAT_FIELDS;
pub(super) use request::ChatRequest;
use response::ResponseMeta;
pub(super) use response::finish_reason;
pub(super) use tools::arguments_of;

/// Answers a conversation.
pub(super) async fn create(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let work = {
        let api = Arc::clone(&api);
        move |mut request: ChatRequest| {
            let mut conversation = request.check(&api.settings().image_urls)?;
            let plan = request.take_options()?.plan(&headers)?;
            let tool_names = std::mem::take(&mut conversation.tool_names);
            let tasks = conversation.tasks(&plan);
            Ok::<_, Refused>((
                plan.options,
                tool_names,
                tasks.map_err(|refusal| not_admitted(&api, refusal))?,
            ))
        }
    };
    let (options, tool_names, tasks) = body::read_as(request, api.settings().body_bytes, work).await?;
    let permit = options.stream.then(|| OpenStream::take(&api)).transpose()?;
    let generation = Generation::start(&api, tasks, options.reasoning).await?;
    let about = About(generation.first());
    let meta = ResponseMeta::new(options, tool_names, generation.first());
    if let Some(permit) = permit {
        let encoder = response::Chunks::new(meta, generation.len());
        return Ok(stream::stream(generation, encoder, permit));
    }
    let outputs = generation.collect().await?;
    let bytes = outputs.iter().map(CollectedOutput::bytes).sum();
    let work = move || Json(response::whole(&meta, &outputs)).into_response();
    let mut response = heavy::run(bytes, work).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}
