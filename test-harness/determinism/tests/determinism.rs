//! One pool of two replicas: what one says of a seed, the other says, too.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use harness::{Daemon, Setup, executable, tasks};
use openapi_client::types::{Determinism, Sampling, TaskRequest};
use uuid::Uuid;

/// How many seeds are tried.
const SEEDS: u64 = 64;

/// Tokens of each answer: enough for chance to tell seeds apart.
const TOKENS: u32 = 10;

/// Seeds that are asked at a time, each twice.
const AT_A_TIME: usize = 4;

/// How often a seed is asked, two at a time, until both replicas have answered it.
const TRIES: usize = 8;

/// Tokens of a task that goes on while the strict ones come and go: as many as fit beside its prompt.
const NOISE_TOKENS: u32 = 3500;

const PROMPTS: [&str; 4] =
    ["The old lighthouse keeper said", "One, two,", "In the year 2150, the cats", "fn main() {"];

#[tokio::test]
async fn a_strict_task_says_the_same_on_two_replicas_whatever_else_they_do() {
    let daemon = two_replicas().await;
    // One replica has other work between its strict tasks all the time, the other has more of it.
    let noise = [300, 40, 90].map(|tokens| tasks::prompt(&tasks::text_of(tokens), NOISE_TOKENS));
    let noise: Vec<Uuid> =
        join_all(noise.iter().map(|task| async { daemon.submit(task).await.unwrap().task_id })).await;
    let mut different = BTreeSet::new();
    let seeds: Vec<u64> = (0..SEEDS).collect();
    for seeds in seeds.chunks(AT_A_TIME) {
        for (seed, said) in join_all(seeds.iter().map(|seed| on_both(&daemon, *seed))).await {
            let mut answers = said.values();
            let first = answers.next().expect("one answer at least");
            assert!(answers.all(|answer| answer == first), "seed {seed}: {said:?}");
            different.insert(first.clone());
        }
    }
    assert!(
        different.len() > SEEDS as usize / 2,
        "only {} answers differ: the seed does nothing",
        different.len()
    );
    for task in noise {
        daemon.client.cancel_task(&task).await.unwrap();
    }
}

/// The tokens that each replica says of a seed.
async fn on_both(daemon: &Daemon, seed: u64) -> (u64, BTreeMap<String, Vec<String>>) {
    let mut said = BTreeMap::new();
    for _ in 0..TRIES {
        // Two at a time, because placement puts the second one where the first is not.
        for (replica, answer) in join_all([seed, seed].map(|seed| answer(daemon, seed))).await {
            let before = said.insert(replica, answer.clone());
            assert!(before.is_none_or(|before| before == answer), "seed {seed} on one replica");
        }
        if said.len() == 2 {
            return (seed, said);
        }
    }
    panic!("seed {seed} was never placed on both replicas: {said:?}");
}

/// Where a task of this seed ran, and its tokens.
async fn answer(daemon: &Daemon, seed: u64) -> (String, Vec<String>) {
    let task = daemon.submit(&strict(seed)).await.expect("it is admitted").task_id;
    let answer = daemon.read(task, None).await;
    let told = daemon.client.get_task(&task).await.expect("it is known").into_inner();
    (told.task.replica.expect("it ran somewhere"), answer.tokens)
}

fn strict(seed: u64) -> TaskRequest {
    let prompt = PROMPTS[seed as usize % PROMPTS.len()];
    let sampling = Sampling { temperature: Some(1.0), ..Sampling::default() };
    TaskRequest {
        prompt: Some(prompt.to_owned()),
        max_tokens: Some(TOKENS),
        sampling: Some(sampling),
        determinism: Some(Determinism::Strict),
        seed: Some(seed),
        ..TaskRequest::default()
    }
}

async fn two_replicas() -> Daemon {
    let model = executable::model();
    let model = model.display();
    let config =
        format!("pools: [{{id: default, model: 'file:{model}', threads: 1, slots: 12, replicas: 2}}]\n");
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon
        .until("ready with both replicas", |health| {
            let replicas = health.pools.iter().flatten().flat_map(|pool| &pool.replicas);
            replicas.into_iter().filter(|replica| replica.slots.is_some()).count() == 2
        })
        .await;
    assert_eq!(daemon.workers().len(), 2);
    daemon
}
