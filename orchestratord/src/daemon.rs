//! The daemon put together: driver, pools and server, brought up in order and stopped in order.
//!
//! The stop takes `shutdown.grace_s` at most, whatever clients and engines do:
//!
//! 1. nothing new: no connection, no task; tasks that wait end with `POOL_UNAVAILABLE`;
//! 2. what runs may finish, until only the time for closing is left ([`StopLimit`]) or a second signal comes;
//! 3. what still runs ends with an error, so that every stream has its last event;
//! 4. streams are flushed, connections closed, and engines ended. What is left at the limit ends with the process.
//!
//! Rules: ORCH-ENG-23, ORCH-STOP-1, ORCH-STOP-2, ORCH-STOP-3, ORCH-STOP-5

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use config_schema::Config;
use engine_api::EngineFactory;
use model_store::Store;
use pool_manager::{DeviceProbe, Ledger, MemoryAccount, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::ApiToken;
use crate::clock::Clock;
use crate::driver::{DriverTask, OpenPool, Sources};
use crate::engine::Offload;
use crate::handle::DriverHandle;
use crate::http::{Api, Instruments, ReadDevices};
use crate::log_ring::LogRing;
use crate::metrics::Metrics;
use crate::model_fit::ModelFit;
use crate::model_folder::ModelFolder;
use crate::server::{Ended, Server};
use crate::tasks;

mod controllers;
mod settings;

pub use settings::Settings;

use controllers::{ControllerContext, Controllers};
use settings::WorkerSettings;

/// News of pools that wait for the driver.
const POOL_EVENTS_BOUND: usize = 64;

/// The most time that connections and engines have to close once every task has ended.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The least time they have, also after a second signal: enough for the last events, no more.
const CLOSE_MIN: Duration = Duration::from_millis(250);

/// One part in so many of the grace is for closing, within the bounds above.
const CLOSE_ONE_IN: u32 = 5;

/// What the daemon is made from, beside its configuration.
pub struct Parts {
    /// The address it listens on, taken already.
    pub listener: TcpListener,
    /// The address at which the API of Ollama is spoken, taken already; it is not spoken without one.
    pub ollama: Option<TcpListener>,
    /// The token of every plane.
    pub token: ApiToken,
    /// What starts engines.
    pub engines: Arc<dyn EngineFactory>,
    /// How the built-in engine was compiled.
    pub build: String,
    /// What the engines can compute on beside the processor.
    pub offload: Offload,
    /// What reads the devices.
    pub probe: Box<dyn DeviceProbe>,
    /// Where models are.
    pub store: Store,
    /// The last lines of the log.
    pub log: Arc<LogRing>,
}

/// A running daemon.
pub struct Daemon {
    driver: DriverHandle,
    queues: JoinHandle<()>,
    server: Server,
    ollama_address: Option<SocketAddr>,
    api: Arc<Api>,
    controllers: Controllers,
    worker: WorkerSettings,
    shutdown: CancellationToken,
    /// Keeps the devices read as long as the daemon runs.
    #[expect(dead_code, reason = "held, not used: its end is the end of the reading")]
    telemetry: Telemetry,
}

/// How the stop went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// All that ran had ended by itself.
    Finished,
    /// The grace was over first.
    CutShort,
    /// Somebody hurried first.
    Hurried,
}

impl std::fmt::Display for StopOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Finished => "all tasks had ended",
            Self::CutShort => "the grace was over before all tasks had ended",
            Self::Hurried => "a second signal cut it short",
        })
    }
}

/// The one limit of a stop, and how it is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StopLimit {
    /// How long tasks may run.
    tasks: Duration,
    /// When connections and engines are closed at the latest, from the begin of the stop on.
    close: Duration,
}

impl StopLimit {
    fn new(grace: Duration) -> Self {
        let closing = (grace / CLOSE_ONE_IN).clamp(CLOSE_MIN, CLOSE_MAX);
        let tasks = grace.saturating_sub(closing);
        Self { tasks, close: tasks + closing }
    }

    /// How long closing may take once the tasks have ended after `elapsed`.
    fn closing(self, elapsed: Duration) -> Duration {
        self.close.saturating_sub(elapsed).clamp(CLOSE_MIN, CLOSE_MAX)
    }
}

