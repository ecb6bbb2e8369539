use std::collections::HashMap;

use config_schema::{LoadRequest, PoolConfig};
use engine_api::{Device, EngineFactory, EngineKind, ExitReason, LoadOptions, ReplicaSpec};
use engine_mock::{Answer, Counts, Measuring, MockConfig, MockControl, MockFactory, Phase};
use generation::{GenerateRequest, Input, KvHint, Workload};
use orchestrator_core::{
    FullPolicy, Priority, QueueLimits, ReplicaId, SessionId, SessionLimits, TaskId, TokenCount,
};
use std::sync::Arc;

use pool_manager::{ReplicaEvent, ReplicaEventKind, SelfTest, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::backpressure::{Code, Failure, Refusal};
use crate::clock::Clock;
use crate::handle::TaskRequest;
use crate::metrics::Metrics;
use crate::pool_protocol::{Order, PoolKey};
use crate::protocol::Configuration;
use crate::task_log::{Chunk, FinishReason, LogReader, TaskEnd};
use orchestrator_core::PoolId;

mod admission;
mod config_reload;
mod configure;
mod handle;
mod losses;
mod views;

/// The silence that is a hang here.
const HANG_FLOOR: Duration = Duration::from_secs(10);
/// How long tasks wait for an outage to end here.
const OUTAGE_WAIT: Duration = Duration::from_secs(60);

/// A driver with one pool, whose replicas are pretend engines.
struct TestDriver {
    handle: DriverHandle,
    control: MockControl,
    factory: MockFactory,
    pools: mpsc::Sender<(PoolKey, PoolEvent)>,
    _orders: mpsc::Receiver<Order>,
    _driver: JoinSet<()>,
}

fn pool_id() -> PoolId {
    PoolId::new("p").unwrap()
}

/// The defaults of a pool. The driver only passes them on.
pub(super) fn pool_config(id: PoolId) -> PoolConfig {
    let request = LoadRequest { cwd: "/".into(), home: Some("/".into()), ..LoadRequest::default() };
    PoolConfig { id, ..config_schema::load(&request).unwrap().config.pools.remove(0) }
}

fn replica_id(index: u16) -> ReplicaId {
    ReplicaId { pool: pool_id(), index }
}

fn small_queue() -> QueueLimits {
    QueueLimits { interactive: 2, batch: 2, interactive_reserve: 0, ..QueueLimits::default() }
}

fn keeping(tasks: usize) -> Retention {
    Retention { time: Duration::from_secs(60), tasks, bytes: 1 << 20 }
}

impl TestDriver {
    async fn new(engine: MockConfig, queue: QueueLimits, retention: Retention, replicas: u16) -> Self {
        let (factory, control) = MockFactory::new(engine);
        let metrics = Arc::new(Metrics::new());
        let (handle, commands) = DriverHandle::new(Arc::clone(&metrics));
        let (pools, pool_source) = mpsc::channel(16);
        let (orders_out, orders) = mpsc::channel(crate::pool_protocol::ORDERS_BOUND);
        let (_, devices) = watch::channel(Arc::new(Snapshot::default()));
        let setup = PoolSetup {
            id: pool_id(),
            model_ref: "starter".into(),
            aliases: Vec::new(),
            defaults: Arc::default(),
            engine: EngineKind::Llamacpp,
            queue,
            sessions: SessionLimits::default(),
            attached: false,
            preload: false,
            idle_unload: None,
            hang_floor: HANG_FLOOR,
            outage_wait: OUTAGE_WAIT,
        };
        let configuration = Configuration { retention, pools: vec![(setup, pool_config(pool_id()))] };
        let open_pool = Box::new(move |_, _| orders_out.clone());
        let driver = DriverTask::new(configuration, open_pool, metrics, Clock::start(), Duration::ZERO);
        let mut running = JoinSet::new();
        running.spawn(driver.run(Sources { commands, pools: pool_source, devices }));
        let started = (0..replicas).map(|index| (replica_id(index), Device::Cpu)).collect();
        if replicas > 0 {
            pools.send((PoolKey::FIRST, PoolEvent::Starting(started))).await.unwrap();
        }
        let driver = Self { handle, control, factory, pools, _orders: orders, _driver: running };
        for index in 0..replicas {
            driver.bring_up(index).await;
        }
        driver
    }

    async fn one(engine: MockConfig) -> Self {
        Self::new(engine, small_queue(), keeping(100), 1).await
    }

    async fn bring_up(&self, index: u16) {
        let spec = ReplicaSpec {
            replica: replica_id(index),
            model: "/model".into(),
            ctx: None,
            kv_cells: None,
            slots: 1,
            threads: None,
            device: Device::Cpu,
            gpu_layers: None,
            options: LoadOptions::default(),
        };
        let engine = self.factory.start(spec, Arc::new(|_| {})).await.unwrap();
        let self_test = SelfTest {
            prefill_tps: 1000.0,
            decode_tps: Some(100.0),
            batched: None,
            first_token_ms: Millis(1),
            took: Duration::from_millis(100),
        };
        let kind = ReplicaEventKind::Ready { engine, self_test };
        self.tell(index, kind).await;
        // Until the driver has handled it: a replica that serves is a part of its health.
        loop {
            let health = self.handle.health().await.unwrap();
            let replica = health.pools[0].replicas.get(usize::from(index));
            if replica.is_some_and(|replica| replica.facts.is_some()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn tell(&self, index: u16, kind: ReplicaEventKind) {
        let event = PoolEvent::Replica(ReplicaEvent { replica: replica_id(index), kind });
        self.pools.send((PoolKey::FIRST, event)).await.unwrap();
    }

    async fn admit(&self, task: u128, priority: Priority) -> Result<crate::handle::Accepted, Refusal> {
        self.handle.submit(request(task, priority)).await
    }

    async fn read(&self, task: u128) -> LogReader {
        self.handle.subscribe(TaskId(Uuid::from_u128(task)), 0).await.unwrap().reader
    }

    async fn end_of(&self, task: u128) -> (String, TaskEnd) {
        let mut reader = self.read(task).await;
        let mut text = String::new();
        loop {
            match reader.next().await.expect("the end comes first") {
                Chunk::Tokens { texts, .. } => text.extend(texts),
                Chunk::End(end) => return (text, end),
            }
        }
    }
}

fn request(task: u128, priority: Priority) -> TaskRequest {
    let job = GenerateRequest {
        priority,

        max_tokens: Some(TokenCount(5)),
        ..GenerateRequest::new(TaskId(Uuid::from_u128(task)), Input::Prompt("one two three".into()))
    };
    TaskRequest {
        job: Arc::new(job),
        model_ref: None,
        engine: None,
        expected_tokens: None,
        keep_alive: None,
        fingerprint: 1,
    }
}

fn one_slot() -> MockConfig {
    MockConfig { slots: 1, answer: Answer::Endless, ..MockConfig::instant() }
}

fn failure(end: &TaskEnd) -> Code {
    end.failure.as_ref().expect("it failed").verdict().code
}

/// ORCH-CANCEL-2
#[tokio::test]
async fn a_waiting_task_that_is_canceled_never_reaches_an_engine() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Interactive).await.unwrap();
    for _ in 0..2 {
        driver.handle.cancel(TaskId(Uuid::from_u128(2))).await.unwrap();
    }
    let (text, end) = driver.end_of(2).await;
    assert_eq!((text.as_str(), end.finish), ("", FinishReason::Canceled));
    driver.control.release(Phase::Decode);
    driver.end_of(1).await;
    assert_eq!(driver.control.submitted(), [TaskId(Uuid::from_u128(1))]);
}

/// ORCH-CANCEL-1
#[tokio::test]
async fn a_running_task_that_is_canceled_says_nothing_more_and_frees_its_slot() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.control.pass(Phase::Decode, 2);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.tokens == 2).await;
    driver.handle.cancel(TaskId(Uuid::from_u128(1))).await.unwrap();
    let (_, end) = driver.end_of(1).await;
    assert_eq!((end.finish, end.tokens_out), (FinishReason::Canceled, TokenCount(2)));
    driver.control.release(Phase::Decode);
    driver.admit(2, Priority::Interactive).await.unwrap();
    assert_eq!(driver.end_of(2).await.1.finish, FinishReason::Length);
    let (_, still) = driver.end_of(1).await;
    assert_eq!(still, end);
}

