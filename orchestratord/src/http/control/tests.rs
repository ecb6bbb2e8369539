use orchestrator_core::Millis;

use super::*;

/// A pool without a replica, which fails to load for a `reason`.
fn pool(state: ModelState, reason: Option<&str>) -> PoolView {
    PoolView { state, reason: reason.map(str::to_owned), ..PoolView::empty("p", "starter") }
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

/// ORCH-ERR-9
#[test]
fn health_names_files_without_their_folders() {
    let mut view = pool(ModelState::Active, Some("there is no file `/home/me/models/m.gguf`"));
    view.placement.push(Placement {
        device: Device::Cpu,
        fits: false,
        needs_bytes: None,
        free_bytes: None,
        ctx: None,
        why: "`/home/me/models/m.gguf` cannot be read".to_owned(),
    });
    view.replicas.push(ReplicaView {
        id: orchestrator_core::ReplicaId { pool: view.id.clone(), index: 0 },
        state: "backing_off",
        reason: Some("the engine ended: /opt/engine/run.sh: exit code 1".to_owned()),
        load_progress: None,
        device: "cpu".to_owned(),
        device_uuid: None,
        facts: None,
        slots_busy: 0,
        kv_cells_used: None,
        decode_tps: None,
        prefill_tps: None,
    });
    let shown = serde_json::to_string(&pool_of(&view)).unwrap();
    assert!(!shown.contains("/home") && !shown.contains("/opt"), "{shown}");
    assert!(shown.contains("there is no file `m.gguf`") && shown.contains("run.sh: exit code 1"), "{shown}");
}
