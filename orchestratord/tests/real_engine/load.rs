use std::sync::Arc;

use openapi_client::types::FinishReason;
use tokio::task::JoinSet;

use crate::house::{House, batch, open_files, prompt, resident_kib, text_of};

#[tokio::test]
async fn an_interactive_task_overtakes_a_queue_of_batch_tasks() {
    let house = Arc::new(House::open(&["pools[0].slots=1"]).await);
    let mut order = JoinSet::new();
    let mut submit = async |name: String, task| {
        let accepted = house.submit(&task).await.unwrap();
        let house = Arc::clone(&house);
        order.spawn(async move {
            house.read(accepted.task_id, None).await;
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

#[tokio::test]
async fn a_thousand_short_tasks_leave_nothing_behind() {
    let house = Arc::new(House::open(&["stream.keep_finished_tasks=50"]).await);
    let worker = house.workers()[0];
    let round = async |tasks: usize| {
        let mut running = JoinSet::new();
        for number in 0..tasks {
            let house = Arc::clone(&house);
            running.spawn(async move {
                let answer = house.ask(&prompt(&format!("Number {number} is"), 2)).await;
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
    let before = (resident_kib(house.pid()), resident_kib(worker), open_files(worker));
    round(800).await;
    let after = (resident_kib(house.pid()), resident_kib(worker), open_files(worker));
    assert_eq!(house.workers(), [worker], "the same worker served all of them");
    let grown = |before: u64, after: u64| after.saturating_sub(before);
    assert!(grown(before.0, after.0) < 8 * 1024, "the daemon grew: {before:?} {after:?}");
    assert!(grown(before.1, after.1) < 32 * 1024, "the worker grew: {before:?} {after:?}");
    assert_eq!(before.2, after.2, "the worker's open files");
}
