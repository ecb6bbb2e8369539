//! The models of this machine and those on their way to it (`contracts/openapi/control.yaml`).
//!
//! Rules: ORCH-CON-13, ORCH-DEV-11, ORCH-MODEL-14

use std::sync::Arc;

use api_types::limits::store_fetch_request as limits;
use api_types::{self as wire, StoreFetch, StoreFetchRequest, StoreFetchState, StoredModel};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use config_schema::PoolConfig;
use engine_api::redact::without_folders;
use http::StatusCode;
use model_store::{Extent, ModelRef};
use orchestrator_core::PoolId;

use super::answer::{Refused, shown};
use super::control::placement_of;
use super::models::checksum;
use super::task_request::check::{chars, no_nul};
use super::{Api, HttpSettings, body};
use crate::backpressure::Refusal;
use crate::model_fit::FitError;
use crate::model_folder::{FETCHES_MAX, Fetch, FetchState, StoredFile};

/// `GET /v1/store`
pub(super) async fn get_store(State(api): State<Arc<Api>>) -> Result<Json<wire::Store>, Refused> {
    let view = api.driver.health().await.ok_or(Refusal::Stopping)?;
    let pools =
        view.pools.iter().map(|pool| (pool.id.to_string(), pool.model_ref.clone())).collect::<Vec<_>>();
    let folder = Arc::clone(&api.models);
    let looking = tokio::task::spawn_blocking(move || folder.files(&pools));
    let found = looking.await.map_err(|_| Refusal::Internal)?;
    let reason = found
        .as_ref()
        .err()
        .map(|error| without_folders(&format!("the models folder cannot be read: {error}")));
    let models = found.unwrap_or_default().iter().map(model_of).collect();
    Ok(Json(wire::Store { models, fetches: api.models.fetches().iter().map(fetch_of).collect(), reason }))
}

/// `POST /v1/store/fetches`
pub(super) async fn create_fetch(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<(StatusCode, Json<StoreFetch>), Refused> {
    let request: StoreFetchRequest = body::read_json(request, api.settings().body_bytes).await?;
    let model = fetchable(&request.model_ref)?;
    let sha256 = request.sha256.map(|sum| checksum(&sum)).transpose()?;
    let id = api.models.fetch(model, sha256).map_err(|_| {
        Refusal::Invalid(format!(
            "{FETCHES_MAX} models are being fetched already: cancel one of them, or wait"
        ))
    })?;
    let fetches = api.models.fetches();
    let fetch = fetches.iter().find(|fetch| fetch.id == id).ok_or(Refusal::Internal)?;
    Ok((StatusCode::ACCEPTED, Json(fetch_of(fetch))))
}

/// `POST /v1/store/fit`
pub(super) async fn create_fit(
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Json<wire::ModelFit>, Refused> {
    let request: wire::ModelFitRequest = body::read_json(request, api.settings().body_bytes).await?;
    let model = model_reference(&request.model_ref)?;
    let given = shown(request.model_ref.as_bytes());
    let settings = api.settings();
    let pool = request.pool.as_deref().map(|name| pool_of(&settings, name)).transpose()?;
    let fit = api.fit.of(&model, pool).await.map_err(|error| match error {
        FitError::Missing => Refusal::Invalid(format!(
            "`model_ref` is `{given}`, and there is no file of it on this machine: fetch it first"
        )),
        FitError::Engine(error) => {
            tracing::info!(%model, %error, "a model cannot be looked at");
            Refusal::Invalid(format!("`model_ref` is `{given}`: {}", without_folders(&error.to_string())))
        }
    })?;
    let placement = fit.placements.iter().map(placement_of).collect();
    Ok(Json(wire::ModelFit { model_ref: model.to_string(), placement, never: fit.never }))
}

/// The options of a pool that the built-in engine serves.
fn pool_of<'s>(settings: &'s HttpSettings, name: &str) -> Result<&'s PoolConfig, Refusal> {
    let pool = PoolId::new(name).ok().and_then(|id| settings.pools.get(&id));
    let given = shown(name.as_bytes());
    let pool =
        pool.ok_or_else(|| Refusal::Invalid(format!("`pool` is `{given}`, and there is no such pool")))?;
    if pool.server.is_some() {
        return Err(Refusal::Invalid(format!(
            "`pool` is `{given}`, which a server of its own serves: only that server knows what it needs"
        )));
    }
    Ok(pool)
}

/// `DELETE /v1/store/fetches/{id}`
pub(super) async fn delete_fetch(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Refused> {
    let given = id.map(|Path(id)| id).unwrap_or_default();
    let unknown = || Refusal::NotFound(format!("there is no fetch `{}`", shown(given.as_bytes())));
    let id = given.parse().map_err(|_| unknown())?;
    if api.models.cancel(id) { Ok(StatusCode::NO_CONTENT) } else { Err(unknown().into()) }
}

/// What a caller names, as far as it can be fetched.
fn fetchable(named: &str) -> Result<ModelRef, Refusal> {
    match model_reference(named)? {
        ModelRef::File(_) => Err(Refusal::Invalid(format!(
            "`model_ref` is `{}`, a file of this machine: there is nothing to fetch; a reload serves it",
            shown(named.as_bytes())
        ))),
        model => Ok(model),
    }
}

/// The model that a caller names.
fn model_reference(named: &str) -> Result<ModelRef, Refusal> {
    chars("model_ref", named, limits::MODEL_REF_CHARS)?;
    no_nul(|| "model_ref", named)?;
    ModelRef::parse(named).map_err(|invalid| {
        Refusal::Invalid(format!(
            "`model_ref` is `{}`, which is not a model: {}; {}",
            shown(named.as_bytes()),
            invalid.reason,
            ModelRef::FORMS
        ))
    })
}

fn model_of(stored: &StoredFile) -> StoredModel {
    let StoredFile { file, pools } = stored;
    let name = file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (complete, total_bytes) = match file.extent {
        Extent::Whole => (true, Some(file.bytes)),
        Extent::Part { total } => (false, total),
    };
    StoredModel {
        model_ref: file.model.to_string(),
        name,
        bytes: file.bytes,
        total_bytes,
        complete,
        pools: pools.clone(),
    }
}

fn fetch_of(fetch: &Fetch) -> StoreFetch {
    StoreFetch {
        id: fetch.id,
        model_ref: fetch.model.to_string(),
        state: match fetch.state {
            FetchState::Waiting => StoreFetchState::Waiting,
            FetchState::Fetching => StoreFetchState::Fetching,
            FetchState::Checking => StoreFetchState::Checking,
            FetchState::Done => StoreFetchState::Done,
            FetchState::Failed => StoreFetchState::Failed,
            FetchState::Canceled => StoreFetchState::Canceled,
        },
        done_bytes: fetch.done_bytes,
        total_bytes: fetch.total_bytes,
        message: fetch.message.clone(),
    }
}
