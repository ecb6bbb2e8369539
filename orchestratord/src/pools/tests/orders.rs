//! Every order in every state of a controller, which the test orders about as the driver does: the table in
//! `controller.rs`, cell by cell.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use engine_api::ExitReason;
use pool_manager::{Demand, Reservation};

use super::*;

mod load;
mod memory;
mod reload;

/// The state in which an order comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Unloaded,
    /// From a server that answers when the test says so.
    Fetching,
    FetchDelay,
    Estimating,
    WaitingForRoom,
    Starting,
    Ready,
    BackingOff,
    Unloading,
    ReloadFetching,
    ReloadEstimating,
    ReloadLoading,
    ReloadTesting,
    /// In the place of the old model, in which a task runs.
    ReloadWaiting,
    /// In the place of the old model, which has gone.
    ReloadInPlace,
}

const ALL: [At; 15] = [
    At::Unloaded,
    At::Fetching,
    At::FetchDelay,
    At::Estimating,
    At::WaitingForRoom,
    At::Starting,
    At::Ready,
    At::BackingOff,
    At::Unloading,
    At::ReloadFetching,
    At::ReloadEstimating,
    At::ReloadLoading,
    At::ReloadTesting,
    At::ReloadWaiting,
    At::ReloadInPlace,
];

impl At {
    fn is_reloading(self) -> bool {
        matches!(
            self,
            Self::ReloadFetching
                | Self::ReloadEstimating
                | Self::ReloadLoading
                | Self::ReloadTesting
                | Self::ReloadWaiting
                | Self::ReloadInPlace
        )
    }
}

/// A controller and what it says.
struct Rig {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<(PoolKey, PoolEvent)>,
    /// The engines of the pool's own model.
    control: MockControl,
    /// The engines of the other model.
    other: MockControl,
    ledger: Arc<Ledger>,
    shutdown: CancellationToken,
    model: PathBuf,
    other_model: PathBuf,
    server: TcpListener,
    /// What holds memory beside the pool.
    _neighbour: Option<Reservation>,
    /// Kept so that the controller waits on.
    idle: Option<tokio::sync::oneshot::Sender<()>>,
    _folder: tempfile::TempDir,
    _controller: JoinSet<()>,
}

/// Where the pool's model is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    File,
    /// A file that is not there.
    NoFile,
    Server,
}

struct Setting {
    memory: u64,
    /// What the other model needs.
    other_needs: u64,
    preload: bool,
    source: Source,
    hold: Option<Phase>,
}

impl Default for Setting {
    fn default() -> Self {
        let memory = 2 * NEEDS;
        Self { memory, other_needs: NEEDS, preload: true, source: Source::File, hold: None }
    }
}

impl Rig {
    fn new(setting: &Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = MockConfig { answer: Answer::Echo, needs_bytes: Some(NEEDS), ..MockConfig::instant() };
        let (own, control) = MockFactory::new(config.clone());
        let (others, other) =
            MockFactory::new(MockConfig { needs_bytes: Some(setting.other_needs), ..config });
        let (own, others): (Arc<dyn EngineFactory>, Arc<dyn EngineFactory>) =
            (Arc::new(own), Arc::new(others));
        if let Some(phase) = setting.hold {
            control.hold(phase);
        }
        let mut pool_config = pool_config("a", &folder);
        pool_config.preload = setting.preload;
        let model = folder.path().join("a.gguf");
        if setting.source == Source::Server {
            pool_config.model = PoolModel::Reference(url(&server));
        }
        if setting.source == Source::NoFile {
            std::fs::remove_file(&model).unwrap();
        }
        let other_model = folder.path().join("other.gguf");
        std::fs::write(&other_model, "another model").unwrap();
        let memory = MemoryReading { total_bytes: setting.memory, used_bytes: 0, free_bytes: setting.memory };
        let reading = DeviceReading {
            device: Device::Cpu,
            name: "a cpu".into(),
            memory: Some(memory),
            utilization: None,
        };
        let snapshot = Arc::new(Snapshot { devices: vec![reading], ..Snapshot::default() });
        let ledger = Arc::new(Ledger::default());
        let (events_out, events) = mpsc::channel(64);
        let (orders, ordered) = mpsc::channel(ORDERS_BOUND);
        let shutdown = CancellationToken::new();
        let context = PoolContext {
            pool: pool("a"),
            key: PoolKey::FIRST,
            store: Arc::new(Store::new(folder.path().join("store"), Env::default())),
            engines: Arc::new(move |_, model| {
                let is_other = model.to_string().ends_with("other.gguf");
                Arc::clone(if is_other { &others } else { &own })
            }),
            policy: watch::channel(ReplicaPolicy::default()).1,
            offload: Offload::None,
            memory: MemoryAccount {
                ledger: Arc::clone(&ledger),
                devices: Arc::new(move || Arc::clone(&snapshot)),
                margin_bytes: Arc::default(),
            },
            residents: Residents::default(),
            events: events_out,
            shutdown: shutdown.clone(),
        };
        let mut controller = JoinSet::new();
        controller.spawn(keep(pool_config, ordered, context));
        Self {
            orders,
            events,
            control,
            other,
            ledger,
            shutdown,
            model,
            other_model,
            server,
            _neighbour: None,
            idle: None,
            _folder: folder,
            _controller: controller,
        }
    }

