//! Controllers with the real driver between them, and pretend engines behind the adapter trait.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use config_schema::{Config, LoadRequest, PoolModel};
use engine_api::{Device, EngineKind, StartError};
use engine_mock::{Answer, MockConfig, MockControl, MockFactory, Phase};
use generation::{GenerateRequest, Input};
use model_store::{Env, ModelRef};
use orchestrator_core::{QueueLimits, SessionLimits, TaskId};
use pool_manager::devices::MemoryReading;
use pool_manager::{DeviceReading, Ledger, ReplicaEventKind, Snapshot};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use super::*;
use crate::clock::Clock;
use crate::driver::{DriverTask, PoolSetup, Retention, Sources};
use crate::handle::{Accepted, DriverHandle, TaskRequest};
use crate::health_view::HealthView;
use crate::metrics::Metrics;
use crate::pool_protocol::{ORDERS_BOUND, Orders, ReloadOrder, RollbackCode};
use crate::protocol::Configuration;
use crate::state::ModelState;
use crate::task_log::{Chunk, FinishReason, TaskEnd};

/// What each model here needs.
const NEEDS: u64 = 10;

/// A daemon without its HTTP planes: driver, controllers, pretend engines, one device of a given size.
struct TestDaemon {
    driver: DriverHandle,
    control: MockControl,
    ledger: Arc<Ledger>,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
    _devices: watch::Sender<Arc<Snapshot>>,
    controllers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    _tasks: JoinSet<()>,
    next: std::cell::Cell<u128>,
    other_model: PathBuf,
}

fn pool(id: &str) -> PoolId {
    PoolId::new(id).unwrap()
}

/// The defaults of a pool, as the configuration has them.
fn pool_config(id: &str, folder: &tempfile::TempDir) -> PoolConfig {
    let request = LoadRequest {
        cwd: folder.path().to_owned(),
        home: Some(folder.path().to_owned()),
        ..LoadRequest::default()
    };
    let config: Config = config_schema::load(&request).unwrap().config;
    let file = folder.path().join(format!("{id}.gguf"));
    std::fs::write(&file, "a model").unwrap();
    let model = PoolModel::Reference(ModelRef::File(file));
    PoolConfig { id: pool(id), model, slots: 1, ..config.pools[0].clone() }
}

fn configuration(pools: Vec<PoolConfig>) -> Configuration {
    let setup = |config: &PoolConfig| PoolSetup {
        id: config.id.clone(),
        model_ref: config.model.to_string(),
        aliases: Vec::new(),
        defaults: Arc::default(),
        engine: EngineKind::Llamacpp,
        queue: QueueLimits::default(),
        sessions: SessionLimits::default(),
        preload: config.preload,
        attached: false,
        idle_unload: config.idle_unload,
        hang_floor: Duration::from_secs(30),
        outage_wait: Duration::from_secs(60),
    };
    let retention = Retention { time: Duration::from_secs(600), tasks: 10_000, bytes: 1 << 24 };
    Configuration { retention, pools: pools.into_iter().map(|config| (setup(&config), config)).collect() }
}

struct TestSetup<'a> {
    pools: &'a [&'a str],
    memory: u64,
    engine: MockConfig,
    change: fn(&mut PoolConfig),
}

impl Default for TestSetup<'_> {
    fn default() -> Self {
        let engine = MockConfig { answer: Answer::Echo, needs_bytes: Some(NEEDS), ..MockConfig::default() };
        Self { pools: &["a"], memory: 2 * NEEDS, engine: MockConfig { slots: 1, ..engine }, change: |_| {} }
    }
}

