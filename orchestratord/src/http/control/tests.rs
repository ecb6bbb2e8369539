use engine_api::EngineKind;
use orchestrator_core::{Millis, PoolId};

use super::*;

/// A pool without a replica, which fails to load for a `reason`.
fn pool(state: ModelState, reason: Option<&str>) -> PoolView {
    PoolView {
        id: PoolId::new("p").unwrap(),
        model_ref: "starter".to_owned(),
        engine: EngineKind::Llamacpp,
        state,
        unloaded: false,
        loading: false,
        reload: None,
        placement: Vec::new(),
        facts: None,
        lanes: Vec::new(),
        replicas: Vec::new(),
        fetch: None,
        reason: reason.map(str::to_owned),
        prediction_error: None,
    }
}

fn status(pools: Vec<PoolView>) -> HealthStatus {
    status_of(&HealthView { ready: false, stopping: false, uptime: Millis(1), pools })
}

/// ORCH-MODEL-13
#[test]
fn pools_that_are_retired_on_purpose_are_healthy_and_a_broken_one_beside_them_is_not() {
    let retired = || pool(ModelState::Retired, None);
    let broken = || pool(ModelState::Active, Some("there is no file"));
    assert_eq!(status(vec![retired(), retired()]), HealthStatus::Ok);
    assert_eq!(status(vec![retired(), broken()]), HealthStatus::Unavailable);
    assert_eq!(status(vec![retired(), pool(ModelState::Active, None)]), HealthStatus::Starting);
}
