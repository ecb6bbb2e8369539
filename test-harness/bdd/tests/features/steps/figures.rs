//! Metrics: which are there, and how they move.

use std::collections::BTreeSet;

use super::{Said, Steps};
use crate::world::World;

pub fn steps(steps: Steps) -> Steps {
    steps
        .step("I note the metrics", |world, _| {
            Box::pin(async move { world.noted = Some(world.daemon().metrics().await) })
        })
        .step("the counters have moved by exactly", |world, said| {
            Box::pin(async move {
                let rows = said.rows();
                counters_moved(world, &rows).await;
            })
        })
        .step("the counters have not moved", |world, _| {
            Box::pin(async move { counters_moved(world, &[]).await })
        })
        .step("the counter {text} has moved by {number}", |world, said| {
            Box::pin(async move {
                let before = world.noted.clone().expect("the metrics were noted");
                let now = world.daemon().metrics().await;
                let name = said.text(0);
                assert_eq!(now.sum(&name, &[]) - before.sum(&name, &[]), said.number(1) as f64, "{now:?}");
            })
        })
        .step("the gauge {text} with {text} is {number}", |world, said| {
            Box::pin(async move {
                let now = world.daemon().metrics().await;
                let labels = said.text(1);
                assert_eq!(now.sum(&said.text(0), &labels_of(&labels)), said.number(2) as f64, "{now:?}");
            })
        })
        .step("the metrics are these and no other", |world, said| {
            Box::pin(async move {
                let now = world.daemon().metrics().await;
                let mut known = BTreeSet::new();
                for row in said.rows() {
                    let is_there = now.kinds.contains_key(&row[0]);
                    assert!(is_there || row[1] != "always", "`{}` is not there: {:?}", row[0], now.kinds);
                    known.insert(row[0].clone());
                }
                let other: Vec<_> = now.kinds.keys().filter(|name| !known.contains(*name)).collect();
                assert!(other.is_empty(), "{other:?}");
            })
        })
}

/// Rows: the counter, labels as `name=value, …`, and by how much: a number, or the figure of an answer's end as
/// `tokens_out of a`.
async fn counters_moved(world: &mut World, rows: &[Vec<String>]) {
    let mut wanted = Vec::new();
    for row in rows {
        let by = match row[2].split_once(" of ") {
            Some(("tokens_out", task)) => world.answer(task).await.end.tokens_out.into(),
            Some(("tokens_in", task)) => world.answer(task).await.end.tokens_in.into(),
            _ => row[2].parse().unwrap(),
        };
        wanted.push((row[0].as_str(), row[1].as_str(), by));
    }
    let before = world.noted.clone().expect("the metrics were noted");
    let now = world.daemon().metrics().await;
    for (name, labels, by) in &wanted {
        let labels = labels_of(labels);
        assert_eq!(now.sum(name, &labels) - before.sum(name, &labels), *by, "{name} {labels:?} in {now:?}");
    }
    for name in now.kinds.iter().filter(|(_, kind)| *kind == "counter").map(|(name, _)| name) {
        let by: f64 = wanted.iter().filter(|(wanted, ..)| wanted == name).map(|(.., by)| by).sum();
        assert_eq!(
            now.sum(name, &[]) - before.sum(name, &[]),
            by,
            "{name} moved by something else, too: {now:?}"
        );
    }
}

fn labels_of(text: &str) -> Vec<(&str, &str)> {
    text.split(", ").filter_map(|label| label.split_once('=')).collect()
}
