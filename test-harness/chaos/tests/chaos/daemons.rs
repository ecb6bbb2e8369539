use std::time::Duration;

use harness::stream::read_tokens;
use harness::{Daemon, LIMIT, processes, tasks};

use crate::chance;

/// Workers that are killed elsewhere for each daemon that is killed here: each is started for it.
const ONE_IN: usize = 5;

#[tokio::test]
async fn a_killed_daemon_leaves_no_worker_behind() {
    let mut rng = chance::rng();
    for _ in 0..chance::kills().div_ceil(ONE_IN) {
        let daemon = Daemon::open(&["pools[0].slots=2"]).await;
        let task = daemon.submit(&tasks::endless(4000)).await.unwrap().task_id;
        let mut events = daemon.events(task, None).await;
        read_tokens(&mut events, rng.usize(1..40)).await;
        let workers = daemon.workers();
        assert_eq!(workers.len(), 1);
        daemon.signal("KILL");
        daemon.ended().await;
        all_gone(&workers).await;
    }
}

#[tokio::test]
async fn a_worker_that_stands_still_does_not_outlive_its_killed_daemon() {
    let daemon = Daemon::open(&["pools[0].slots=1"]).await;
    let task = daemon.submit(&tasks::endless(4000)).await.unwrap().task_id;
    let mut events = daemon.events(task, None).await;
    read_tokens(&mut events, 3).await;
    let workers = daemon.workers();
    processes::signal(workers[0], "STOP");
    daemon.signal("KILL");
    daemon.ended().await;
    all_gone(&workers).await;
}

async fn all_gone(workers: &[u32]) {
    let gone = async {
        while workers.iter().any(|worker| processes::is_alive(*worker)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.expect("a worker does not outlive its daemon");
}
