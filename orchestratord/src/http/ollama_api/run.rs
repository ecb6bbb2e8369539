//! The task of a request, run and told as the request wants it.
//!
//! Rules: ORCH-OLLAMA-2, ORCH-OLLAMA-7

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use generation::{GenerateRequest, Input, MaxTokensMode, Workload};
use http::HeaderMap;
use orchestrator_core::{KeepAlive, PoolId, TaskId, TokenCount};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::model_view;
use super::names::{self, Named};
use super::params::{Content, Params};
use super::response::{Form, Lines, ResponseMeta};
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::health_view::{HealthView, PoolView};
use crate::http::access::About;
use crate::http::answer::Refused;
use crate::http::generate::ReasoningPlace;
use crate::http::generate::generation_tasks::Generation;
use crate::http::generate::refused::not_admitted;
use crate::http::generate::stream::{self, OpenStream};
use crate::http::{Api, body, heavy, keep_alive};
use crate::protocol::StayChange;

/// The body of a request that is answered with text.
pub(super) trait TextRequest: DeserializeOwned + Send + 'static {
    /// How its answer is told.
    const FORM: Form;

    /// The model that it names, which is taken out of it.
    fn take_model(&mut self) -> String;

    /// Whether its answer comes in lines.
    fn streams(&self) -> bool;

    /// What the model of this pool is to read, which is taken out of it; nothing where there is none.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    fn take_content(&mut self, pool: &PoolView) -> Result<Option<Content>, Refusal>;

    /// The rest of it.
    fn into_params(self) -> Params;
}

/// What a model reads that is only loaded.
const LEAST: &str = ".";

/// What a request comes to.
enum Plan {
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
    fn of(
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
        let keep_alive = keep_alive::read(params.keep_alive.as_ref())?;
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

/// Answers a request for text.
pub(super) async fn create<R: TextRequest>(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Refused> {
    let (clock, begun) = (api.clock, api.clock.now());
    let headers = request.headers().clone();
    let view = api.pools().await?;
    let work = {
        let api = Arc::clone(&api);
        move |mut request: R| {
            let model = request.take_model();
            let named = names::find(&view, &model)?;
            let streams = request.streams();
            let content = request.take_content(named.pool)?;
            let plan = Plan::of(&api, content, request.into_params(), &named, &headers)?;
            Ok::<_, Refused>((plan, ResponseMeta { model, form: R::FORM, clock, begun }, streams))
        }
    };
    let (plan, meta, streams) = body::read_as(request, api.settings().body_bytes, work).await?;
    run(&api, plan, meta, streams).await
}

/// Answers a request whose plan is made.
async fn run(api: &Arc<Api>, plan: Plan, meta: ResponseMeta, streams: bool) -> Result<Response, Refused> {
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