    /// A controller in a state.
    async fn at(at: At) -> Self {
        let setting = Setting::default();
        let mut rig = Self::new(&match at {
            At::Unloaded | At::WaitingForRoom => {
                let memory = if at == At::Unloaded { 2 * NEEDS } else { NEEDS - 1 };
                Setting { preload: false, memory, other_needs: NEEDS - 1, ..setting }
            }
            At::Fetching => Setting { source: Source::Server, ..setting },
            At::FetchDelay => Setting { source: Source::NoFile, ..setting },
            At::Estimating => Setting { hold: Some(Phase::Estimate), ..setting },
            At::Starting => Setting { hold: Some(Phase::Load), ..setting },
            At::ReloadWaiting | At::ReloadInPlace => Setting { memory: NEEDS, ..setting },
            _ => setting,
        });
        match at {
            At::Unloaded => rig.until("Unloaded").await,
            At::Fetching => tokio::task::yield_now().await,
            At::FetchDelay => rig.until("FetchFailed").await,
            At::Estimating => _ = rig.control.until(|counts| counts.estimates == 1).await,
            At::WaitingForRoom => {
                rig.until("Unloaded").await;
                rig.order(Order::Load).await;
                rig.until("NoRoom").await;
            }
            At::Starting => rig.until("Starting").await,
            _ => rig.until("Ready").await,
        }
        match at {
            At::BackingOff => {
                rig.control.crash(&ExitReason::Signal(9));
                rig.until("BackingOff").await;
            }
            At::Unloading => {
                rig.control.hold(Phase::Stop);
                rig.order(Order::Unload).await;
                tokio::task::yield_now().await;
            }
            At::ReloadFetching => {
                rig.reload(url(&rig.server)).await;
                tokio::task::yield_now().await;
            }
            At::ReloadEstimating => {
                rig.other.hold(Phase::Estimate);
                rig.reload_other().await;
                rig.other.until(|counts| counts.estimates == 1).await;
            }
            At::ReloadLoading | At::ReloadInPlace => {
                rig.other.hold(Phase::Load);
                rig.reload_other().await;
                if at == At::ReloadInPlace {
                    rig.until("PauseDispatch").await;
                    rig.idle = None;
                }
                rig.other.until(|counts| counts.starts == 1).await;
            }
            At::ReloadTesting => {
                rig.other.hold(Phase::Decode);
                rig.reload_other().await;
                rig.other.until(|counts| counts.running == 1).await;
            }
            At::ReloadWaiting => {
                rig.reload_other().await;
                rig.until("PauseDispatch").await;
            }
            _ => {}
        }
        rig
    }

