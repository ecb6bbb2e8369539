//! Daemons: started, signaled, watched as processes.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use harness::{Daemon, LIMIT, Setup, TOKEN, executable, processes};
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
        .step("a daemon of its own", |world, _| {
            Box::pin(async move {
                let daemon = Daemon::open::<&str>(&[]).await;
                world.own(daemon);
            })
        })
        .step("a daemon of its own with", |world, said| {
            Box::pin(async move {
                let daemon = Daemon::open(&said.lines()).await;
                world.own(daemon);
            })
        })
        .step("a daemon with the model {text}", |world, said| {
            Box::pin(async move {
                let setup = Setup { model: Some(said.text(0)), ..Setup::default() };
                world.own(Daemon::start(&setup).await);
            })
        })
        .step("a daemon with half of the model's file", |world, _| {
            Box::pin(async move {
                let bytes = std::fs::read(executable::model()).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("half.gguf");
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                let setup = Setup { model: Some(format!("file:{}", path.display())), ..Setup::default() };
                let daemon = Daemon::start(&setup).await;
                daemon.until("unavailable", |health| health.status == HealthStatus::Unavailable).await;
                world.own(daemon);
            })
        })
        .step("the model in its home as {text}", |world, said| {
            Box::pin(async move {
                let file = world.daemon().home().join(said.text(0));
                std::os::unix::fs::symlink(executable::model(), file).unwrap();
            })
        })
        .step("half of the model in its home as {text}", |world, said| {
            Box::pin(async move {
                let bytes = std::fs::read(executable::model()).unwrap();
                std::fs::write(world.daemon().home().join(said.text(0)), &bytes[..bytes.len() / 2]).unwrap();
            })
        })
        .step("a daemon without a token of the environment", |world, _| {
            Box::pin(async move {
                // An empty variable is no token.
                let env = vec![("LLAMA_ORCH_TOKEN".to_owned(), String::new())];
                let daemon = Daemon::start(&Setup { env, ..Setup::starter::<&str>(&[]) }).await;
                world.own(daemon);
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
        .step("a worker gets the signal {word}", |world, said| {
            Box::pin(async move { processes::signal(world.workers[0], &said.text(0)) })
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
        .step("another worker serves", |world, _| {
            Box::pin(async move {
                let daemon = world.daemon();
                let another = async {
                    while daemon.workers().iter().all(|worker| world.workers.contains(worker)) {
                        tokio::time::sleep(POLL).await;
                    }
                };
                tokio::time::timeout(LIMIT, another).await.expect("another worker in time");
                daemon.ready().await;
                assert_eq!(daemon.workers().len(), world.workers.len());
            })
        })
        .step("nothing runs or waits", |world, _| Box::pin(async move { world.daemon().idle().await }))
        .step("it listens on loopback", |world, _| {
            Box::pin(async move { assert!(world.daemon().address().ip().is_loopback()) })
        })
        .step("its log does not hold the token", |world, _| {
            Box::pin(async move {
                let log = world.daemon().log();
                assert!(log.contains("listening") && !log.contains(TOKEN), "{log}");
            })
        })
        .step("the file {text} of its home is for its user alone", |world, said| {
            Box::pin(async move {
                let file = world.daemon().home().join(said.text(0));
                let mode = std::fs::metadata(&file)
                    .unwrap_or_else(|error| panic!("{file:?}: {error}"))
                    .permissions();
                assert_eq!(mode.mode() & 0o777, 0o600);
            })
        })
        .step("the token in the file {text} of its home opens {text}", |world, said| {
            Box::pin(async move {
                let daemon = world.daemon();
                let token = std::fs::read_to_string(daemon.home().join(said.text(0))).unwrap();
                let ask = daemon.http.get(format!("{}{}", daemon.url, said.text(1)));
                assert_eq!(ask.bearer_auth(token.trim()).send().await.unwrap().status(), 200);
                let wrong =
                    daemon.http.get(format!("{}{}", daemon.url, said.text(1))).bearer_auth("x").send();
                assert_eq!(wrong.await.unwrap().status(), 401);
            })
        })
}

async fn health_becomes(world: &World, wanted: &str) {
    world.daemon().until(wanted, |health| health.status.to_string() == wanted).await;
}
