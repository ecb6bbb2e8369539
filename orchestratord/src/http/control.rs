//! How the daemon is: `/health` for a person or a supervisor, `/metrics` for Prometheus
//! (`contracts/openapi/control.yaml`).
//!
//! Rules: ORCH-ERR-9, ORCH-PRED-2, ORCH-MODEL-8, ORCH-MODEL-13

use std::sync::Arc;

use api_types::{self as wire, Health, HealthStatus, PoolState, ReplicaState};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine_api::redact::without_folders;
use engine_api::{Device, EngineFacts};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use orchestrator_core::Priority;
use pool_manager::{Holding, Placement, Snapshot};

use super::Api;
use super::answer::{Refused, engine_on_the_wire};
use super::guard::Caller;
use crate::backpressure::Refusal;
use crate::health_view::{FetchView, HealthView, PoolView, ReloadStage, ReplicaView};
use crate::metrics::DeviceReading;
use crate::state::ModelState;

/// What the text format of the metrics is called.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// `GET /health`
pub(super) async fn get_health(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    // A driver that has ended leaves a daemon that is about to.
    let view = api.driver.health().await;
    let status = view.as_ref().map_or(HealthStatus::Stopping, status_of);
    let code = if status == HealthStatus::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = Health { status, version: None, build: None, pools: None, devices: None, ledger: None };
    if let (Caller::Owner, Some(view)) = (caller, view) {
        body.version = Some(env!("CARGO_PKG_VERSION").to_owned());
        body.build = Some(api.settings().build.clone());
        body.pools = Some(view.pools.iter().map(pool_of).collect());
        body.devices = Some(devices_of(&(api.devices)()));
        body.ledger = Some(api.holdings().await.iter().map(holding_of).collect());
    }
    (code, Json(body)).into_response()
}

impl Api {
    /// The ledger, measured anew.
    async fn holdings(&self) -> Vec<Holding> {
        let (ledger, snapshot) = (Arc::clone(&self.ledger), (self.devices)());
        let measured = tokio::task::spawn_blocking(move || {
            ledger.measure(|device, process| snapshot.process_memory(device, process));
        });
        if let Err(error) = measured.await {
            tracing::error!(%error, "the replicas' memory was not measured");
        }
        self.ledger.holdings()
    }
}

