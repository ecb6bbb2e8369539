//! One pool of two replicas: what one says of a seed, the other says, too.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use harness::{Daemon, Setup, executable, tasks};
use openapi_client::types::{Determinism, Health, Sampling, TaskRequest, TaskState};
use uuid::Uuid;

/// How many seeds are tried.
const SEEDS: u64 = 64;

/// Tokens of each answer: enough for chance to tell seeds apart.
const TOKENS: u32 = 8;

/// How often a seed is asked, two at a time, until both replicas have answered it.
const TRIES: usize = 8;

/// Tokens of a task that goes on while the strict ones come and go: as many as fit beside its prompt.
const NOISE_TOKENS: u32 = 3500;

const PROMPTS: [&str; 4] =
    ["The old lighthouse keeper said", "One, two,", "In the year 2150, the cats", "fn main() {"];

#[tokio::test]
async fn a_strict_task_says_the_same_on_two_replicas_whatever_else_they_do() {
    let daemon = two_replicas().await;
    let noise = busy_with_one_slot_left(&daemon).await;
    let mut different = BTreeSet::new();
    for seed in 0..SEEDS {
        let said = on_both(&daemon, seed).await;
        let mut answers = said.values();
        let first = answers.next().expect("one answer at least");
        assert!(answers.all(|answer| answer == first), "seed {seed}: {said:?}");
        different.insert(first.clone());
    }
    assert!(
        different.len() > SEEDS as usize / 2,
        "only {} answers differ: the seed does nothing",
        different.len()
    );
    for task in noise {
        let told = daemon.client.get_task(&task).await.expect("it is known").into_inner();
        assert_eq!(told.task.state, TaskState::Running, "there was company until the end");
        daemon.client.cancel_task(&task).await.expect("it is known");
    }
}

/// Gives either replica a task that goes on, and leaves it one slot: all slots are filled first, because
/// placement might put two tasks on the replica that is a little faster.
async fn busy_with_one_slot_left(daemon: &Daemon) -> Vec<Uuid> {
    let noise = [(); 4].map(|()| async {
        let task = daemon.submit(&tasks::endless(NOISE_TOKENS)).await.expect("it is admitted");
        task.task_id
    });
    let noise: Vec<Uuid> = join_all(noise).await;
    slots_busy(daemon, 2).await;
    let mut one_each = BTreeMap::new();
    for task in noise {
        let told = daemon.client.get_task(&task).await.expect("it is known").into_inner();
        if let Some(other) = one_each.insert(told.task.replica, task) {
            daemon.client.cancel_task(&other).await.expect("it is known");
        }
    }
    slots_busy(daemon, 1).await;
    one_each.into_values().collect()
}

/// Waits until so many slots of each replica are busy.
async fn slots_busy(daemon: &Daemon, wanted: u32) {
    let is_so = |health: &Health| {
        let mut replicas = health.pools.iter().flatten().flat_map(|pool| &pool.replicas);
        replicas.all(|replica| replica.slots_busy == wanted)
    };
    daemon.until(&format!("{wanted} busy"), is_so).await;
}

/// The tokens that each replica says of a seed.
async fn on_both(daemon: &Daemon, seed: u64) -> BTreeMap<String, Vec<String>> {
    let mut said = BTreeMap::new();
    for _ in 0..TRIES {
        // Two at a time: each takes one of the two slots that are left.
        for (replica, answer) in join_all([seed, seed].map(|seed| answer(daemon, seed))).await {
            let before = said.insert(replica, answer.clone());
            assert!(before.is_none_or(|before| before == answer), "seed {seed} on one replica");
        }
        if said.len() == 2 {
            return said;
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
    // The company repeats itself, and is to go on all the same.
    let config = format!(
        "pools: [{{id: default, model: 'file:{model}', threads: 1, slots: 2, replicas: 2, defaults: {{loop_tokens: 0}}}}]\n"
    );
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
