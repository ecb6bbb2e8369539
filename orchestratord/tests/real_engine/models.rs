//! How models come and go: changed under load, loaded on demand, unloaded, found hanging.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::executable::model;
use harness::processes::{is_alive, signal};
use harness::tasks::{endless, prompt, text_of};
use harness::{Answer, Daemon, LIMIT};
use openapi_client::Error;
use openapi_client::types::{
    FinishReason, ModelState, ModelStateRequest, PoolState, ReloadRequest, RollbackCode, RollbackStatus,
    TaskRequest,
};

use crate::breakage::after_some_tokens;

/// How often the model is changed here. A long run is asked for with this variable.
const RELOADS: &str = "LLAMA_ORCH_TEST_RELOADS";
const RELOADS_IN_SHORT: usize = 6;

/// Streams that are open at a time while it is.
const STREAMS: usize = 50;

/// The starter model with one word spelt in a way of its own, which tells the two apart by what they say.
fn other_model(folder: &Path) -> PathBuf {
    // A text in a GGUF file: its length in 8 bytes, then its bytes. `Ġ` stands for the space.
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let (the, txq) = (text("Ġthe"), text("Ġtxq"));
    let mut bytes = std::fs::read(model()).unwrap();
    let place =
        bytes.windows(the.len()).position(|window| window == the).expect("the word is in the vocabulary");
    bytes[place..place + txq.len()].copy_from_slice(&txq);
    let path = folder.join("other.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn broken_model(folder: &Path) -> PathBuf {
    let bytes = std::fs::read(model()).unwrap();
    let path = folder.join("broken.gguf");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    path
}

async fn reload(daemon: &Daemon, path: &Path) -> Result<String, (RollbackStatus, RollbackCode)> {
    let request = ReloadRequest { new_model_ref: format!("file:{}", path.display()), sha256: None };
    match daemon.client.reload_pool("default", &request).await {
        Ok(reloaded) => Ok(reloaded.into_inner().model_ref),
        Err(Error::ErrorResponse(rolled_back)) => Err((rolled_back.status, rolled_back.code)),
        Err(error) => panic!("{error}"),
    }
}

/// Which of the two models an answer is from; neither where it does not say the word.
fn speaker(answer: &Answer) -> (bool, bool) {
    let text = answer.text();
    let says = |word: &str| text.split(|letter: char| !letter.is_alphabetic()).any(|said| said == word);
    (says("the"), says("txq"))
}

/// ORCH-MODEL-5, ORCH-MODEL-6
#[tokio::test]
async fn models_change_under_open_streams_and_nothing_fails_mixes_or_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (other, broken) = (other_model(folder.path()), broken_model(folder.path()));
    let daemon = Daemon::open(&["pools[0].slots=8", "pools[0].ctx=256", "stream.keep_finished_s=3600"]).await;
    let cycles = std::env::var(RELOADS).ok().map_or(RELOADS_IN_SHORT, |cycles| cycles.parse().unwrap());
    let done = tokio::sync::watch::Sender::new(false);
    let readers = async {
        let reader = |number: usize| {
            let (daemon, mut done) = (&daemon, done.subscribe());
            async move {
                let mut answers = Vec::new();
                while !*done.borrow_and_update() {
                    let task = prompt(&format!("Recording number {number}: once upon a time in"), 24);
                    answers.push(daemon.ask(&task).await);
                }
                answers
            }
        };
        futures_util::future::join_all((0..STREAMS).map(reader)).await
    };
    let changes = async {
        for cycle in 0..cycles {
            let good = if cycle % 4 == 0 { other.clone() } else { model() };
            if cycle % 2 == 0 {
                let served = reload(&daemon, &good).await.unwrap();
                assert_eq!(served, format!("file:{}", good.display()));
            } else {
                let refused = reload(&daemon, &broken).await.unwrap_err();
                assert_eq!(refused, (RollbackStatus::Rollback, RollbackCode::ModelInvalid));
            }
        }
        done.send_replace(true);
    };
    let (answers, ()) = tokio::join!(readers, changes);
    let mut heard = (0, 0);
    for answer in answers.iter().flatten() {
        assert!(
            matches!(answer.end.finish_reason, FinishReason::Stop | FinishReason::Length),
            "{:?}",
            answer.end
        );
        let (the, txq) = speaker(answer);
        assert!(!(the && txq), "an answer is from one model: {}", answer.text());
        heard = (heard.0 + usize::from(the), heard.1 + usize::from(txq));
    }
    assert!(heard.0 > 0 && heard.1 > 0, "both have spoken: {heard:?}");
    let health =
        daemon.until("one replica", |health| health.pools.as_ref().unwrap()[0].replicas.len() == 1).await;
    assert_eq!(health.ledger.unwrap().len(), 1, "what was replaced holds nothing any more");
    assert_eq!(daemon.workers().len(), 1);
}