/// ORCH-STOP-1
#[tokio::test]
async fn a_stop_ends_what_waits_refuses_what_comes_and_waits_for_what_runs() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.admit(2, Priority::Batch).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    let stopping = {
        let handle = driver.handle.clone();
        let mut set = JoinSet::new();
        set.spawn(async move { handle.begin_stop().await });
        set
    };
    assert_eq!(failure(&driver.end_of(2).await.1), Code::PoolUnavailable);
    assert_eq!(driver.admit(3, Priority::Interactive).await.unwrap_err(), Refusal::Stopping);
    assert!(!driver.handle.health().await.unwrap().ready);
    driver.control.release(Phase::Decode);
    assert_eq!(driver.end_of(1).await.1.finish, FinishReason::Length);
    assert_eq!(stopping.join_all().await.len(), 1);
}

/// ORCH-STOP-2
#[tokio::test]
async fn what_still_runs_when_the_grace_is_over_gets_its_end() {
    let driver = TestDriver::one(one_slot()).await;
    driver.control.hold(Phase::Decode);
    driver.admit(1, Priority::Interactive).await.unwrap();
    driver.control.until(|counts: &Counts| counts.running == 1).await;
    driver.handle.end_running().await;
    assert_eq!(driver.end_of(1).await.1.finish, FinishReason::Error);
    driver.control.until(|counts: &Counts| counts.cancels == 1).await;
}

