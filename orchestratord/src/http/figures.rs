//! `GET /v1/figures`: the last hours, as the driver has kept them (`contracts/openapi/control.yaml`).
//!
//! Rules: ORCH-FIG-1

use std::sync::Arc;

use api_types::{DeviceFigures, Figures, FiguresMinute, PoolFigures};
use axum::Json;
use axum::extract::State;
use orchestrator_core::PoolId;

use super::Api;
use super::answer::Refused;
use crate::driver::{DeviceMinute, HISTORY_STEP, MinuteView, PoolMinute};

/// `GET /v1/figures`
pub(super) async fn get_figures(State(api): State<Arc<Api>>) -> Result<Json<Figures>, Refused> {
    let view = api.driver.figures().await.map_err(|refusal| api.refuse(refusal))?;
    let step_ms = u64::try_from(HISTORY_STEP.as_millis()).expect("a minute has few milliseconds");
    Ok(Json(Figures { step_ms, minutes: view.minutes.iter().map(minute_of).collect() }))
}

fn minute_of(minute: &MinuteView) -> FiguresMinute {
    FiguresMinute {
        age_ms: minute.age.0,
        pools: minute.pools.iter().map(pool_of).collect(),
        devices: minute.devices.iter().map(device_of).collect(),
    }
}

fn pool_of((pool, minute): &(PoolId, PoolMinute)) -> PoolFigures {
    PoolFigures {
        pool: pool.to_string(),
        tokens_in: minute.tokens_in,
        tokens_out: minute.tokens_out,
        started: minute.started,
        ended: minute.ended,
        failed: minute.failed,
        waited_ms: minute.waited.0,
        longest_wait_ms: minute.longest_wait.0,
        prediction_error: minute.prediction_error,
    }
}

fn device_of(device: &DeviceMinute) -> DeviceFigures {
    DeviceFigures {
        device: device.device.clone(),
        memory_used_bytes: device.used_bytes,
        memory_total_bytes: device.total_bytes,
    }
}
