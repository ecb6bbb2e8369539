//! `GET /v1/log`: the last lines of the log (`contracts/openapi/control.yaml`).
//!
//! Rules: ORCH-LOG-1

use std::sync::Arc;

use api_types as wire;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::Api;
use super::answer::Refused;
use crate::backpressure::Refusal;
use crate::log_ring::{LINES_MAX, LogPage};

/// How many lines are sent unless the caller says otherwise.
const LINES_DEFAULT: usize = 50;

/// Which lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    from: Option<u64>,
    lines: Option<usize>,
}

/// `GET /v1/log`
pub(super) async fn get_log(
    State(api): State<Arc<Api>>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<wire::LogPage>, Refused> {
    let Query(query) = query.map_err(|rejection| {
        Refusal::Invalid(format!(
            "the query of `/v1/log`: {}: it takes `from`, the number of a line, and `lines`, 1 to {LINES_MAX}",
            rejection.body_text()
        ))
    })?;
    let count = match query.lines.unwrap_or(LINES_DEFAULT) {
        count @ 1..=LINES_MAX => count,
        count => {
            return Err(Refusal::Invalid(format!("`lines` is {count}: use 1 to {LINES_MAX}")).into());
        }
    };
    let LogPage { first, lines } = api.log.page(query.from, count);
    Ok(Json(wire::LogPage { first, lines }))
}
