use std::sync::Arc;

use harness::Daemon;
use harness::processes::{open_files, resident_kib};
use harness::tasks::{batch, prompt, text_of};
use openapi_client::types::FinishReason;
use tokio::task::JoinSet;

/// ORCH-QUEUE-2
#[tokio::test]
async fn an_interactive_task_overtakes_a_queue_of_batch_tasks() {
    let daemon = Arc::new(Daemon::open(&["pools[0].slots=1"]).await);
    let mut order = JoinSet::new();
    let mut submit = async |name: String, task| {
        let accepted = daemon.submit(&task).await.unwrap();
        let daemon = Arc::clone(&daemon);
        order.spawn(async move {
            daemon.read(accepted.task_id, None).await;
            name
        });
        accepted
    };
    for number in 0..6 {
        submit(format!("batch {number}"), batch(prompt(&text_of(100), 24))).await;
    }
    let accepted = submit("interactive".to_owned(), prompt("One, two,", 8)).await;
    assert_eq!(accepted.queue_position, 0, "only the task that runs is before it");
    let mut ended = Vec::new();
    while let Some(name) = order.join_next().await {
        ended.push(name.unwrap());
    }
    let place = ended.iter().position(|name| name == "interactive").unwrap();
    assert!(place <= 2, "{ended:?}");
    let batches: Vec<_> = ended.iter().filter(|name| name.starts_with("batch")).cloned().collect();
    assert!(batches.is_sorted(), "a lane keeps its order: {ended:?}");
}

/// ORCH-TASK-12
#[tokio::test]
async fn a_thousand_short_tasks_leave_nothing_behind() {
    // What is kept on purpose is no leak.
    let kept = ["stream.keep_finished_tasks=50", "pools[0].kv_cache.ram_mb=0"];
    let daemon = Arc::new(Daemon::open(&kept).await);
    let worker = daemon.workers()[0];
    let round = async |tasks: usize| {
        let mut running = JoinSet::new();
        for number in 0..tasks {
            let daemon = Arc::clone(&daemon);
            running.spawn(async move {
                let answer = daemon.ask(&prompt(&format!("Number {number} is"), 2)).await;
                assert_eq!(answer.end.finish_reason, FinishReason::Length);
            });
            while running.len() >= 16 {
                running.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    };
    round(200).await;
    let held = || [resident_kib(daemon.pid()).unwrap(), resident_kib(worker).unwrap()];
    let (before, files) = (held(), open_files(worker));
    round(800).await;
    let after = held();
    assert_eq!(daemon.workers(), [worker], "the same worker served all of them");
    let grown = |before: u64, after: u64| after.saturating_sub(before);
    assert!(grown(before[0], after[0]) < 8 * 1024, "the daemon grew: {before:?} {after:?}");
    assert!(grown(before[1], after[1]) < 32 * 1024, "the worker grew: {before:?} {after:?}");
    assert_eq!(files, open_files(worker), "the worker's open files");
}