/// `GET /metrics`
pub(super) async fn get_metrics(State(api): State<Arc<Api>>) -> Result<Response, Refused> {
    let view = api.driver.health().await.ok_or(Refusal::Stopping)?;
    let text = api.metrics.encode(&view, &readings_of(&(api.devices)()));
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

fn status_of(view: &HealthView) -> HealthStatus {
    if view.stopping {
        HealthStatus::Stopping
    } else if view.ready {
        HealthStatus::Ok
    } else if view.pools.iter().all(|pool| state_of(pool) == PoolState::Retired) {
        // Somebody wants it so: nothing is broken that a restart would mend.
        HealthStatus::Ok
    } else if view.pools.iter().any(|pool| state_of(pool) == PoolState::Starting) {
        HealthStatus::Starting
    } else {
        HealthStatus::Unavailable
    }
}

fn state_of(pool: &PoolView) -> PoolState {
    let any = |state| pool.replicas.iter().any(|replica| replica_state_of(replica) == state);
    if pool.state == ModelState::Retired {
        PoolState::Retired
    } else if any(ReplicaState::Ready) {
        PoolState::Ready
    } else if pool.unloaded {
        PoolState::Unloaded
    } else if pool.loading
        || any(ReplicaState::Starting)
        || (pool.replicas.is_empty() && pool.reason.is_none())
    {
        PoolState::Starting
    } else {
        PoolState::Unavailable
    }
}

fn pool_of(pool: &PoolView) -> wire::Pool {
    let lane = |priority| {
        let lane = pool.lanes.iter().find(|lane| lane.priority == priority);
        lane.map_or(wire::Lane { depth: 0, bound: 0 }, |lane| wire::Lane {
            depth: lane.depth,
            bound: lane.bound,
        })
    };
    wire::Pool {
        id: pool.id.to_string(),
        model_ref: pool.model_ref.clone(),
        aliases: (!pool.aliases.is_empty()).then(|| pool.aliases.clone()),
        engine: engine_on_the_wire(pool.engine),
        state: state_of(pool),
        model_state: match pool.state {
            ModelState::Active => wire::ModelState::Active,
            ModelState::Retired => wire::ModelState::Retired,
        },
        reloading_to: pool.reload.as_ref().map(|reload| reload.to.clone()),
        reload: pool.reload.as_ref().map(|reload| reload_of(reload.stage)),
        placement: (!pool.placement.is_empty()).then(|| pool.placement.iter().map(placement_of).collect()),
        model: pool.facts.as_ref().map(model_of),
        reason: pool.reason.as_deref().map(without_folders),
        fetch: pool.fetch.map(fetch_of),
        pinned: pool.stay.pinned.then_some(true),
        unloads_in_ms: pool.stay.unloads_in.map(|left| left.0),
        prediction_error: pool.prediction_error,
        queue: wire::Queue { interactive: lane(Priority::Interactive), batch: lane(Priority::Batch) },
        replicas: pool.replicas.iter().map(replica_of).collect(),
    }
}

fn fetch_of(fetch: FetchView) -> wire::Fetch {
    wire::Fetch { done_bytes: fetch.done_bytes, total_bytes: fetch.total_bytes }
}

fn reload_of(stage: ReloadStage) -> wire::ReloadProgress {
    let at = |stage| wire::ReloadProgress { stage, fetch: None, load_progress: None };
    match stage {
        ReloadStage::Fetching(view) => {
            wire::ReloadProgress { fetch: view.map(fetch_of), ..at(wire::ReloadStage::Fetching) }
        }
        ReloadStage::Waiting => at(wire::ReloadStage::Waiting),
        ReloadStage::Loading(share) => {
            wire::ReloadProgress { load_progress: Some(share), ..at(wire::ReloadStage::Loading) }
        }
        ReloadStage::Testing => at(wire::ReloadStage::Testing),
    }
}

pub(super) fn placement_of(placement: &Placement) -> wire::Placement {
    wire::Placement {
        device: placement.device.to_string(),
        fits: placement.fits,
        needs_bytes: placement.needs_bytes,
        free_bytes: placement.free_bytes,
        ctx: placement.ctx.map(|ctx| ctx.0),
        why: without_folders(&placement.why),
    }
}

fn holding_of(holding: &Holding) -> wire::Holding {
    wire::Holding {
        device: holding.device.to_string(),
        replica: holding.replica.to_string(),
        expected_bytes: holding.expected_bytes,
        measured_bytes: holding.measured_bytes,
    }
}

fn model_of(facts: &EngineFacts) -> wire::ModelInfo {
    wire::ModelInfo {
        name: without_folders(&facts.model.name),
        architecture: facts.model.architecture.clone(),
        parameters: facts.model.parameters,
        size_bytes: facts.model.size_bytes,
        ctx_train: facts.model.ctx_train.0,
        chat_template: Some(facts.model.chat_template),
        images: Some(facts.abilities.images),
    }
}

fn replica_of(replica: &ReplicaView) -> wire::Replica {
    let facts = replica.facts.as_ref();
    wire::Replica {
        id: replica.id.to_string(),
        state: replica_state_of(replica),
        reason: replica.reason.as_deref().map(without_folders),
        load_progress: replica.load_progress,
        device: replica.device.clone(),
        engine_version: facts.map(|facts| facts.version.clone()),
        build: facts.map(|facts| facts.build.clone()),
        slots: facts.map(|facts| facts.slots.into()),
        slots_busy: replica.slots_busy.into(),
        ctx: facts.map(|facts| facts.ctx.0),
        kv_cells: facts.and_then(|facts| facts.kv_cells).map(|cells| cells.0),
        kv_cells_used: replica.kv_cells_used.map(|cells| cells.0),
        kv_ram_bytes: facts.map(|facts| facts.kv_ram_bytes),
        prefill_tokens_per_s: replica.prefill_tps,
        decode_tokens_per_s: replica.decode_tps,
    }
}

fn replica_state_of(replica: &ReplicaView) -> ReplicaState {
    match replica.state {
        "ready" => ReplicaState::Ready,
        "starting" => ReplicaState::Starting,
        "retiring" => ReplicaState::Retiring,
        "suspended" => ReplicaState::Suspended,
        "backing_off" => ReplicaState::BackingOff,
        _ => ReplicaState::Exited,
    }
}

/// The cards whose memory can be read, in the order in which they are numbered.
fn devices_of(snapshot: &Snapshot) -> Vec<wire::Device> {
    let cards = snapshot.devices.iter().filter_map(|reading| {
        let memory = reading.memory?;
        Some(wire::Device {
            id: reading.device.to_string(),
            name: reading.name.clone(),
            memory_total_bytes: memory.total_bytes,
            memory_used_bytes: memory.used_bytes,
            utilization: reading.utilization,
        })
    });
    cards.collect()
}

fn readings_of(snapshot: &Snapshot) -> Vec<DeviceReading> {
    let cards = snapshot.devices.iter().filter_map(|reading| match &reading.device {
        Device::Gpu { uuid, .. } => Some(DeviceReading {
            uuid: uuid.clone(),
            utilization: reading.utilization?,
            used_bytes: reading.memory?.used_bytes,
        }),
        Device::Cpu => None,
    });
    cards.collect()
}

#[cfg(test)]
mod tests;
