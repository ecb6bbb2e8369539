//! Daemons: started, signaled, watched as processes.

use std::time::Duration;

use harness::{Daemon, LIMIT, TOKEN, executable, processes};
use openapi_client::types::HealthStatus;

use super::{Said, Steps};
use crate::world::World;

/// How often a state is asked for that is waited for.
const POLL: Duration = Duration::from_millis(20);

pub fn steps(steps: Steps) -> Steps {
    processes_of_a_daemon(starting(steps))
}

fn starting(steps: Steps) -> Steps {
    steps
        .step("a daemon", |world, _| Box::pin(async move { world.share(Vec::new()).await }))
        .step("a daemon with", |world, said| Box::pin(async move { world.share(said.lines()).await }))
        .step("a daemon of its own with", |world, said| {
            Box::pin(async move {
                let daemon = Daemon::open(&said.lines()).await;
                world.own(daemon);
            })
        })
        .step("half of the model in its home as {text}", |world, said| {
            Box::pin(async move {
                let bytes = std::fs::read(executable::model()).unwrap();
                std::fs::write(world.daemon().home().join(said.text(0)), &bytes[..bytes.len() / 2]).unwrap();
            })
        })
        .step("the daemon's health becomes {text}", |world, said| {
            Box::pin(async move { health_becomes(world, &said.text(0)).await })
        })
}

fn processes_of_a_daemon(steps: Steps) -> Steps {
    steps
        .step("its workers are noted", |world, _| {
            Box::pin(async move {
                world.workers = world.daemon().workers();
                assert!(!world.workers.is_empty(), "a pool has a worker");
            })
        })
        .step("the daemon gets the signal {word}", |world, said| {
            Box::pin(async move { world.daemon().signal(&said.text(0)) })
        })
        .step("its worker is killed {number} times, whenever it serves", |world, said| {
            Box::pin(async move {
                let daemon = world.daemon();
                let mut killed = Vec::new();
                for _ in 0..said.number(0) {
                    let serving = async {
                        loop {
                            let workers = daemon.workers();
                            let is_ready = daemon.health().await.status == HealthStatus::Ok;
                            if let (true, [worker]) = (is_ready, workers.as_slice())
                                && !killed.contains(worker)
                            {
                                return *worker;
                            }
                            tokio::time::sleep(POLL).await;
                        }
                    };
                    let worker = tokio::time::timeout(LIMIT, serving).await.expect("it serves again in time");
                    processes::signal(worker, "KILL");
                    killed.push(worker);
                }
            })
        })
        .step("the daemon logs {text}", |world, said| {
            Box::pin(async move { world.daemon().logged(&said.text(0)).await })
        })
        .step("the daemon ends with the code {number}", |world, said| {
            Box::pin(async move {
                let status = world.daemon().ended().await;
                assert_eq!(status.code(), Some(i32::try_from(said.number(0)).unwrap()), "{status}");
            })
        })
        .step("none of its workers is left", |world, _| {
            Box::pin(async move {
                let gone = async {
                    while world.workers.iter().any(|worker| processes::is_alive(*worker)) {
                        tokio::time::sleep(POLL).await;
                    }
                };
                tokio::time::timeout(LIMIT, gone).await.expect("a worker does not outlive its daemon");
            })
        })
        .step("its log does not hold the token", |world, _| {
            Box::pin(async move {
                let log = world.daemon().log();
                assert!(log.contains("listening") && !log.contains(TOKEN), "{log}");
            })
        })
}

async fn health_becomes(world: &World, wanted: &str) {
    world.daemon().until(wanted, |health| health.status.to_string() == wanted).await;
}