impl TestDaemon {
    fn new(setup: TestSetup<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (factory, control) = MockFactory::new(setup.engine);
        let engines: Arc<dyn EngineFactory> = Arc::new(factory);
        let metrics = Arc::new(Metrics::new());
        let (driver, commands) = DriverHandle::new(Arc::clone(&metrics));
        let (events, pools) = mpsc::channel(64);
        let memory = MemoryReading { total_bytes: setup.memory, used_bytes: 0, free_bytes: setup.memory };
        let reading = DeviceReading {
            device: Device::Cpu,
            name: "a cpu".into(),
            memory: Some(memory),
            utilization: None,
        };
        // The reading never shows what is loaded, so that every load counts in full from the ledger.
        let snapshot = Snapshot { devices: vec![reading], ..Snapshot::default() };
        let (devices_out, devices) = watch::channel(Arc::new(snapshot));
        let ledger = Arc::new(Ledger::default());
        let memory = MemoryAccount {
            ledger: Arc::clone(&ledger),
            devices: Arc::new({
                let devices = devices.clone();
                move || Arc::clone(&devices.borrow())
            }),
            margin_bytes: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let controllers: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let open_pool = {
            let controllers = Arc::clone(&controllers);
            let (store, shutdown, events) = (folder.path().join("store"), shutdown.clone(), events);
            Box::new(move |key, config: PoolConfig| {
                let (orders, ordered): (Orders, _) = mpsc::channel(ORDERS_BOUND);
                let engines = Arc::clone(&engines);
                let context = PoolContext {
                    pool: config.id.clone(),
                    key,
                    store: Arc::new(Store::new(store.clone(), Env::default())),
                    engines: Arc::new(move |_, _| Arc::clone(&engines)),
                    policy: watch::channel(ReplicaPolicy::default()).1,
                    offload: Offload::None,
                    memory: memory.clone(),
                    residents: Residents::default(),
                    events: events.clone(),
                    shutdown: shutdown.clone(),
                };
                let controller = crate::tasks::spawn(keep(config, ordered, context));
                controllers.lock().unwrap().push(controller);
                orders
            })
        };
        let pools_of = |ids: &[&str]| {
            let config = |id: &&str| {
                let mut config = pool_config(id, &folder);
                (setup.change)(&mut config);
                config
            };
            ids.iter().map(config).collect::<Vec<_>>()
        };
        let configuration = configuration(pools_of(setup.pools));
        let queues = DriverTask::new(configuration, open_pool, metrics, Clock::start(), Duration::ZERO);
        tasks.spawn(queues.run(Sources { commands, pools, devices }));
        let other_model = folder.path().join("other.gguf");
        std::fs::write(&other_model, "another model").unwrap();
        Self {
            driver,
            control,
            ledger,
            shutdown,
            _folder: folder,
            _devices: devices_out,
            controllers,
            _tasks: tasks,
            next: std::cell::Cell::new(1),
            other_model,
        }
    }

    async fn health(&self) -> HealthView {
        self.driver.health().await.unwrap()
    }

    /// Waits until the daemon is in a state. Time is paused, so that this costs none.
    async fn until(&self, what: &str, wanted: impl Fn(&HealthView) -> bool) {
        for _ in 0..100_000 {
            if wanted(&self.health().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never came to this: {what}; it is {:?}", self.health().await);
    }

    async fn until_ready(&self, index: usize) {
        self.until("ready", |health| is_ready(health, index)).await;
    }

    async fn submit(&self, model: &str) -> Accepted {
        let task = self.next.get();
        self.next.set(task + 1);
        let job = GenerateRequest {
            seed: 1,
            kv: generation::KvHint::default(),
            ..GenerateRequest::new(TaskId(Uuid::from_u128(task)), Input::Prompt("one two three".into()))
        };
        let request = TaskRequest {
            job: Arc::new(job),
            model_ref: Some(model.to_owned()),
            engine: None,
            expected_tokens: None,
            keep_alive: None,
            fingerprint: 1,
        };
        self.driver.submit(request).await.unwrap()
    }

    async fn end_of(&self, accepted: Accepted) -> (String, TaskEnd) {
        let mut reader = self.driver.subscribe(accepted.task, 0).await.unwrap().reader;
        let mut text = String::new();
        loop {
            match reader.next().await.expect("the end comes first") {
                Chunk::Tokens { texts, .. } => text.extend(texts),
                Chunk::End(end) => return (text, end),
            }
        }
    }

    async fn reload(&self, id: &str) -> Result<String, RollbackCode> {
        let model = PoolModel::Reference(ModelRef::File(self.other_model.clone()));
        let outcome =
            self.driver.reload(pool(id), ReloadOrder { model, sha256: None, options: None }).await.unwrap();
        outcome.map_err(|rollback| rollback.code)
    }
}

fn is_ready(health: &HealthView, index: usize) -> bool {
    health.pools[index].replicas.iter().any(|replica| replica.state == "ready")
}

/// ORCH-MODEL-9
#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_preloaded_is_loaded_by_the_first_task_which_waits_for_it() {
    let daemon = TestDaemon::new(TestSetup { change: |pool| pool.preload = false, ..TestSetup::default() });
    daemon.until("unloaded", |health| health.pools[0].unloaded).await;
    assert!(daemon.health().await.ready, "it serves whoever asks");
    assert!(daemon.ledger.holdings().is_empty());

    let task = daemon.submit("a").await;
    let (text, end) = daemon.end_of(task).await;
    assert_eq!((text.as_str(), end.finish), ("one two three", FinishReason::Stop));
    assert_eq!(end.tokens_in.0, 3, "what the engine has counted, not what was guessed");
}

/// ORCH-MODEL-9
#[tokio::test(start_paused = true)]
async fn the_prediction_of_a_task_that_waits_for_its_model_counts_the_load() {
    let engine = MockConfig { load: Duration::from_secs(20), ..TestSetup::default().engine };
    let change = |pool: &mut PoolConfig| pool.idle_unload = Some(Duration::from_secs(60));
    let daemon = TestDaemon::new(TestSetup { engine, change, ..TestSetup::default() });
    daemon.until_ready(0).await;
    daemon.until("unloaded again", |health| health.pools[0].unloaded).await;

    let task = daemon.submit("a").await;
    let predicted = task.position.predicted_start.0;
    assert!((19_000..25_000).contains(&predicted), "{predicted} ms");
    let (_, end) = daemon.end_of(task).await;
    assert!(end.queue_ms.0.abs_diff(predicted) < 2_000, "{} ms, {predicted} predicted", end.queue_ms.0);
}

/// ORCH-MODEL-9
#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_uses_gives_its_memory_back() {
    let change = |pool: &mut PoolConfig| pool.idle_unload = Some(Duration::from_secs(60));
    let daemon = TestDaemon::new(TestSetup { change, ..TestSetup::default() });
    daemon.until_ready(0).await;
    assert_eq!(daemon.ledger.holdings().len(), 1);
    daemon.until("unloaded", |health| health.pools[0].unloaded).await;
    assert!(daemon.ledger.holdings().is_empty());
}

/// ORCH-MODEL-5
#[tokio::test(start_paused = true)]
async fn a_reload_swaps_the_model_under_a_stream_that_finishes_on_the_old_one() {
    let daemon = TestDaemon::new(TestSetup::default());
    daemon.until_ready(0).await;
    daemon.control.hold(Phase::Decode);
    let running = daemon.submit("a").await;
    daemon.control.until(|counts| counts.running == 1).await;
    let waiting = daemon.submit("a").await;

    // The self-test of the new model decodes, too: it gets through, the running stream does not.
    let reloading = daemon.reload("a");
    let release = async {
        daemon.until("the new model is tested", |_| daemon.control.counts().ready == 2).await;
        daemon.control.release(Phase::Decode);
    };
    let (reloaded, ()) = tokio::join!(reloading, release);
    assert!(reloaded.unwrap().ends_with("other.gguf"));
    for task in [running, waiting] {
        assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
    }
    daemon.until("the old replica is gone", |health| health.pools[0].replicas.len() == 1).await;
    assert!(daemon.health().await.pools[0].model_ref.ends_with("other.gguf"));
    daemon.until("its memory is back", |_| daemon.ledger.holdings().len() == 1).await;
}

/// ORCH-MODEL-5
#[tokio::test(start_paused = true)]
async fn whoever_hears_how_a_reload_went_may_ask_for_the_next_one() {
    let daemon = TestDaemon::new(TestSetup::default());
    daemon.until_ready(0).await;
    for _ in 0..32 {
        daemon.reload("a").await.unwrap();
    }
}

/// ORCH-MODEL-6
#[tokio::test(start_paused = true)]
async fn a_model_that_fails_leaves_the_old_one_where_it_is() {
    let daemon = TestDaemon::new(TestSetup::default());
    daemon.until_ready(0).await;
    for (error, code) in [
        (StartError::Model("no such architecture".into()), RollbackCode::ModelInvalid),
        (StartError::Memory("it does not fit".into()), RollbackCode::DoesNotFit),
        (StartError::Engine("it died".into()), RollbackCode::EngineFailed),
    ] {
        daemon.control.fail_starts(1, &error);
        assert_eq!(daemon.reload("a").await, Err(code));
        assert!(is_ready(&daemon.health().await, 0));
        assert!(daemon.health().await.pools[0].model_ref.ends_with("a.gguf"));
        assert_eq!(daemon.ledger.holdings().len(), 1, "what was tried has given its memory back");
    }
    let task = daemon.submit("a").await;
    assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
}

/// ORCH-MODEL-5
#[tokio::test(start_paused = true)]
async fn where_memory_is_for_one_model_only_the_queue_waits_while_they_change_places() {
    let daemon = TestDaemon::new(TestSetup { memory: NEEDS, ..TestSetup::default() });
    daemon.until_ready(0).await;
    daemon.control.hold(Phase::Decode);
    let running = daemon.submit("a").await;
    daemon.control.until(|counts| counts.running == 1).await;
    let reloading = daemon.reload("a");
    let meanwhile = async {
        daemon.until("held", |health| health.pools[0].replicas[0].state == "retiring").await;
        let waiting = daemon.submit("a").await;
        daemon.control.release(Phase::Decode);
        waiting
    };
    let (reloaded, waiting) = tokio::join!(reloading, meanwhile);
    assert!(reloaded.unwrap().ends_with("other.gguf"));
    for task in [running, waiting] {
        assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
    }
    assert_eq!(daemon.ledger.holdings().len(), 1);
}

/// ORCH-MODEL-6
#[tokio::test(start_paused = true)]
async fn where_the_new_model_fails_in_its_place_the_old_one_comes_back() {
    let daemon = TestDaemon::new(TestSetup { memory: NEEDS, ..TestSetup::default() });
    daemon.until_ready(0).await;
    daemon.control.fail_starts(1, &StartError::Model("it is broken".into()));
    assert_eq!(daemon.reload("a").await, Err(RollbackCode::ModelInvalid));
    let task = daemon.submit("a").await;
    assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
    assert!(daemon.health().await.pools[0].model_ref.ends_with("a.gguf"));
}

/// ORCH-MODEL-6
#[tokio::test(start_paused = true)]
async fn a_model_that_can_never_fit_is_refused_before_the_old_one_is_touched() {
    let daemon = TestDaemon::new(TestSetup {
        memory: NEEDS - 1,
        change: |pool| pool.preload = false,
        ..TestSetup::default()
    });
    daemon.until("unloaded", |health| health.pools[0].unloaded).await;
    assert_eq!(daemon.reload("a").await, Err(RollbackCode::DoesNotFit));
    let task = daemon.submit("a").await;
    let (_, end) = daemon.end_of(task).await;
    let failure = end.failure.unwrap().to_string();
    assert!(failure.contains("needs") && failure.contains("free on cpu"), "{failure}");
    assert_eq!(daemon.control.counts().starts, 0);
}

/// ORCH-DEV-6
#[tokio::test(start_paused = true)]
async fn two_models_share_memory_for_one_and_no_task_is_lost() {
    let change = |pool: &mut PoolConfig| pool.preload = false;
    let daemon =
        TestDaemon::new(TestSetup { pools: &["a", "b"], memory: NEEDS, change, ..TestSetup::default() });
    daemon.until("unloaded", |health| health.pools.iter().all(|pool| pool.unloaded)).await;
    for _ in 0..5 {
        let (first, second) = (daemon.submit("a").await, daemon.submit("b").await);
        for task in [first, second] {
            assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
            assert!(daemon.ledger.holdings().len() <= 1);
        }
    }
}

/// ORCH-MODEL-8
#[tokio::test(start_paused = true)]
async fn a_retired_model_finishes_what_runs_and_gives_its_memory_back_and_comes_back_when_active() {
    let daemon = TestDaemon::new(TestSetup::default());
    daemon.until_ready(0).await;
    daemon.control.hold(Phase::Decode);
    let running = daemon.submit("a").await;
    daemon.control.until(|counts| counts.running == 1).await;
    let waiting = daemon.submit("a").await;
    daemon.driver.set_model_state(pool("a"), ModelState::Retired).await.unwrap();
    assert_eq!(daemon.end_of(waiting).await.1.finish, FinishReason::Error);
    assert_eq!(daemon.ledger.holdings().len(), 1, "a task runs");

    daemon.control.release(Phase::Decode);
    assert_eq!(daemon.end_of(running).await.1.finish, FinishReason::Stop);
    daemon.until("unloaded", |health| health.pools[0].unloaded).await;
    assert!(daemon.ledger.holdings().is_empty());

    daemon.driver.set_model_state(pool("a"), ModelState::Active).await.unwrap();
    daemon.until_ready(0).await;
    let task = daemon.submit("a").await;
    assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
}

/// ORCH-MODEL-8
#[tokio::test(start_paused = true)]
async fn a_model_that_is_activated_before_it_has_gone_goes_on_without_a_load() {
    let daemon = TestDaemon::new(TestSetup::default());
    daemon.until_ready(0).await;
    daemon.control.hold(Phase::Decode);
    let running = daemon.submit("a").await;
    daemon.control.until(|counts| counts.running == 1).await;
    daemon.driver.set_model_state(pool("a"), ModelState::Retired).await.unwrap();
    daemon.driver.set_model_state(pool("a"), ModelState::Active).await.unwrap();
    let next = daemon.submit("a").await;
    daemon.control.release(Phase::Decode);
    for task in [running, next] {
        assert_eq!(daemon.end_of(task).await.1.finish, FinishReason::Stop);
    }
    assert_eq!(daemon.control.counts().starts, 1);
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_ends_every_controller_with_its_replicas() {
    let daemon = TestDaemon::new(TestSetup { pools: &["a", "b"], ..TestSetup::default() });
    daemon.until_ready(0).await;
    daemon.until_ready(1).await;
    daemon.shutdown.cancel();
    let controllers = std::mem::take(&mut *daemon.controllers.lock().unwrap());
    assert_eq!(controllers.len(), 2);
    for controller in controllers {
        controller.await.unwrap();
    }
    assert!(daemon.ledger.holdings().is_empty());
}

/// ORCH-CONF-11
#[tokio::test(start_paused = true)]
async fn a_pool_that_is_removed_gives_its_memory_to_one_that_is_added() {
    let daemon = TestDaemon::new(TestSetup { memory: NEEDS, ..TestSetup::default() });
    daemon.until_ready(0).await;
    let pools = vec![pool_config("b", &daemon._folder)];
    daemon.driver.configure(configuration(pools)).await.unwrap();
    daemon.until("the new pool is the only one", |health| health.pools.len() == 1).await;
    daemon.until_ready(0).await;
    assert_eq!(daemon.health().await.pools[0].id, pool("b"));
    let holdings = daemon.ledger.holdings();
    assert_eq!(holdings.iter().map(|holding| &holding.replica.pool).collect::<Vec<_>>(), [&pool("b")]);
    assert_eq!(daemon.control.counts().gone, 1);
}

mod orders;
mod reloading;
