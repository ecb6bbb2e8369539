//! `GET /v1/models`: what can be named in `model`. Each pool in service is there under the reference of its
//! model, or under its own name where several serve the same; and once more for the batch lane, since some
//! clients offer only what is listed.
//!
//! Rules: ORCH-OAI-2

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::routing::BATCH_SUFFIX;
use super::unix_now;
use crate::backpressure::Refusal;
use crate::health_view::{HealthView, PoolView};
use crate::http::Api;
use crate::http::answer::{Refused, shown};
use crate::state::ModelState;

/// All models.
#[derive(Debug, Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// The pool that serves it.
    pool: String,
    /// Tokens of context of a slot, once an engine has told.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<u32>,
}

/// Lists the models.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<List>, Refused> {
    Ok(Json(List { object: "list", data: api.models().await? }))
}

/// One of the list.
pub(super) async fn retrieve(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Refused> {
    let not_text = |_| Refusal::Invalid("the id in the path is not UTF-8: use a model's".to_owned());
    let Path(id) = id.map_err(not_text)?;
    let models = api.models().await?;
    let known: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    let unknown = || {
        let (id, known) = (shown(id.as_bytes()), known.join("`, `"));
        Refusal::NotFound(format!("`model` is `{id}`, which is not served here: there is `{known}`"))
    };
    let permit = known.iter().position(|known| *known == id).ok_or_else(unknown)?;
    let model = models.into_iter().nth(permit).ok_or(Refusal::Internal)?;
    Ok(Json(model))
}

impl Api {
    async fn models(&self) -> Result<Vec<Model>, Refusal> {
        let view = self.driver.health().await.ok_or(Refusal::Stopping)?;
        let started = unix_now().saturating_sub(view.uptime.0 / 1000);
        let served = view.pools.iter().filter(|pool| pool.state == ModelState::Active);
        Ok(served.flat_map(|pool| both_lanes(&view, pool, started)).collect())
    }
}

fn both_lanes(view: &HealthView, pool: &PoolView, created: u64) -> [Model; 2] {
    let alike = view.pools.iter().filter(|other| other.model_ref == pool.model_ref).count();
    let name = if alike > 1 { pool.id.as_str() } else { &pool.model_ref };
    ["", BATCH_SUFFIX].map(|suffix| Model {
        id: format!("{name}{suffix}"),
        object: "model",
        created,
        owned_by: "llama-orch",
        pool: pool.id.to_string(),
        max_model_len: pool.facts.as_ref().map(|facts| facts.ctx.0),
    })
}
