//! The dashboard and the rules speak of the HOME metrics and their labels, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use crate::{check, file, here, root};

/// What PromQL itself says, and Grafana's variables.
const WORDS: [&str; 14] = [
    "sum",
    "max",
    "min",
    "avg",
    "rate",
    "by",
    "on",
    "and",
    "or",
    "unless",
    "without",
    "ignoring",
    "label_values",
    "bool",
];

/// The metrics of the lint list with their labels, and the one that Prometheus makes of each target.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ci/metrics.lint.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let metrics = list["metrics"].as_array().unwrap().iter().map(|metric| {
        let labels =
            metric["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned());
        (metric["name"].as_str().unwrap().to_owned(), labels.collect())
    });
    let up = ("up".to_owned(), BTreeSet::from(["job".to_owned(), "instance".to_owned()]));
    metrics.chain([up]).collect()
}

/// The metrics and the labels that an expression speaks of.
fn spoken_of(expression: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let strings = Regex::new(r#""[^"]*""#).unwrap();
    let plain = strings.replace_all(expression, "").into_owned();
    let name = Regex::new(r"[a-zA-Z_][a-zA-Z0-9_]*").unwrap();
    let mut labels = BTreeSet::new();
    let groups = Regex::new(
        r"\{([^}]*)\}|\b(?:by|on|without|ignoring)\s*\(([^)]*)\)|label_values\(\s*\w+\s*,\s*(\w+)\s*\)",
    )
    .unwrap();
    for group in groups.captures_iter(&plain) {
        let inside = (1..4).find_map(|part| group.get(part)).unwrap().as_str();
        labels.extend(name.find_iter(inside).map(|label| label.as_str().to_owned()));
    }
    let rest =
        Regex::new(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)|,\s*\w+\s*\)|\$\w+")
            .unwrap();
    let rest = rest.replace_all(&plain, " ").into_owned();
    let metrics = name.find_iter(&rest).map(|word| word.as_str().to_owned());
    (metrics.filter(|word| !WORDS.contains(&word.as_str())).collect(), labels)
}

fn hold(expression: &str, of: &str) -> usize {
    let known = known();
    let (metrics, labels) = spoken_of(expression);
    assert!(!metrics.is_empty(), "{of}: `{expression}` speaks of no metric");
    for metric in &metrics {
        let Some(its) = known.get(metric) else { panic!("{of}: `{metric}` is not in ci/metrics.lint.json") };
        for label in &labels {
            assert!(its.contains(label), "{of}: `{metric}` has no label `{label}`");
        }
    }
    metrics.len()
}

/// ORCH-INST-4
#[test]
fn the_dashboard_speaks_of_the_home_metrics_and_no_other() {
    let board: Value = serde_json::from_str(&file("grafana/llama-orch.json")).unwrap();
    let mut spoken = 0;
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            spoken += hold(target["expr"].as_str().unwrap(), panel["title"].as_str().unwrap());
        }
    }
    let pool = &board["templating"]["list"][1];
    spoken += hold(pool["query"].as_str().unwrap(), "the choice of pools");
    assert!(spoken > 8, "{spoken} metrics");
}

/// ORCH-INST-4
#[test]
fn every_home_metric_is_on_the_dashboard() {
    let board = file("grafana/llama-orch.json");
    for metric in known().keys().filter(|name| *name != "up") {
        assert!(board.contains(metric.as_str()), "`{metric}` is on no panel");
    }
}

/// ORCH-INST-4
#[test]
fn the_rules_speak_of_the_home_metrics_and_no_other() {
    let rules: Value = serde_saphyr::from_str(&file("prometheus/llama-orch.rules.yml")).unwrap();
    let alerts = rules["groups"][0]["rules"].as_array().unwrap();
    for alert in alerts {
        hold(alert["expr"].as_str().unwrap(), alert["alert"].as_str().unwrap());
        assert!(alert["annotations"]["summary"].is_string(), "{alert}");
    }
    assert!(alerts.len() > 3);
}

#[test]
fn a_metric_that_is_not_there_is_found() {
    let (metrics, labels) =
        spoken_of(r#"sum by (pool_id) (rate(made_up_total{engine="sum"}[5m])) > 0 unless up == 1"#);
    assert_eq!(metrics, BTreeSet::from(["made_up_total".to_owned(), "up".to_owned()]));
    assert_eq!(labels, BTreeSet::from(["engine".to_owned(), "pool_id".to_owned()]));
}

/// ORCH-INST-4
#[test]
fn prometheus_takes_the_rules_and_the_scrape_configuration() {
    let path = |below: &str| here().join(below).display().to_string();
    for arguments in [
        ["check", "rules", &path("prometheus/llama-orch.rules.yml")].to_vec(),
        ["check", "config", "--syntax-only", &path("prometheus/prometheus.yml")].to_vec(),
    ] {
        if let Some(Err(why)) = check("promtool", &arguments) {
            panic!("promtool {arguments:?}: {why}");
        }
    }
    let scrape: Value = serde_saphyr::from_str(&file("prometheus/prometheus.yml")).unwrap();
    let job = &scrape["scrape_configs"][0];
    assert_eq!(
        (&job["metrics_path"], &job["static_configs"][0]["targets"][0]),
        (&"/metrics".into(), &"127.0.0.1:6173".into())
    );
}