/// ORCH-STREAM-6
#[tokio::test]
async fn no_more_ended_tasks_are_kept_than_the_bound() {
    let driver = TestDriver::new(one_slot(), small_queue(), keeping(3), 1).await;
    for task in 0..6 {
        driver.admit(task, Priority::Interactive).await.unwrap();
        driver.end_of(task).await;
    }
    // The driver may still be putting the last one away: it answers in order.
    driver.handle.health().await.unwrap();
    let mut readable = Vec::new();
    for task in 0..6 {
        if driver.handle.subscribe(TaskId(Uuid::from_u128(task)), 0).await.is_ok() {
            readable.push(task);
        }
    }
    assert_eq!(readable, [3, 4, 5]);
}

#[tokio::test]
async fn a_task_that_uses_no_cache_is_no_turn_of_its_session() {
    let driver = TestDriver::one(one_slot()).await;
    let session = SessionId(Uuid::from_u128(77));
    for (task, kv) in [(1, KvHint::Reuse), (2, KvHint::None)] {
        let mut turn = request(task, Priority::Interactive);
        let job = Arc::make_mut(&mut turn.job);
        (job.session, job.kv) = (Some(session), kv);
        driver.handle.submit(turn).await.unwrap();
        driver.end_of(task).await;
    }
    assert_eq!(driver.handle.session(session).await.unwrap().turns, 1);
}

/// ORCH-SESS-1
#[tokio::test]
async fn a_session_shows_its_turns_and_its_cache_and_can_be_evicted() {
    let driver = TestDriver::one(one_slot()).await;
    let session = SessionId(Uuid::from_u128(77));
    let mut turn = request(1, Priority::Interactive);
    Arc::make_mut(&mut turn.job).session = Some(session);
    driver.handle.submit(turn).await.unwrap();
    driver.end_of(1).await;
    let view = driver.handle.session(session).await.unwrap();
    assert_eq!(view.turns, 1);
    assert!(view.kv_bytes > 0);
    assert!((view.kv_warmth - 1.0).abs() < f32::EPSILON);
    driver.handle.evict_session(session).await.unwrap();
    assert!(matches!(driver.handle.session(session).await, Err(Refusal::NotFound(_))));
}

/// ORCH-TASK-12
/// Many tasks, canceled and crashed at random: each gets exactly one end, and the driver is empty after.
#[tokio::test]
async fn whatever_happens_every_admitted_task_gets_exactly_one_end() {
    let queue = QueueLimits { full_policy: FullPolicy::DropLru, ..small_queue() };
    for seed in 0..20_u64 {
        let driver = TestDriver::new(MockConfig { slots: 2, ..one_slot() }, queue, keeping(1000), 2).await;
        let mut random = seed;
        let mut dice = move |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let mut admitted = HashMap::new();
        for task in 0..60_u128 {
            let priority = Priority::ALL[usize::try_from(dice(2)).unwrap()];
            if driver.admit(task, priority).await.is_ok() {
                admitted.insert(task, priority);
            }
            match dice(12) {
                0 => {
                    driver.control.crash(&ExitReason::Code(1));
                    driver.bring_up(0).await;
                    driver.bring_up(1).await;
                }
                1..4 => drop(driver.handle.cancel(TaskId(Uuid::from_u128(dice(60).into()))).await),
                _ => {}
            }
        }
        for task in admitted.keys() {
            let mut reader = driver.read(*task).await;
            let mut ends = 0;
            let mut next = 0;
            while let Some(chunk) = reader.next().await {
                match chunk {
                    Chunk::Tokens { first, texts } => {
                        assert_eq!((first, ends), (next, 0), "seed {seed}");
                        next += u32::try_from(texts.len()).unwrap();
                    }
                    Chunk::End(_) => ends += 1,
                }
            }
            assert_eq!(ends, 1, "seed {seed} task {task}");
        }
        let health = driver.handle.health().await.unwrap();
        assert!(health.pools[0].lanes.iter().all(|lane| lane.depth == 0), "seed {seed}");
    }
}
