//! A real daemon is brought to show every series it has, and scraped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails and says where")]

use std::collections::{BTreeMap, BTreeSet};

use harness::stream::read_tokens;
use harness::{Daemon, tasks};
use openapi_client::Failure;
use serde::Deserialize;

/// A metric as the list has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    r#type: String,
    labels: BTreeSet<String>,
    #[serde(default)]
    label_values: BTreeMap<String, BTreeSet<String>>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
struct Lint {
    metrics: Vec<Listed>,
}

/// Series of cards: there where a replica computes on one.
const OF_CARDS: [&str; 2] = ["gpu_utilization", "vram_used_bytes"];

#[tokio::test]
async fn a_running_daemon_shows_what_the_list_has_and_nothing_else() {
    let lint: Lint = serde_json::from_str(include_str!("../../../ci/metrics.lint.json")).unwrap();
    let daemon = Daemon::open(&["pools[0].slots=1", "queue.interactive=1"]).await;
    let has_card = show_everything(&daemon).await;
    let scrape = daemon.metrics().await;

    for series in &scrape.series {
        let listed = lint.metrics.iter().find(|listed| listed.name == series.name);
        let listed = listed.unwrap_or_else(|| panic!("`{}` is not in ci/metrics.lint.json", series.name));
        let labels: BTreeSet<String> = series.labels.keys().cloned().collect();
        assert_eq!(labels, listed.labels, "labels of `{}`", series.name);
        assert_eq!(scrape.kinds.get(&series.name), Some(&listed.r#type), "type of `{}`", series.name);
        for (label, values) in &listed.label_values {
            assert!(
                values.contains(&series.labels[label]),
                "{series:?} has another `{label}` than {values:?}"
            );
        }
    }
    for name in scrape.kinds.keys() {
        assert!(
            lint.metrics.iter().any(|listed| listed.name == *name),
            "`{name}` is not in ci/metrics.lint.json"
        );
    }
    let shown: BTreeSet<&str> = scrape.series.iter().map(|series| series.name.as_str()).collect();
    let expected = lint.metrics.iter().filter(|listed| !listed.optional);
    for listed in expected.filter(|listed| has_card || !OF_CARDS.contains(&listed.name.as_str())) {
        assert!(shown.contains(listed.name.as_str()), "`{}` is listed and not shown", listed.name);
    }
}

/// Moves every counter; whether a replica computes on a card.
async fn show_everything(daemon: &Daemon) -> bool {
    daemon.ask(&tasks::prompt("One, two,", 2)).await;
    let running = daemon.submit(&tasks::endless(4000)).await.unwrap().task_id;
    read_tokens(&mut daemon.events(running, None).await, 1).await;
    let waiting = daemon.submit(&tasks::prompt("One, two,", 2)).await.unwrap().task_id;
    let refused = daemon.submit(&tasks::prompt("One, two,", 2)).await;
    assert!(matches!(refused, Err(Failure::Refused(refusal)) if refusal.status == 429));
    daemon.client.cancel_task(&running).await.unwrap();
    daemon.read(waiting, None).await;
    let health = daemon.health().await;
    health.pools.iter().flatten().flat_map(|pool| &pool.replicas).any(|replica| replica.device != "cpu")
}
