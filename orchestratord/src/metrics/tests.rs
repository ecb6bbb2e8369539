use adapter_api::EngineKind;
use orchestrator_core::{Millis, PoolId, ReplicaId};

use super::*;
use crate::handle::LaneView;

fn health() -> HealthView {
    let id = PoolId::new("p").unwrap();
    let replica = ReplicaView {
        id: ReplicaId { pool: id.clone(), index: 0 },
        state: "ready",
        reason: None,
        load_progress: None,
        device: "gpu0".into(),
        device_uuid: Some("GPU-1".into()),
        facts: None,
        slots_busy: 0,
        decode_tps: None,
        prefill_tps: None,
    };
    let pool = PoolView {
        id,
        model_ref: "starter".into(),
        engine: EngineKind::Llamacpp,
        lanes: vec![LaneView { priority: Priority::Batch, depth: 3, bound: 9 }],
        replicas: vec![replica],
        fetch: None,
        reason: None,
        prediction_error: None,
    };
    HealthView { ready: true, stopping: false, uptime: Millis(1), pools: vec![pool] }
}

const LABEL: PoolLabel<'static> = PoolLabel { engine: "llamacpp", engine_version: "7", pool_id: "p" };

#[test]
fn the_registry_holds_the_home_set_and_nothing_else() {
    let metrics = Metrics::new();
    // A series that has never moved is not shown, so each moves once.
    metrics.task_enqueued(&LABEL, Priority::Interactive);
    metrics.task_rejected("llamacpp", Code::AdmissionReject);
    metrics.tokens(&LABEL, "p/0", 1, 1);
    let reading = DeviceReading { uuid: "GPU-1".into(), utilization: 0.5, used_bytes: 11 };
    let text = metrics.encode(&health(), &[reading]);
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    names.sort_unstable();
    let home = [
        "gpu_utilization",
        "queue_depth",
        "tasks_enqueued",
        "tasks_rejected",
        "tokens_in",
        "tokens_out",
        "vram_used_bytes",
    ];
    assert_eq!(names, home);
}

#[test]
fn each_counter_moves_once_an_event_under_its_labels() {
    let metrics = Metrics::new();
    metrics.task_enqueued(&LABEL, Priority::Interactive);
    metrics.task_rejected("llamacpp", Code::AdmissionReject);
    metrics.tokens(&LABEL, "p/0", 7, 9);
    let reading = DeviceReading { uuid: "GPU-1".into(), utilization: 0.5, used_bytes: 11 };
    let text = metrics.encode(&health(), &[reading]);
    for line in [
        r#"tasks_enqueued_total{engine="llamacpp",engine_version="7",pool_id="p",replica_id="",priority="interactive"} 1"#,
        r#"tasks_rejected_total{engine="llamacpp",reason="ADMISSION_REJECT"} 1"#,
        r#"tokens_in_total{engine="llamacpp",engine_version="7",pool_id="p",replica_id="p/0"} 7"#,
        r#"tokens_out_total{engine="llamacpp",engine_version="7",pool_id="p",replica_id="p/0"} 9"#,
        r#"queue_depth{engine="llamacpp",engine_version="",pool_id="p",priority="batch"} 3"#,
        r#"gpu_utilization{engine="llamacpp",engine_version="",pool_id="p",replica_id="p/0",device="gpu0"} 0.5"#,
        r#"vram_used_bytes{engine="llamacpp",engine_version="",pool_id="p",replica_id="p/0",device="gpu0"} 11"#,
    ] {
        assert!(text.lines().any(|have| have == line), "missing {line} in\n{text}");
    }
}

#[test]
fn without_a_card_there_is_no_device_series() {
    let metrics = Metrics::new();
    let text = metrics.encode(&health(), &[]);
    assert!(!text.contains("gpu_utilization{"), "{text}");
}