/// ORCH-REPL-9
#[tokio::test]
async fn a_worker_that_hangs_is_found_and_ended_and_another_takes_its_place() {
    let daemon = Daemon::open(&["worker.hang_after_s=1", "worker.restart.min_ms=100"]).await;
    let task = daemon.submit(&endless(60)).await.unwrap().task_id;
    let events = after_some_tokens(&daemon, task).await;
    let workers = daemon.workers();
    signal(workers[0], "STOP");
    drop(events);
    let answer = daemon.read(task, None).await;
    assert_eq!(
        (answer.end.finish_reason, answer.tokens.len()),
        (FinishReason::Length, 60),
        "it goes on elsewhere"
    );
    let next = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(next.end.finish_reason, FinishReason::Length);
    assert!(!is_alive(workers[0]), "it was ended");
}

/// ORCH-REPL-6
#[tokio::test]
async fn a_death_before_the_first_token_is_unseen() {
    let daemon = Daemon::open(&["worker.restart.min_ms=100"]).await;
    let workers = daemon.workers();
    let task = daemon.submit(&prompt(&text_of(1500), 4)).await.unwrap().task_id;
    // A prompt of this length is read for seconds.
    daemon.until("at work", |health| health.pools.as_ref().unwrap()[0].replicas[0].slots_busy == 1).await;
    signal(workers[0], "KILL");
    let answer = daemon.read(task, None).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length);
    assert_eq!(answer.end.tokens_out, 4);
}

/// ORCH-MODEL-9
#[tokio::test]
async fn a_model_is_loaded_by_its_first_task_and_unloaded_when_nobody_uses_it() {
    let daemon = Daemon::open(&["pools[0].preload=false", "pools[0].idle_unload_s=1"]).await;
    assert_eq!(daemon.workers().len(), 0, "nothing is loaded");
    let answer = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length);
    let workers = daemon.workers();
    let health = daemon.health().await;
    let ledger = health.ledger.unwrap();
    assert_eq!(ledger.len(), 1);
    let measured = ledger[0].measured_bytes.expect("it has been measured");
    let weights = std::fs::metadata(model()).unwrap().len();
    assert!(measured > weights / 2, "{measured} bytes for {weights} of weights");

    let unloaded = |health: &openapi_client::types::Health| {
        health.pools.as_ref().unwrap()[0].state == PoolState::Unloaded
    };
    let health = daemon.until("unloaded", unloaded).await;
    assert!(health.ledger.unwrap().is_empty(), "its memory is given back");
    assert!(workers.iter().all(|worker| !is_alive(*worker)), "with its process");
}

/// ORCH-MODEL-8
#[tokio::test]
async fn a_retired_model_leaves_the_machine_and_an_active_one_is_back() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let set = async |state| {
        let request = ModelStateRequest { state, pinned: None, keep_alive: None };
        daemon.client.set_model_state("default", &request).await.unwrap();
    };
    let running = daemon.submit(&prompt("Once upon a time", 64)).await.unwrap().task_id;
    let _events = after_some_tokens(&daemon, running).await;
    set(ModelState::Retired).await;
    let answer = daemon.read(running, None).await;
    assert_ne!(answer.end.finish_reason, FinishReason::Error, "what runs may finish");
    let gone = async {
        while !daemon.workers().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("it is unloaded");
    set(ModelState::Active).await;
    let answer = daemon.ask(&prompt("One, two,", 4)).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length);
}

/// ORCH-MODEL-15
#[tokio::test]
async fn a_request_that_keeps_the_model_for_no_time_has_it_unloaded_after_its_answer() {
    let daemon = Daemon::open::<&str>(&[]).await;
    let task = TaskRequest { keep_alive: Some(0.into()), ..prompt("One, two,", 4) };
    let answer = daemon.ask(&task).await;
    assert_eq!(answer.end.finish_reason, FinishReason::Length);
    let unloaded = |health: &openapi_client::types::Health| {
        health.pools.as_ref().unwrap()[0].state == PoolState::Unloaded
    };
    daemon.until("unloaded", unloaded).await;
}