impl Daemon {
    /// Brings it up: it answers at once, and serves as soon as a pool is ready.
    ///
    /// # Errors
    /// When the system gives no thread or no address.
    pub fn start(config: &Config, parts: Parts) -> std::io::Result<Self> {
        let clock = Clock::start();
        let metrics = Arc::new(Metrics::new());
        let telemetry = Telemetry::start(parts.probe, pool_manager::telemetry::INTERVAL)?;
        let snapshots = telemetry.watch();
        let devices: ReadDevices = Arc::new(move || Arc::clone(&snapshots.borrow()));
        let (driver, commands) = DriverHandle::new(Arc::clone(&metrics));
        let (events, pools) = mpsc::channel(POOL_EVENTS_BOUND);
        let (ledger, shutdown) = (Arc::new(Ledger::default()), CancellationToken::new());
        let (policy, policies) = watch::channel(settings::policy(config));
        let stop_grace = policy.borrow().stop_grace;
        let margin_bytes = Arc::new(AtomicU64::new(config.worker.memory_margin_bytes));
        let memory = MemoryAccount {
            ledger: Arc::clone(&ledger),
            devices: Arc::clone(&devices),
            margin_bytes: Arc::clone(&margin_bytes),
        };
        let store = Arc::new(parts.store);
        let models = ModelFolder::new(Arc::clone(&store));
        let fit =
            ModelFit::new(Arc::clone(&parts.engines), Arc::clone(&store), parts.offload, memory.clone());
        let context = ControllerContext {
            store: Arc::clone(&store),
            built_in: parts.engines,
            policy: policies,
            offload: parts.offload,
            memory,
            events,
            shutdown: shutdown.clone(),
        };
        let controllers = Controllers::default();
        let open_pool: OpenPool = Box::new({
            let controllers = controllers.clone();
            move |key, pool| controllers.open(&context, key, pool)
        });
        let configuration = settings::configuration(config);
        let queues = DriverTask::new(configuration, open_pool, Arc::clone(&metrics), clock, stop_grace);
        let sources = Sources { commands, pools, devices: telemetry.watch() };
        let queues = tasks::spawn(queues.run(sources));

        let address = parts.listener.local_addr()?;
        let settings = settings::http_settings(config, parts.token, address, parts.build);
        let instruments = Instruments { metrics, devices, ledger, clock, models, log: parts.log, fit };
        let api = Api::new(driver.clone(), settings, instruments);
        let limits = settings::connection_limits(config);
        let mut server = Server::start(parts.listener, api.router(), limits)?;
        let ollama_address = parts.ollama.as_ref().map(TcpListener::local_addr).transpose()?;
        if let Some(listener) = parts.ollama {
            server.also_accept(listener, api.ollama_router());
        }
        let worker = WorkerSettings { policy, margin_bytes };
        Ok(Self { driver, queues, server, ollama_address, api, controllers, worker, shutdown, telemetry })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the API of Ollama is spoken.
    #[must_use]
    pub fn ollama_address(&self) -> Option<SocketAddr> {
        self.ollama_address
    }

    /// The way to its driver.
    #[must_use]
    pub fn driver(&self) -> &DriverHandle {
        &self.driver
    }

    /// What a new configuration is given to.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            driver: self.driver.clone(),
            api: Arc::clone(&self.api),
            limits: self.server.limits(),
            worker: self.worker.clone(),
            address: self.address(),
        }
    }

    /// Resolves when the driver has ended without a stop: a defect, after which nothing can be
    /// served.
    pub async fn broken(&mut self) {
        let error = (&mut self.queues).await.err();
        let error = error.as_ref().map(tracing::field::display);
        tracing::error!(error, "the driver has ended by itself");
    }

    /// Stops it in order, as the head of this file says. `hurry` cuts every wait short.
    pub async fn stop(self, grace: Duration, hurry: impl Future<Output = ()>) -> StopOutcome {
        tokio::pin!(hurry);
        self.server.stop_accepting();
        let (begun, limit) = (now(), StopLimit::new(grace));
        let outcome = tokio::select! {
            () = self.driver.begin_stop() => StopOutcome::Finished,
            () = tokio::time::sleep(limit.tasks) => StopOutcome::CutShort,
            () = &mut hurry => StopOutcome::Hurried,
        };
        let mut close = match outcome {
            StopOutcome::Finished | StopOutcome::CutShort => limit.closing(begun.elapsed()),
            StopOutcome::Hurried => CLOSE_MIN,
        };
        self.driver.end_running().await;
        self.shutdown.cancel();
        let closing = async move { tokio::join!(self.server.finish(close), self.controllers.ended()) };
        tokio::pin!(closing);
        loop {
            tokio::select! {
                (ended, ()) = &mut closing => {
                    if let Ended::Closed(connections) = ended {
                        tracing::warn!(connections, "connections closed before they had read all");
                    }
                    return outcome;
                }
                () = tokio::time::sleep(close) => {
                    tracing::warn!("not everything has ended in time: the rest ends with the process");
                    return outcome;
                }
                () = &mut hurry, if close > CLOSE_MIN => close = CLOSE_MIN,
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the limit of a stop is on tokio's clock, as its timers are")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests;
