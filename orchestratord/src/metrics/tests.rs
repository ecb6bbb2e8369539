use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{Millis, PoolId, ReplicaId};
use serde::Deserialize;

use super::*;
use crate::health_view::{LaneView, ReplicaView};

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
        kv_cells_used: None,
        decode_tps: None,
        prefill_tps: None,
    };
    let pool = PoolView {
        lanes: vec![LaneView { priority: Priority::Batch, depth: 3, bound: 9 }],
        replicas: vec![replica],
        ..PoolView::empty("p", "starter")
    };
    HealthView { ready: true, stopping: false, uptime: Millis(1), pools: vec![pool] }
}

fn labels() -> PoolLabels {
    PoolLabels { engine: "llamacpp", engine_version: "7".to_owned(), pool_id: "p".to_owned() }
}

/// A metric as the lint file lists it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    r#type: String,
    labels: BTreeSet<String>,
    #[serde(default)]
    label_values: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lint {
    /// The rules that it holds.
    #[serde(rename = "$comment")]
    _comment: String,
    metrics: Vec<Listed>,
}

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

/// The metrics of an exposition that has a series of each, by their series' name.
fn exposed(text: &str) -> BTreeMap<String, Shape> {
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let series = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let labels =
            text.lines().find_map(|line| line.strip_prefix(&series)?.strip_prefix('{')?.split_once('}'));
        let (labels, _) = labels.unwrap_or_else(|| panic!("no series of {series} in\n{text}"));
        let labels =
            labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect();
        metrics.insert(series, (kind.to_owned(), labels));
    }
    metrics
}

/// HOME-MET-1, ORCH-MET-1
#[test]
fn the_registry_holds_what_the_lint_file_lists_and_nothing_else() {
    let lint = include_str!("../../../ci/metrics.lint.json");
    let lint: Lint = serde_json::from_str(lint).unwrap();
    let listed = lint.metrics.len();
    let lint: BTreeMap<String, Listed> =
        lint.metrics.into_iter().map(|metric| (metric.name.clone(), metric)).collect();
    assert_eq!(lint.len(), listed, "a name is listed twice");

    let metrics = Metrics::new();
    // A series that has never moved is not shown, so each moves once.
    metrics.task_enqueued(&labels(), Priority::Interactive);
    metrics.task_rejected("llamacpp", Code::AdmissionReject);
    metrics.tokens(&labels(), "p/0", 1, 1);
    let reading = DeviceReading { uuid: "GPU-1".into(), utilization: 0.5, used_bytes: 11 };
    let text = metrics.encode(&health(), &[reading]);
    let live = exposed(&text);

    for (name, (kind, labels)) in &live {
        let listed = lint.get(name).unwrap_or_else(|| panic!("`{name}` is not listed"));
        assert_eq!((&listed.r#type, &listed.labels), (kind, labels), "{name}");
        for (label, values) in &listed.label_values {
            let given = format!("{name}{{");
            for line in text.lines().filter(|line| line.starts_with(&given)) {
                let is_listed = values.iter().any(|value| line.contains(&format!("{label}=\"{value}\"")));
                assert!(is_listed, "{line} has another `{label}` than {values:?}");
            }
        }
    }
    for metric in lint.values().filter(|metric| !metric.optional) {
        assert!(live.contains_key(&metric.name), "`{}` is listed and not there", metric.name);
    }
}

/// ORCH-MET-2
#[test]
fn each_counter_moves_once_an_event_under_its_labels() {
    let metrics = Metrics::new();
    metrics.task_enqueued(&labels(), Priority::Interactive);
    metrics.task_rejected("llamacpp", Code::AdmissionReject);
    metrics.tokens(&labels(), "p/0", 7, 9);
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

/// ORCH-MET-3
#[test]
fn without_a_card_there_is_no_device_series() {
    let metrics = Metrics::new();
    let text = metrics.encode(&health(), &[]);
    assert!(!text.contains("gpu_utilization{"), "{text}");
}

/// ORCH-CONF-11
#[test]
fn the_series_of_a_pool_that_is_gone_end_and_those_of_others_go_on() {
    let metrics = Metrics::new();
    let newer = PoolLabels { engine_version: "8".to_owned(), ..labels() };
    let other = PoolLabels { pool_id: "q".to_owned(), ..labels() };
    for labels in [&labels(), &newer, &other] {
        metrics.task_enqueued(labels, Priority::Batch);
        metrics.tokens(labels, &format!("{}/0", labels.pool_id), 1, 1);
    }
    metrics.forget_pool("p");
    let health = HealthView { pools: Vec::new(), ..health() };
    let text = metrics.encode(&health, &[]);
    assert!(!text.contains("pool_id=\"p\""), "{text}");
    assert_eq!(text.matches("pool_id=\"q\"").count(), 3, "{text}");
}
