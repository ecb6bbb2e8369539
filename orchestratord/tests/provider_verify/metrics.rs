//! Every event moves the counters that it should, each once, and no other: over HTTP, as Prometheus sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use engine_api::ExitReason;
use engine_mock::Phase;
use orchestrator_core::FullPolicy;
use pool_manager::ReplicaEventKind;
use serde_json::json;

use super::audit::{Audit, prompt, task};
use super::test_daemon::{LANE_BOUND, TestDaemon};
use super::wire::Ask;

/// The counters of a daemon, as they stood when last asked.
struct Counters<'a> {
    audit: &'a Audit,
    at: SocketAddr,
    stood: BTreeMap<String, u64>,
}

/// A series that moved: its name, something of its labels, by how much.
type Moved<'a> = (&'a str, &'a str, u64);

const ENQUEUED: &str = "tasks_enqueued_total";
const REJECTED: &str = "tasks_rejected_total";
const TOKENS_IN: &str = "tokens_in_total";
const TOKENS_OUT: &str = "tokens_out_total";

impl<'a> Counters<'a> {
    async fn of(audit: &'a Audit, daemon: &TestDaemon) -> Self {
        let mut counters = Self { audit, at: daemon.address, stood: BTreeMap::new() };
        counters.stood = counters.read().await;
        counters
    }

    async fn read(&self) -> BTreeMap<String, u64> {
        let answer = self.audit.expect(200, self.at, Ask::get("/metrics")).await;
        let series = answer.text().lines().filter(|line| line.contains("_total{"));
        let series = series.map(|line| line.rsplit_once(' ').expect("a series has a value"));
        series.map(|(name, value)| (name.to_owned(), value.parse().expect("a whole number"))).collect()
    }

