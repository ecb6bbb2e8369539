//! One daemon, one model, two pools of a worker each: what one says of a seed, the other says, too.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use harness::{Daemon, Setup, executable, tasks};
use openapi_client::types::{Determinism, Sampling, TaskRequest};
use uuid::Uuid;

/// How many seeds are tried.
const SEEDS: u64 = 64;

/// Tokens of each answer: enough for chance to tell seeds apart.
const TOKENS: u32 = 10;

/// Strict tasks that run at a time, on either side.
const AT_A_TIME: usize = 4;

/// Tokens of a task that goes on while the strict ones come and go: as many as fit beside its prompt.
const NOISE_TOKENS: u32 = 3500;

const PROMPTS: [&str; 4] =
    ["The old lighthouse keeper said", "One, two,", "In the year 2150, the cats", "fn main() {"];

#[tokio::test]
async fn a_strict_task_says_the_same_on_two_replicas_whatever_else_they_do() {
    let daemon = two_pools().await;
    // The second replica has other work between its strict tasks all the time.
    let noise = [300, 40].map(|tokens| on("second", tasks::prompt(&tasks::text_of(tokens), NOISE_TOKENS)));
    let noise: Vec<Uuid> =
        join_all(noise.iter().map(|task| async { daemon.submit(task).await.unwrap().task_id })).await;
    let seeds: Vec<u64> = (0..SEEDS).collect();
    let (alone, in_company) =
        tokio::join!(answers(&daemon, "first", &seeds, 1), answers(&daemon, "second", &seeds, AT_A_TIME));
    for (seed, (alone, in_company)) in alone.iter().zip(&in_company).enumerate() {
        assert_eq!(alone, in_company, "seed {seed}");
    }
    let different: BTreeSet<_> = alone.into_iter().collect();
    assert!(
        different.len() > SEEDS as usize / 2,
        "only {} answers differ: the seed does nothing",
        different.len()
    );
    for task in noise {
        daemon.client.cancel_task(&task).await.unwrap();
    }
}

/// The tokens of each seed's answer, so many at a time.
async fn answers(daemon: &Daemon, pool: &str, seeds: &[u64], at_a_time: usize) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for seeds in seeds.chunks(at_a_time) {
        let asked = seeds.iter().map(|seed| async {
            let answer = daemon.ask(&on(pool, strict(*seed))).await;
            answer.tokens
        });
        answers.extend(join_all(asked).await);
    }
    answers
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

fn on(pool: &str, task: TaskRequest) -> TaskRequest {
    TaskRequest { model_ref: Some(pool.to_owned()), ..task }
}

async fn two_pools() -> Daemon {
    let model = executable::model();
    let pool =
        |id: &str| format!("- {{id: {id}, model: 'file:{}', threads: 1, slots: 6}}\n", model.display());
    let config = format!("pools:\n{}{}", pool("first"), pool("second"));
    let daemon = Daemon::start(&Setup { config: Some(config), ..Setup::default() }).await;
    daemon
        .until("ready with both pools", |health| {
            let replicas = health.pools.iter().flatten().flat_map(|pool| &pool.replicas);
            replicas.into_iter().filter(|replica| replica.slots.is_some()).count() == 2
        })
        .await;
    assert_eq!(daemon.workers().len(), 2);
    daemon
}
