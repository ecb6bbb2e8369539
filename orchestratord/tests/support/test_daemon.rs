//! The daemon's server and driver over real sockets, with pretend engines behind the adapter trait.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config_schema::{LoadRequest, PoolConfig, PoolModel, SamplerProfile};
use engine_api::{
    Abilities, Device, Engine, EngineFactory, EngineKind, ExitReason, LoadOptions, ReplicaSpec,
};
use engine_mock::{Answer as Says, MockConfig, MockControl, MockFactory, Phase};
use generation::Workload;
use model_store::ModelRef;
use orchestrator_core::{FullPolicy, Millis, PoolId, QueueLimits, ReplicaId, SessionLimits, TokenCount};
use orchestratord::auth::ApiToken;
use orchestratord::backpressure::Refusal;
use orchestratord::clock::Clock;
use orchestratord::driver::{DriverTask, PoolSetup, Retention, Sources};
use orchestratord::handle::{Command, DriverHandle};
use orchestratord::health_view::{HealthView, PoolView, StayView};
use orchestratord::http::cors::Origins;
use orchestratord::http::guard::HostRules;
use orchestratord::http::image_url::ImageUrls;
use orchestratord::http::{Api, HttpSettings, Instruments, ReadDevices};
use orchestratord::log_ring::LogRing;
use orchestratord::metrics::Metrics;
use orchestratord::model_fit::ModelFit;
use orchestratord::model_folder::ModelFolder;
use orchestratord::pool_protocol::{ORDERS_BOUND, Order, PoolEvent, PoolKey};
use orchestratord::protocol::Configuration;
use orchestratord::server::{ConnectionLimits, Server, bind};
use orchestratord::state::ModelState;
use pool_manager::{ReplicaEvent, ReplicaEventKind, SelfTest, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::wire::TOKEN;

/// The most bytes a body may have here.
pub const BODY_BYTES: u64 = 1024 * 1024;
/// The most tasks of each lane that wait here.
pub const LANE_BOUND: usize = 2;
/// The most streams here.
pub const STREAMS: u32 = 2;

/// How a pool is kept.
pub struct MockOptions {
    pub when_full: FullPolicy,
    pub hang_floor: Duration,
    /// The most tasks of each lane that wait.
    pub lane_bound: usize,
    /// The most ended tasks that stay readable.
    pub keep_tasks: usize,
    /// What its engine can be asked for.
    pub workloads: Vec<Workload>,
    /// What else it can be asked for.
    pub abilities: Abilities,
    /// What it answers.
    pub says: Says,
    /// Further names of the pool.
    pub aliases: Vec<String>,
    /// Whether clients of Ollama need the token.
    pub ollama_needs_token: bool,
}

impl Default for MockOptions {
    fn default() -> Self {
        Self {
            when_full: FullPolicy::Reject,
            hang_floor: Duration::from_secs(30),
            lane_bound: LANE_BOUND,
            keep_tasks: 1000,
            workloads: vec![Workload::Completion, Workload::Embedding],
            abilities: Abilities::default(),
            says: Says::Echo,
            aliases: Vec::new(),
            ollama_needs_token: false,
        }
    }
}

/// A running daemon.
pub struct TestDaemon {
    pub address: SocketAddr,
    /// Where the API of Ollama is spoken.
    pub ollama: SocketAddr,
    pub control: MockControl,
    factory: MockFactory,
    pools: mpsc::Sender<(PoolKey, PoolEvent)>,
    /// What the pool's controller is ordered.
    pub ordered: mpsc::Receiver<Order>,
    /// The way past the HTTP plane.
    pub driver: DriverHandle,
    tasks: JoinSet<()>,
    _server: Server,
}

impl TestDaemon {
    /// A daemon whose pool has not come far yet.
    pub fn empty() -> Self {
        Self::with(MockOptions::default())
    }

    /// The same, with another policy for a full batch lane.
    pub fn queueing(when_full: FullPolicy) -> Self {
        Self::with(MockOptions { when_full, ..MockOptions::default() })
    }

    /// The same, with manners of its own.
    pub fn with(manners: MockOptions) -> Self {
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::start();
        let (driver, commands) = DriverHandle::new(Arc::clone(&metrics));
        let (orders, ordered) = mpsc::channel(ORDERS_BOUND);
        let (_, devices) = watch::channel(Arc::new(Snapshot::default()));
        let (pool_events, pools) = mpsc::channel(64);
        let setup = PoolSetup {
            id: pool(),
            model_ref: "starter".to_owned(),
            aliases: manners.aliases,
            defaults: Arc::default(),
            engine: EngineKind::Llamacpp,
            queue: QueueLimits {
                interactive: manners.lane_bound,
                batch: manners.lane_bound,
                interactive_reserve: 0,
                full_policy: manners.when_full,
                ..QueueLimits::default()
            },
            sessions: SessionLimits::default(),
            preload: false,
            attached: false,
            idle_unload: None,
            hang_floor: manners.hang_floor,
            outage_wait: Duration::from_secs(60),
        };
        let retention =
            Retention { time: Duration::from_secs(600), tasks: manners.keep_tasks, bytes: 1 << 26 };
        let configuration = Configuration { retention, pools: vec![(setup, pool_config())] };
        let open_pool = Box::new(move |_, _| orders.clone());
        let queues = DriverTask::new(configuration, open_pool, Arc::clone(&metrics), clock, Duration::ZERO);
        let mut tasks = JoinSet::new();
        tasks.spawn(queues.run(Sources { commands, pools, devices }));
        let (server, ollama) = serve(driver.clone(), metrics, clock, manners.ollama_needs_token);
        let engine = MockConfig {
            slots: 1,
            answer: manners.says,
            abilities: manners.abilities,
            workloads: manners.workloads,
            ..MockConfig::instant()
        };
        let (factory, control) = MockFactory::new(engine);
        Self {
            address: server.address(),
            ollama,
            control,
            factory,
            ordered,
            pools: pool_events,
            driver,
            tasks,
            _server: server,
        }
    }

    /// A daemon that serves.
    pub async fn new() -> Self {
        let daemon = Self::empty();
        daemon.bring_up().await;
        daemon
    }

    /// Makes the pool ready.
    pub async fn bring_up(&self) {
        self.begin().await;
        let spec = ReplicaSpec {
            replica: replica(),
            model: "/model".into(),
            ctx: Some(TokenCount(4096)),
            kv_cells: None,
            slots: 1,
            threads: None,
            device: Device::Cpu,
            gpu_layers: None,
            options: LoadOptions::default(),
        };
        let engine = self.factory.start(spec, Arc::new(|_| {})).await.expect("a pretend engine starts");
        self.serve_with(engine).await;
    }

    /// Lets the pool start its replica.
    pub async fn begin(&self) {
        self.pools
            .send((PoolKey::FIRST, PoolEvent::Starting(vec![(replica(), Device::Cpu)])))
            .await
            .expect("it runs");
        // News of replicas comes another way and must not overtake this.
        while self.driver.health().await.expect("the driver runs").pools[0].replicas.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Makes the replica ready with this engine.
    pub async fn serve_with(&self, engine: Arc<dyn Engine>) {
        let self_test = SelfTest {
            prefill_tps: 1000.0,
            decode_tps: Some(100.0),
            batched: None,
            first_token_ms: Millis(1),
            took: Duration::from_millis(100),
        };
        self.tell(ReplicaEventKind::Ready { engine, self_test }).await;
        while !self.driver.health().await.expect("the driver runs").ready {
            tokio::task::yield_now().await;
        }
    }

    /// Says of the replica what its supervisor would.
    pub async fn tell(&self, kind: ReplicaEventKind) {
        let event = PoolEvent::Replica(ReplicaEvent { replica: replica(), kind });
        self.pools.send((PoolKey::FIRST, event)).await.expect("the driver runs");
    }

    /// Says of the pool what its controller would.
    pub async fn say(&self, event: PoolEvent) {
        self.pools.send((PoolKey::FIRST, event)).await.expect("the driver runs");
    }

    /// Ends the pool's replica, as its controller would.
    pub async fn unload(&self) {
        self.tell(ReplicaEventKind::Gone { reason: ExitReason::Stopped }).await;
        self.say(PoolEvent::Unloaded).await;
    }

    /// Has the engine die once the task in it has said one token.
    pub async fn crash_after_a_token(&self) {
        self.control.until(|counts| counts.running == 1).await;
        self.control.pass(Phase::Decode, 1);
        self.control.until(|counts| counts.tokens == 1).await;
        self.control.crash(&ExitReason::Signal(9));
        self.tell(ReplicaEventKind::Gone { reason: ExitReason::Signal(9) }).await;
    }

    /// Says of the pool that its model cannot be fetched.
    pub async fn fail_fetch(&self) {
        let event = PoolEvent::FetchFailed { why: "no network".to_owned(), retry_in: Duration::from_secs(5) };
        self.pools.send((PoolKey::FIRST, event)).await.expect("the driver runs");
    }

    /// Begins to stop; what runs goes on.
    pub async fn begin_stop(&mut self) {
        let driver = self.driver.clone();
        self.tasks.spawn(async move { driver.begin_stop().await });
        while !self.driver.health().await.expect("the driver runs").stopping {
            tokio::task::yield_now().await;
        }
    }

    /// Ends the driver under the server's feet.
    pub async fn lose_driver(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// A server whose driver has nothing but defects.
pub struct BrokenDaemon {
    pub address: SocketAddr,
    pub ollama: SocketAddr,
    _driver: JoinSet<()>,
    _server: Server,
}

impl BrokenDaemon {
    pub fn new() -> Self {
        let metrics = Arc::new(Metrics::new());
        let (driver, mut commands) = DriverHandle::new(Arc::clone(&metrics));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(command) = commands.recv().await {
                match command {
                    Command::Route(_, to) => to.send(Err(Refusal::Internal)),
                    Command::Health(to) => to.send(pools_of_a_broken_daemon()),
                    Command::Cancel(_, to) | Command::EvictSession(_, to) => to.send(Err(Refusal::Internal)),
                    Command::Subscribe(_, to) => to.send(Err(Refusal::Internal)),
                    Command::Task(_, to) => to.send(Err(Refusal::Internal)),
                    Command::Session(_, to) => to.send(Err(Refusal::Internal)),
                    Command::Reload(_, _, to) => to.send(Err(Refusal::Internal)),
                    Command::SetModelState(_, _, to) => to.send(Err(Refusal::Internal)),
                    other => panic!("nobody asks for {other:?}"),
                }
            }
        });
        let (server, ollama) = serve(driver, metrics, Clock::start(), false);
        Self { address: server.address(), ollama, _driver: tasks, _server: server }
    }
}

/// Serves at two addresses, the second of which is for clients of Ollama.
fn serve(
    driver: DriverHandle,
    metrics: Arc<Metrics>,
    clock: Clock,
    ollama_needs_token: bool,
) -> (Server, SocketAddr) {
    let listener = bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let calm = SamplerProfile { temperature: Some(0.1), ..SamplerProfile::default() };
    let settings = HttpSettings {
        token: ApiToken::new(TOKEN),
        ollama_needs_token,
        hosts: HostRules::new(address, &[]),
        origins: Origins::new(&["https://chat.example".to_owned()]),
        image_urls: ImageUrls::default(),
        body_bytes: BODY_BYTES,
        streams: STREAMS,
        keepalive: Duration::from_millis(50),
        sampler_profiles: BTreeMap::from([("calm".to_owned(), calm)]),
        engines: BTreeMap::from([(pool(), EngineKind::Llamacpp)]),
        models: BTreeMap::from([(pool(), PoolModel::Reference(ModelRef::Starter))]),
        defaults: BTreeMap::new(),
        pools: BTreeMap::new(),
        build: "none".to_owned(),
    };
    let snapshot = Arc::new(Snapshot::default());
    let devices: ReadDevices = Arc::new(move || Arc::clone(&snapshot));
    // What is fetched in these tests has no host.
    let folder = std::env::temp_dir().join(format!("orchestratord-models-{}", std::process::id()));
    let folder = model_store::Store::new(folder, model_store::Env::default());
    let folder = Arc::new(folder);
    let fit = ModelFit::with(Arc::new(MockFactory::new(MockConfig::default()).0), Arc::clone(&folder));
    let folder = ModelFolder::new(folder);
    let log = LogRing::new();
    log.push(b"2026-01-01T00:00:00Z  INFO listening");
    let instruments =
        Instruments { metrics, devices, ledger: Arc::default(), clock, models: folder, log, fit };
    let limits = ConnectionLimits {
        connections: 64,
        header_timeout: Duration::from_secs(10),
        authentication_timeout: Duration::from_secs(20),
        write_timeout: Duration::from_secs(60),
        header_bytes: 16 * 1024,
    };
    let api = Api::new(driver, settings, instruments);
    let mut server = Server::start(listener, api.router(), limits).expect("it starts");
    let ollama = bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = ollama.local_addr().expect("an address");
    server.also_accept(ollama, api.ollama_router());
    (server, address)
}

/// What a daemon with nothing but defects says of its pools.
fn pools_of_a_broken_daemon() -> HealthView {
    let pool = PoolView {
        id: pool(),
        model_ref: "starter".to_owned(),
        aliases: Vec::new(),
        engine: EngineKind::Llamacpp,
        state: ModelState::Active,
        unloaded: false,
        loading: false,
        reload: None,
        placement: Vec::new(),
        facts: None,
        lanes: Vec::new(),
        replicas: Vec::new(),
        fetch: None,
        reason: None,
        stay: StayView::default(),
        prediction_error: None,
    };
    HealthView { ready: true, stopping: false, uptime: Millis(1), pools: vec![pool] }
}

/// The defaults of a pool. The driver only passes them on.
fn pool_config() -> PoolConfig {
    let request = LoadRequest { cwd: "/".into(), home: Some("/".into()), ..LoadRequest::default() };
    let config = config_schema::load(&request).expect("the defaults hold").config;
    PoolConfig { id: pool(), ..config.pools.into_iter().next().expect("there is one") }
}

fn pool() -> PoolId {
    PoolId::new("p").expect("a name")
}

fn replica() -> ReplicaId {
    ReplicaId { pool: pool(), index: 0 }
}
