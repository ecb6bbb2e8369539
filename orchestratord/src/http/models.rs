//! Which models are served: reload with rollback, and the state of a model
//! (`contracts/openapi/control.yaml`).

use std::sync::Arc;

use api_types as wire;
use api_types::limits::reload_request as limits;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use config_schema::PoolModel;
use engine_api::redact::without_folders;
use http::StatusCode;
use model_store::ModelRef;
use orchestrator_core::PoolId;

use super::answer::{Refused, shown};
use super::task_request::check::{chars, no_nul};
use super::{Api, body, keep_alive};
use crate::backpressure::Refusal;
use crate::pool_protocol::{ReloadOrder, Rollback, RollbackCode};
use crate::protocol::StayChange;
use crate::state::ModelState;

type Name = Result<Path<String>, PathRejection>;

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// `POST /v1/pools/{id}/reload`
pub(super) async fn reload_pool(
    State(api): State<Arc<Api>>,
    name: Name,
    request: Request,
) -> Result<Response, Refused> {
    let pool = api.pool_in_path(name)?;
    let request: wire::ReloadRequest = body::read_json(request, api.settings().body_bytes).await?;
    let settings = api.settings();
    let present = settings.models.get(&pool).ok_or(Refusal::Internal)?;
    let model = model_of(&request.new_model_ref, present)?;
    let sha256 = request.sha256.map(|sum| checksum(&sum)).transpose()?;
    let order = ReloadOrder { model, sha256, options: None };
    let outcome = api.driver.reload(pool, order).await.map_err(|refusal| api.refuse(refusal))?;
    Ok(match outcome {
        Ok(model_ref) => {
            let status = wire::ReloadedStatus::Reloaded;
            (StatusCode::OK, Json(wire::Reloaded { status, model_ref })).into_response()
        }
        Err(rollback) => (StatusCode::CONFLICT, Json(rolled_back(rollback))).into_response(),
    })
}

/// `POST /v1/models/{id}/state`
pub(super) async fn set_model_state(
    State(api): State<Arc<Api>>,
    name: Name,
    request: Request,
) -> Result<Json<wire::ModelStatus>, Refused> {
    let pool = api.pool_in_path(name)?;
    let wire::ModelStateRequest { state, pinned, keep_alive } =
        body::read_json(request, api.settings().body_bytes).await?;
    let change = stay_change(state, pinned, keep_alive.as_ref())?;
    let wanted = match state {
        wire::ModelState::Active => ModelState::Active,
        wire::ModelState::Retired => ModelState::Retired,
    };
    api.driver.set_model_state(pool.clone(), wanted).await.map_err(|refusal| api.refuse(refusal))?;
    if let Some(change) = change {
        api.driver.set_model_stay(pool.clone(), change).await.map_err(|refusal| api.refuse(refusal))?;
    }
    Ok(Json(wire::ModelStatus { model_id: pool.to_string(), state }))
}

/// What a request changes in how long a model stays loaded.
fn stay_change(
    state: wire::ModelState,
    pinned: Option<bool>,
    keep_alive: Option<&serde_json::Value>,
) -> Result<Option<StayChange>, Refusal> {
    let keep_alive = keep_alive::read(keep_alive)?;
    if state == wire::ModelState::Retired {
        for (field, given) in [("pinned", pinned == Some(true)), ("keep_alive", keep_alive.is_some())] {
            if given {
                return Err(Refusal::Invalid(format!(
                    "`{field}` does not go with `state` `Retired`, which unloads the model: leave it out, or use `Active`"
                )));
            }
        }
        return Ok(None);
    }
    let any = pinned.is_some() || keep_alive.is_some();
    Ok(any.then_some(StayChange { keep_alive, pinned, load: pinned == Some(true) }))
}

impl Api {
    /// The pool that a path names.
    fn pool_in_path(&self, name: Name) -> Result<PoolId, Refusal> {
        let not_text = |_| Refusal::Invalid("the id in the path is not UTF-8: use a pool's name".to_owned());
        let Path(name) = name.map_err(not_text)?;
        let settings = self.settings();
        let pool = settings.models.keys().find(|pool| pool.as_str() == name);
        pool.cloned().ok_or_else(|| {
            let known: Vec<_> = settings.models.keys().map(PoolId::as_str).collect();
            Refusal::NotFound(format!(
                "there is no pool `{}`: there is `{}`",
                shown(name.as_bytes()),
                known.join("`, `")
            ))
        })
    }
}

/// What a caller names, as a pool with this model takes it. A path starts from the daemon's folder.
fn model_of(named: &str, present: &PoolModel) -> Result<PoolModel, Refusal> {
    chars("new_model_ref", named, limits::NEW_MODEL_REF_CHARS)?;
    no_nul(|| "new_model_ref", named)?;
    match present {
        PoolModel::Served(_) => Ok(PoolModel::Served(named.to_owned())),
        PoolModel::Reference(_) => match ModelRef::parse(named) {
            Ok(ModelRef::File(path)) => {
                let path = std::path::absolute(&path).unwrap_or(path);
                Ok(PoolModel::Reference(ModelRef::File(path)))
            }
            Ok(reference) => Ok(PoolModel::Reference(reference)),
            Err(invalid) => Err(Refusal::Invalid(format!(
                "`new_model_ref` is `{}`, which is not a model: {}; {}",
                shown(named.as_bytes()),
                invalid.reason,
                ModelRef::FORMS
            ))),
        },
    }
}

/// A SHA-256 in the form in which it is compared.
pub(super) fn checksum(given: &str) -> Result<String, Refusal> {
    if given.len() == SHA256_DIGITS && given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(given.to_ascii_lowercase());
    }
    let shown = shown(given.as_bytes());
    Err(Refusal::Invalid(format!("`sha256` is `{shown}`: use {SHA256_DIGITS} hexadecimal digits")))
}

fn rolled_back(rollback: Rollback) -> wire::RolledBack {
    let refused = rollback.refused();
    wire::RolledBack {
        status: if refused { wire::RollbackStatus::Refused } else { wire::RollbackStatus::Rollback },
        code: match rollback.code {
            RollbackCode::ModelUnavailable => wire::RollbackCode::ModelUnavailable,
            RollbackCode::ModelInvalid => wire::RollbackCode::ModelInvalid,
            RollbackCode::DoesNotFit => wire::RollbackCode::DoesNotFit,
            RollbackCode::SelfTestFailed => wire::RollbackCode::SelfTestFailed,
            RollbackCode::EngineFailed => wire::RollbackCode::EngineFailed,
            RollbackCode::ReloadInProgress => wire::RollbackCode::ReloadInProgress,
            RollbackCode::ModelRetired => wire::RollbackCode::ModelRetired,
            RollbackCode::Stopping => wire::RollbackCode::Stopping,
        },
        message: without_folders(&rollback.message),
    }
}
