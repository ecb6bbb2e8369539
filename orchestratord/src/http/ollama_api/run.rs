//! The task of a request, run and told as the request wants it.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-7

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use generation::{GenerateRequest, Input, MaxTokensMode, Workload};
use http::HeaderMap;
use orchestrator_core::{KeepAlive, PoolId, TaskId, TokenCount};
use uuid::Uuid;

use super::model_view;
use super::names::Named;
use super::params::{Content, Params, read_keep_alive};
use super::response::{Lines, ResponseMeta};
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::health_view::HealthView;
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::generate::ReasoningPlace;
use crate::http::generate::generation_tasks::Generation;
use crate::http::generate::refused::not_admitted;
use crate::http::generate::stream::{self, OpenStream};
use crate::http::{Api, heavy};
use crate::protocol::StayChange;

/// What a model reads that is only loaded.
const LEAST: &str = ".";

/// What a request comes to.
pub(super) enum Plan {
    /// An answer, of this task.
    Answer(TaskRequest),
    /// The model is loaded, and says nothing.
    Load(TaskRequest),
    /// The model of this pool is unloaded when it is idle.
    Unload(PoolId),
}

impl Plan {
    /// What becomes of a request with this content: without any, it is about the model alone.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub(super) fn of(
        api: &Api,
        content: Option<Content>,
        params: Params,
        named: &Named<'_>,
        headers: &HeaderMap,
    ) -> Result<Self, Refused> {
        if let Some(content) = content {
            let task = params.into_task(content, named, headers);
            return task.map(Self::Answer).map_err(|refusal| not_admitted(api, refusal));
        }
        let keep_alive = read_keep_alive(params.keep_alive.as_ref())?;
        Ok(match keep_alive {
            Some(KeepAlive::For(Duration::ZERO)) => Self::Unload(named.pool.id.clone()),
            _ => Self::Load(TaskRequest { keep_alive, ..least_task(named) }),
        })
    }
}

impl Api {
    /// The pools at this moment.
    pub(super) async fn pools(&self) -> Result<HealthView, Refusal> {
        self.driver.health().await.ok_or(Refusal::Stopping)
    }
}

/// Answers a request whose plan is made.
pub(super) async fn run(
    api: &Arc<Api>,
    plan: Plan,
    meta: ResponseMeta,
    streams: bool,
) -> Result<Response, Refused> {
    let task = match plan {
        Plan::Answer(task) => task,
        Plan::Load(task) => {
            Generation::start(api, vec![task], ReasoningPlace::Omitted).await?.collect().await?;
            return Ok(meta.respond_without_answer("load", streams));
        }
        Plan::Unload(pool) => {
            let change =
                StayChange { keep_alive: Some(KeepAlive::For(Duration::ZERO)), ..StayChange::default() };
            api.driver.set_model_stay(pool, change).await.map_err(|refusal| api.refuse(refusal))?;
            return Ok(meta.respond_without_answer("unload", streams));
        }
    };
    let permit = streams.then(|| OpenStream::take(api)).transpose()?;
    let generation = Generation::start(api, vec![task], ReasoningPlace::Apart).await?;
    let about = About(generation.first());
    if let Some(permit) = permit {
        return Ok(stream::stream(generation, Lines::new(meta), permit));
    }
    let output = generation.collect().await?.pop().ok_or(Refusal::Internal)?;
    let mut response = heavy::run(output.bytes(), move || Json(meta.whole(output)).into_response()).await?;
    response.extensions_mut().insert(about);
    Ok(response)
}

/// The least task there is for a pool: it is done when the model is loaded and has had its turn in the queue.
pub(super) fn least_task(named: &Named<'_>) -> TaskRequest {
    let pool = named.pool;
    let (workload, input) = match model_view::capabilities(pool).contains(&"completion") {
        true => (Workload::Completion, Input::Prompt(LEAST.to_owned())),
        false => (Workload::Embedding, Input::Inputs(vec![LEAST.to_owned()])),
    };
    let max_tokens = Some(TokenCount(1));
    let model_ref = Some(named.model_ref.clone());
    let generate = GenerateRequest {
        workload,
        max_tokens,
        max_tokens_mode: MaxTokensMode::Ceiling,
        ..GenerateRequest::new(TaskId(Uuid::new_v4()), input)
    };
    TaskRequest { model_ref, ..TaskRequest::new(generate) }
}