    async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }

    async fn reload(&self, model: ModelRef) {
        let model = PoolModel::Reference(model);
        self.order(Order::Reload(ReloadOrder { model, sha256: None, options: None })).await;
    }

    async fn reload_other(&self) {
        self.reload(ModelRef::File(self.other_model.clone())).await;
    }

    /// The next event that is not about how far something is.
    async fn next(&mut self) -> String {
        loop {
            let (_, event) = self.events.recv().await.expect("the controller lives");
            let name = match event {
                PoolEvent::Fetching(_) | PoolEvent::Placed(_) | PoolEvent::Reloading(_) => continue,
                PoolEvent::FetchFailed { .. } => "FetchFailed".to_owned(),
                PoolEvent::Unloaded => "Unloaded".to_owned(),
                PoolEvent::NoRoom { .. } => "NoRoom".to_owned(),
                PoolEvent::Starting(_) => "Starting".to_owned(),
                PoolEvent::Swapped { .. } => "Swapped".to_owned(),
                PoolEvent::PauseDispatch(idle) => {
                    self.idle = Some(idle);
                    "PauseDispatch".to_owned()
                }
                PoolEvent::Adopted { .. } => "Adopted".to_owned(),
                PoolEvent::Closed => "Closed".to_owned(),
                PoolEvent::ReloadOver(Ok(_)) => "ReloadOver(Ok)".to_owned(),
                PoolEvent::ReloadOver(Err(rollback)) => format!("ReloadOver({:?})", rollback.code),
                PoolEvent::Replica(event) => match event.kind {
                    ReplicaEventKind::Ready { .. } => "Ready".to_owned(),
                    ReplicaEventKind::BackingOff { .. } => "BackingOff".to_owned(),
                    _ => continue,
                },
            };
            return name;
        }
    }

    /// Hears events until one, and returns those before it.
    async fn heard_until(&mut self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(3600), self.next()).await;
            let event = event.unwrap_or_else(|_| panic!("`{wanted}` never came after {heard:?}"));
            if event == wanted {
                return heard;
            }
            heard.push(event);
        }
    }

    async fn until(&mut self, wanted: &str) {
        self.heard_until(wanted).await;
    }

    /// The server answers whoever asks with a model.
    fn serve(&self) {
        let server = self.server.try_clone().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = server.accept() {
                answer(&mut stream);
            }
        });
    }

    /// The driver ends the controller.
    fn close(&mut self) {
        self.orders = mpsc::channel(1).0;
    }

    /// Everything that was held goes on.
    fn release(&self) {
        for control in [&self.control, &self.other] {
            for phase in [Phase::Estimate, Phase::Load, Phase::Decode, Phase::Stop] {
                control.release(phase);
            }
        }
    }
}

/// Answers one request with a file, if one comes.
fn answer(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGGUF it");
}

fn url(server: &TcpListener) -> ModelRef {
    ModelRef::parse(&format!("http://{}/a.gguf", server.local_addr().unwrap())).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "time is paused, and this is the time it stands at")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn an_unload_is_answered_within_the_engines_grace_in_every_state_and_frees_all() {
    for at in ALL {
        let mut rig = Rig::at(at).await;
        let ordered = now();
        rig.order(Order::Unload).await;
        let before = rig.heard_until("Unloaded").await;
        let grace = ReplicaPolicy::default().stop_grace;
        assert!(now() - ordered <= grace + Duration::from_millis(100), "{at:?}: {:?}", now() - ordered);
        let expected: &[&str] = if at.is_reloading() { &["ReloadOver(ModelRetired)"] } else { &[] };
        assert_eq!(before, expected, "{at:?}");
        assert!(rig.ledger.holdings().is_empty(), "{at:?}");
        for control in [&rig.control, &rig.other] {
            let counts = control.counts();
            assert_eq!((counts.gone, counts.running), (counts.ready, 0), "{at:?}: nothing runs on");
        }
    }
}

/// What the driver does without a task in the pool.
async fn ends_in_every_state(end: fn(&mut Rig)) {
    for at in ALL {
        let mut rig = Rig::at(at).await;
        end(&mut rig);
        let ended = now();
        let before = rig.heard_until("Closed").await;
        rig._controller.join_next().await.unwrap().unwrap();
        let grace = ReplicaPolicy::default().stop_grace;
        assert!(now() - ended <= grace + Duration::from_millis(100), "{at:?}: {:?}", now() - ended);
        let over = before.iter().filter(|event| event.starts_with("ReloadOver")).count();
        assert_eq!(over, usize::from(at.is_reloading()), "{at:?}: {before:?}");
        assert!(rig.ledger.holdings().is_empty(), "{at:?}");
        for control in [&rig.control, &rig.other] {
            let counts = control.counts();
            assert_eq!((counts.gone, counts.running), (counts.ready, 0), "{at:?}: nothing runs on");
        }
    }
}

/// ORCH-MODEL-11
#[tokio::test(start_paused = true)]
async fn the_shutdown_ends_a_controller_in_every_state() {
    ends_in_every_state(|rig| rig.shutdown.cancel()).await;
}

/// ORCH-CONF-11
#[tokio::test(start_paused = true)]
async fn the_end_of_its_orders_ends_a_controller_in_every_state_and_frees_all() {
    ends_in_every_state(Rig::close).await;
}
