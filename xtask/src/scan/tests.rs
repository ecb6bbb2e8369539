use std::path::{Path, PathBuf};

use super::*;

/// Every banned thing as it would come back: the rule that must find it, a file, a line of it.
const PLANTED: &[(&str, &str, &str)] = &[
    ("pool drains", "contracts/openapi/control.yaml", "  /v1/pools/{id}/drain:"),
    ("pool drains", "src/pool.rs", "let gone: Vec<_> = waiting.drain(..).collect();"),
    ("pool drains", "src/pool.rs", "async fn drain_pool() {}"),
    ("pool drains", "README.md", "Draining a pool takes a while."),
    ("artifact registry", "contracts/openapi/control.yaml", "  /v1/artifacts/{id}:"),
    ("artifact registry", "README.md", "Models are kept in an artifact registry."),
    ("replica sets", "contracts/openapi/control.yaml", "  /v1/replicasets:"),
    ("replica sets", "src/http.rs", "struct ReplicaSet;"),
    ("capabilities endpoint", "src/http.rs", r#".route("/v1/capabilities", get(list))"#),
    ("change data capture", "contracts/openapi/control.yaml", "  /v1/cdc:"),
    ("change data capture", "README.md", "A CDC feed follows the catalog."),
    ("correlation ids", "src/http.rs", r#"headers.insert("X-Correlation-Id", id);"#),
    ("correlation ids", "src/http.rs", "let correlation_id = Uuid::new_v4();"),
    ("policy labels", "src/backpressure.rs", "policy_label: String,"),
    ("SSE event metrics", "contracts/openapi/data.yaml", "            event: metrics"),
    ("SSE event metrics", "src/http.rs", r#"Event::default().event("metrics")"#),
    ("SSE event metrics", "src/http.rs", "StreamEvent::Metrics(frame) => {}"),
    ("SSE event metrics", "contracts/openapi/data.yaml", "enum: [started, token, metrics, end]"),
    ("fairness", "src/config.rs", "pub struct FairnessConfig;"),
    ("fairness", "src/queue.rs", "// WFQ between the lanes"),
    ("fairness", "src/metrics.rs", "admission_share"),
    ("tenants", "src/config.rs", "pub tenant: String,"),
    ("quotas", "src/config.rs", "pub quotas: Vec<Limit>,"),
    ("roles and rights", "README.md", "RBAC is planned."),
    ("deadline scheduling", "src/queue.rs", "/// EDF order."),
    ("deadline scheduling", "src/queue.rs", "earliest deadline first"),
    ("deadline scheduling", "src/metrics.rs", "deadlines_met_ratio"),
    ("deadline scheduling", "contracts/openapi/data.yaml", "        deadline_ms: {type: integer}"),
    ("preemption", "src/config.rs", "pub struct PreemptionConfig;"),
    ("preemption", "src/queue.rs", "fn preempt(&mut self) {}"),
    ("preemption", "src/metrics.rs", "preemptions_total"),
    ("resumption of work", "src/metrics.rs", "resumptions_total"),
    ("lifecycle states", "src/state.rs", r#"code: "MODEL_DEPRECATED","#),
    ("lifecycle states", "src/state.rs", "    Draft,"),
    ("lifecycle states", "src/state.rs", "ModelState::Deprecated => refuse(),"),
    ("lifecycle states", "contracts/openapi/control.yaml", "          enum: ['Active', 'Canary', 'Retired']"),
    ("lifecycle states", "README.md", "A model is Active|Deprecated|Retired."),
    ("canaries", "src/pool.rs", "let canary_percent = 5;"),
    ("rollouts", "README.md", "A percent rollout takes an hour."),
    ("enforced signatures", "src/models.rs", "if config.require_signature {}"),
    ("enforced signatures", "config.yaml", "require_sbom: true"),
    ("fairness", "src/queue.rs", "/// Each client's fair share."),
    ("tenants", "README.md", "Multi-tenancy is planned."),
    ("quotas", "config.yaml", "quota_tokens_per_day: 100"),
    ("deadline scheduling", "src/http.rs", r#"headers.get("X-Deadline")"#),
    ("enforced signatures", "README.md", "Every model has an SBOM."),
    ("topology hints", "config.yaml", "topology: auto"),
    ("tensor splits", "config.yaml", "tensor_split: [0.5, 0.5]"),
    ("tensor splits", "src/engine.rs", r#"args.push("--tensor-split");"#),
    ("NUMA hints", "config.yaml", "numa: distribute"),
    ("NUMA hints", "src/config.rs", "pub numa_node: u8,"),
    ("PCIe hints", "src/config.rs", "pub pcie_lanes: u8,"),
    ("PCIe hints", "README.md", "A PCIe hint picks the card."),
    ("latency histograms", "src/telemetry.rs", "use prometheus_client::metrics::histogram::Histogram;"),
    ("latency histograms", "README.md", "`latency_first_token_ms` is a histogram"),
    ("latency histograms", "README.md", "rate(latency_decode_bucket[5m])"),
    ("metric percentiles", "ci/metrics.lint.json", r#""labels": ["engine", "quantile"]"#),
    ("metric percentiles", "src/metrics.rs", r#"("p95", self.p95),"#),
    ("metric percentiles", "ci/dashboards/home.json", "latency_ms"),
    ("bind beyond loopback", "src/config.rs", r#"const DEFAULT_LISTEN: &str = "0.0.0.0:6173";"#),
    ("bind beyond loopback", "src/main.rs", r#"let listener = TcpListener::bind("0.0.0.0:6173").await?;"#),
    ("bind beyond loopback", "src/config.rs", r#"listen.unwrap_or("0.0.0.0:6173".into())"#),
    ("bind beyond loopback", ".docs/examples/home.yaml", "listen: 0.0.0.0:6173"),
    ("bind beyond loopback", "compose.yaml", "      LLAMA_ORCH_LISTEN: '0.0.0.0:6173'"),
];

/// Lines that come close to a banned thing and are none.
const FINE: &[(&str, &str)] = &[
    ("src/shutdown.rs", "/// One deadline for the whole shutdown."),
    ("src/shutdown.rs", "let shutdown_deadline_ms = 10_000;"),
    ("src/store.rs", "std::io::ErrorKind::QuotaExceeded => disk_full(),"),
    ("src/store.rs", "// A download that broke off is resumed where it ended."),
    ("src/queue.rs", "let rest = std::mem::take(&mut self.waiting);"),
    ("src/state.rs", "enum ModelState { Active, Retired }"),
    ("src/http.rs", r#".route("/metrics", get(metrics))"#),
    ("src/http.rs", r#"Event::default().event("started")"#),
    ("contracts/openapi/data.yaml", "      deprecated: true"),
    ("README.md", "Draft text, training data and numbers are fine; so is a metrics endpoint."),
    ("README.md", "An explicit `LLAMA_ORCH_LISTEN=0.0.0.0:6173` logs a warning."),
    (".docs/examples/home.yaml", "# listen: 0.0.0.0:6173   # every interface; keep the token secret"),
    ("src/config.rs", r#"assert!(warns_about("0.0.0.0:6173"));"#),
    ("src/predict.rs", "/// P90 coverage of the prediction, and its p50."),
    ("bench/report.rs", "latency_us: added first token, p50 and p99"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn plant(folder: &Path, file: &str, line: &str) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("first\n{line}\nlast\n")).unwrap();
}

/// HOME-API-1, HOME-API-2, HOME-API-3, HOME-API-4, HOME-API-5, HOME-API-6, HOME-SCHED-1, HOME-SCHED-2,
/// HOME-SCHED-3, HOME-SCHED-4, HOME-MODEL-1, HOME-MODEL-2, HOME-PLACE-1, HOME-MET-1, HOME-BIND-1,
/// HOME-SCAN-1
#[test]
fn every_banned_thing_is_found_with_its_file_line_and_rule() {
    let tree = tempfile::tempdir().unwrap();
    for (number, (_, file, line)) in PLANTED.iter().enumerate() {
        plant(tree.path(), &format!("{number}/{file}"), line);
    }
    let found = find(&root(), tree.path()).unwrap();
    for (number, (rule, file, line)) in PLANTED.iter().enumerate() {
        let expected = format!("{number}/{file}:2: [{rule}] ");
        assert!(
            found.iter().any(|hit| hit.starts_with(&expected)),
            "{line:?} in {file} went unseen by `{rule}`"
        );
    }
}

/// HOME-SCAN-1
#[test]
fn what_only_comes_close_is_left_alone() {
    let tree = tempfile::tempdir().unwrap();
    for (number, (file, line)) in FINE.iter().enumerate() {
        plant(tree.path(), &format!("{number}/{file}"), line);
    }
    assert_eq!(find(&root(), tree.path()).unwrap(), Vec::<String>::new());
}

/// HOME-SCAN-1
#[test]
fn build_output_and_lock_files_are_not_read() {
    let tree = tempfile::tempdir().unwrap();
    for file in [
        "target/debug/out.rs",
        "tools/x/target/notes.md",
        ".git/config",
        "Cargo.lock",
        "web/package-lock.json",
    ] {
        plant(tree.path(), file, "tenant drain quota");
    }
    assert_eq!(find(&root(), tree.path()).unwrap(), Vec::<String>::new());
    plant(tree.path(), "targets/notes.md", "tenant");
    assert_eq!(find(&root(), tree.path()).unwrap().len(), 1, "only a folder named `target` is left out");
}

/// HOME-SCAN-1
#[test]
fn a_document_that_states_the_ban_is_exempt_and_its_neighbour_is_not() {
    let tree = tempfile::tempdir().unwrap();
    for file in [".docs/HOME_PROFILE.md", ".specs/00_home_profile.md", concat!("TO", "DO.md")] {
        plant(tree.path(), file, "No tenants.");
    }
    plant(tree.path(), ".docs/SOMETHING_ELSE.md", "No tenants.");
    assert_eq!(find(&root(), tree.path()).unwrap(), [".docs/SOMETHING_ELSE.md:2: [tenants] No tenants."]);
}

#[test]
fn a_checkout_is_read_without_what_git_ignores() {
    let tree = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        assert!(Command::new("git").args(args).current_dir(tree.path()).output().unwrap().status.success());
    };
    git(&["init", "--quiet"]);
    plant(tree.path(), ".gitignore", "/scratch");
    plant(tree.path(), "scratch/notes.md", "tenant");
    assert_eq!(find(&root(), tree.path()).unwrap(), Vec::<String>::new());
    plant(tree.path(), "new file.md", "tenant");
    assert_eq!(find(&root(), tree.path()).unwrap(), ["new file.md:2: [tenants] tenant"]);
}
