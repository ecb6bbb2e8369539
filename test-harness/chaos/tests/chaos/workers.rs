use std::cell::Cell;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use harness::stream::read_telling;
use harness::{Answer, Daemon, LIMIT, processes, tasks};
use openapi_client::types::{Determinism, ErrorCode, FinishReason, Sampling, TaskRequest};

use crate::chance;

/// A replica that dies five times within a minute is taken for a crash loop, and its pool for unavailable.
const KILLS_OF_ONE_DAEMON: usize = 4;

/// Tasks that run at a time.
const SLOTS: usize = 3;

/// Tasks at each kill: as many wait as run.
const TASKS: usize = 2 * SLOTS;

/// The most tokens of a task.
const TOKENS_MAX: u32 = 24;

/// What is asked strictly, so that what it says is known beforehand.
const STRICT_PROMPTS: [&str; 3] = ["The old lighthouse keeper said", "One, two,", "Once upon a time"];

#[tokio::test]
async fn a_worker_killed_at_any_token_leaves_every_stream_whole_and_ended_once() {
    let mut rng = chance::rng();
    let mut left = chance::kills();
    while left > 0 {
        let kills = left.min(KILLS_OF_ONE_DAEMON);
        kill_workers(kills, &mut rng).await;
        left -= kills;
    }
}

/// Kills a daemon's worker so many times, each time with other streams in it, of which it may cost none.
async fn kill_workers(kills: usize, rng: &mut Rng) {
    let daemon = Daemon::open(&[&format!("pools[0].slots={SLOTS}"), "worker.restart.min_ms=10"]).await;
    let mut undisturbed = Vec::new();
    for prompt in STRICT_PROMPTS {
        let answer = daemon.ask(&strict(prompt, TOKENS_MAX)).await;
        assert_eq!(answer.tokens.len(), TOKENS_MAX as usize);
        undisturbed.push(answer.tokens);
    }
    for _ in 0..kills {
        let wanted: Vec<_> = (0..TASKS).map(|_| rng.u32(4..=TOKENS_MAX)).collect();
        // Every other task is strict, so that kills find both ways of decoding at work.
        let asked = wanted.iter().enumerate().map(|(place, tokens)| match place % 2 {
            0 => strict(STRICT_PROMPTS[place / 2], *tokens),
            _ => tasks::endless(*tokens),
        });
        let asked: Vec<_> = asked.collect();
        let seen = Cell::new(0);
        let at = rng.u32(1..=wanted.iter().take(SLOTS).sum());
        let (answers, ()) = tokio::join!(read_all(&daemon, &asked, &seen), kill_at(&daemon, &seen, at));
        for (place, (answer, wanted)) in answers.iter().zip(&wanted).enumerate() {
            let wanted = *wanted as usize;
            assert_eq!(answer.end.finish_reason, FinishReason::Length, "{:?}", answer.end);
            assert_eq!((answer.end.tokens_out as usize, answer.tokens.len()), (wanted, wanted));
            if place % 2 == 0 {
                assert_eq!(
                    answer.tokens,
                    undisturbed[place / 2][..wanted],
                    "a strict task says what it always says"
                );
            }
        }
        daemon.ready().await;
    }
}

/// Submits tasks and reads them all, counting the tokens that come.
async fn read_all(daemon: &Daemon, asked: &[TaskRequest], seen: &Cell<u32>) -> Vec<Answer> {
    let mut streams = Vec::new();
    for task in asked {
        let accepted = daemon.submit(task).await.unwrap();
        streams.push(daemon.events(accepted.task_id, None).await);
    }
    join_all(streams.into_iter().map(|events| read_telling(events, None, |_| seen.set(seen.get() + 1)))).await
}

/// Kills the worker when so many tokens have been seen.
async fn kill_at(daemon: &Daemon, seen: &Cell<u32>, at: u32) {
    let reached = async {
        while seen.get() < at {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.expect("tokens come in time");
    let workers = daemon.workers();
    assert_eq!(workers.len(), 1);
    processes::signal(workers[0], "KILL");
}

fn strict(prompt: &str, max_tokens: u32) -> TaskRequest {
    let endless = tasks::endless(max_tokens);
    let logit_bias = endless.sampling.and_then(|sampling| sampling.logit_bias);
    let sampling = Sampling { temperature: Some(1.0), logit_bias, ..Sampling::default() };
    TaskRequest {
        prompt: Some(prompt.to_owned()),
        max_tokens: Some(max_tokens),
        sampling: Some(sampling),
        determinism: Some(Determinism::Strict),
        seed: Some(7),
        ..TaskRequest::default()
    }
}

#[tokio::test]
async fn a_death_while_the_prompt_is_read_is_unseen() {
    let daemon = Daemon::open(&["pools[0].slots=1", "worker.restart.min_ms=10"]).await;
    let task = daemon.submit(&tasks::prompt(&tasks::text_of(400), 8)).await.unwrap().task_id;
    kill_the_reading_worker(&daemon).await;
    let answer = daemon.read(task, None).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length, "{:?}", answer.end);
    assert_eq!(answer.tokens.len(), 8);
}

#[tokio::test]
async fn a_task_that_was_there_at_two_deaths_is_given_up_and_the_next_one_is_served() {
    let daemon = Daemon::open(&["pools[0].slots=1", "worker.restart.min_ms=10"]).await;
    let task = daemon.submit(&tasks::prompt(&tasks::text_of(400), 8)).await.unwrap().task_id;
    let next = daemon.submit(&tasks::prompt("One, two,", 4)).await.unwrap().task_id;
    kill_the_reading_worker(&daemon).await;
    kill_the_reading_worker(&daemon).await;
    let answer = daemon.read(task, None).await;
    assert_eq!(answer.end.error.map(|error| error.code), Some(ErrorCode::WorkerReset));
    assert_eq!(answer.tokens.len(), 0);
    let next = daemon.read(next, None).await;
    assert_eq!((next.end.finish_reason, next.tokens.len()), (FinishReason::Length, 4));
}

/// Kills the worker as soon as a task is in it, and waits until the daemon has seen it.
async fn kill_the_reading_worker(daemon: &Daemon) {
    let busy = daemon.until("busy", |health| {
        let replicas = health.pools.iter().flatten().flat_map(|pool| &pool.replicas);
        replicas.into_iter().any(|replica| replica.slots_busy == 1)
    });
    busy.await;
    let workers = daemon.workers();
    assert_eq!(workers.len(), 1);
    processes::signal(workers[0], "KILL");
    let gone = async {
        while daemon.workers() == workers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("a killed process is gone");
    daemon
        .until("without the worker", |health| {
            let replicas = health.pools.iter().flatten().flat_map(|pool| &pool.replicas);
            replicas.into_iter().all(|replica| replica.slots_busy == 0)
        })
        .await;
}