    /// Since last asked, these moved and nothing else did.
    async fn moved(&mut self, what: &str, expected: &[Moved<'_>]) {
        let now = self.read().await;
        let moved: Vec<(&String, u64)> = now
            .iter()
            .map(|(series, value)| (series, value - self.stood.get(series).copied().unwrap_or(0)))
            .filter(|(_, by)| *by > 0)
            .collect();
        for (name, label, by) in expected {
            let one = |(series, moved): &&(&String, u64)| {
                series.starts_with(&format!("{name}{{")) && series.contains(label) && moved == by
            };
            assert_eq!(moved.iter().filter(one).count(), 1, "{what}: {name} {label} by {by} in {moved:?}");
        }
        assert_eq!(moved.len(), expected.len(), "{what}: {moved:?}");
        self.stood = now;
    }
}

const INTERACTIVE: Moved<'_> = (ENQUEUED, "priority=\"interactive\"", 1);
const BATCH: Moved<'_> = (ENQUEUED, "priority=\"batch\"", 1);

/// ORCH-MET-2
#[tokio::test]
async fn every_event_moves_its_counter_once_and_no_other() {
    let audit = Audit::new();
    tasks_that_run(&audit).await;
    tasks_that_are_refused(&audit).await;
    tasks_that_end_early(&audit).await;
    a_task_that_is_placed_again(&audit).await;
}

async fn tasks_that_run(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let mut counters = Counters::of(audit, &daemon).await;
    let body = json!({"prompt": "one two three", "task_id": super::audit::SOME_ID});
    daemon.control.hold(Phase::Prefill);
    let id = audit.submit(&daemon, body.clone()).await;
    counters.moved("a task is admitted", &[INTERACTIVE]).await;
    audit.submit(&daemon, body).await;
    counters.moved("the same task again", &[]).await;
    daemon.control.release(Phase::Prefill);
    audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
    let replica = "replica_id=\"p/0\"";
    counters.moved("it ends", &[(TOKENS_IN, replica, 3), (TOKENS_OUT, replica, 3)]).await;
    audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
    audit.expect(200, daemon.address, Ask::get("/health")).await;
    audit.expect(204, daemon.address, Ask::post(&task("cancel", &id))).await;
    counters.moved("it is read again, and canceled too late", &[]).await;
    let id = audit.submit(&daemon, json!({"prompt": "one two", "priority": "batch", "max_tokens": 1})).await;
    audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
    counters.moved("a batch task", &[BATCH, (TOKENS_IN, replica, 2), (TOKENS_OUT, replica, 1)]).await;
}

async fn tasks_that_are_refused(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let mut counters = Counters::of(audit, &daemon).await;
    let refused = |code: &'static str| (REJECTED, code, 1);
    audit.expect(400, daemon.address, Ask::task(&json!({"prompt": "x", "max_tokens": 5000}))).await;
    counters.moved("a task that cannot fit", &[refused("reason=\"INVALID_PARAMS\"")]).await;
    audit.expect(400, daemon.address, Ask::task(&json!({"prompt": "x", "nonsense": 1}))).await;
    audit.expect(401, daemon.address, Ask::task(&prompt()).without("Authorization")).await;
    counters.moved("what reaches no pool", &[]).await;
    daemon.control.hold(Phase::Decode);
    for _ in 0..=LANE_BOUND {
        audit.submit(&daemon, prompt()).await;
        counters.moved("a task is admitted", &[INTERACTIVE]).await;
        daemon.control.until(|counts| counts.running == 1).await;
    }
    audit.expect(429, daemon.address, Ask::task(&prompt())).await;
    counters.moved("a full lane", &[refused("reason=\"ADMISSION_REJECT\"")]).await;
    let starting = TestDaemon::empty();
    let mut counters = Counters::of(audit, &starting).await;
    audit.expect(503, starting.address, Ask::task(&prompt())).await;
    counters.moved("a pool that loads", &[refused("reason=\"POOL_UNREADY\"")]).await;
}

async fn tasks_that_end_early(audit: &Audit) {
    let daemon = TestDaemon::queueing(FullPolicy::DropLru);
    daemon.bring_up().await;
    let mut counters = Counters::of(audit, &daemon).await;
    daemon.control.hold(Phase::Decode);
    let running = audit.submit(&daemon, prompt()).await;
    daemon.control.pass(Phase::Decode, 1);
    daemon.control.until(|counts| counts.tokens == 1).await;
    let batch = json!({"prompt": "one two", "priority": "batch"});
    let waiting = audit.submit(&daemon, batch.clone()).await;
    counters.moved("one runs and one waits", &[INTERACTIVE, BATCH]).await;
    audit.expect(204, daemon.address, Ask::post(&task("cancel", &waiting))).await;
    counters.moved("the one that waits is canceled", &[]).await;
    for _ in 0..LANE_BOUND {
        audit.submit(&daemon, batch.clone()).await;
        counters.moved("a batch task is admitted", &[BATCH]).await;
    }
    audit.submit(&daemon, batch).await;
    let evicted = (REJECTED, "reason=\"QUEUE_FULL_DROP_LRU\"", 1);
    counters.moved("another makes the oldest give way", &[BATCH, evicted]).await;
    daemon.control.hold(Phase::Prefill);
    audit.expect(204, daemon.address, Ask::post(&task("cancel", &running))).await;
    daemon.control.until(|counts| counts.ended == 1).await;
    // The driver hears of the end on its own way: the next task has its slot then.
    daemon.control.until(|counts| counts.submitted == 2).await;
    counters.moved("the one that runs is canceled", &[(TOKENS_IN, "p/0", 3), (TOKENS_OUT, "p/0", 1)]).await;
}

async fn a_task_that_is_placed_again(audit: &Audit) {
    let daemon = TestDaemon::new().await;
    let mut counters = Counters::of(audit, &daemon).await;
    daemon.control.hold(Phase::Prefill);
    let id = audit.submit(&daemon, prompt()).await;
    daemon.control.until(|counts| counts.running == 1).await;
    daemon.control.crash(&ExitReason::Signal(9));
    daemon.tell(ReplicaEventKind::Gone { reason: ExitReason::Signal(9) }).await;
    daemon.control.until(|counts| counts.lost == 1).await;
    daemon.bring_up().await;
    daemon.control.until(|counts| counts.submitted == 2).await;
    counters.moved("its engine died, and it is placed again", &[INTERACTIVE]).await;
    daemon.control.release(Phase::Prefill);
    audit.expect(200, daemon.address, Ask::get(&task("stream", &id))).await;
    counters.moved("it ends", &[(TOKENS_IN, "p/0", 3), (TOKENS_OUT, "p/0", 3)]).await;
}
