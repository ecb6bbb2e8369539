//! The daemon put together: driver, pools and server, brought up in order and stopped in order.
//!
//! The stop:
//!
//! 1. nothing new: no connection, no task; tasks that wait end with `POOL_UNAVAILABLE`;
//! 2. what runs may finish, until `shutdown.grace_s` is over or somebody hurries;
//! 3. what still runs ends with an error, so that every stream has its last event;
//! 4. streams are flushed, connections closed, and engines ended, within [`CLOSE`]; somebody who hurries
//!    leaves [`CLOSE_IN_A_HURRY`]. What is left then ends with the process.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::EngineFactory;
use config_schema::{Config, PoolConfig, WhenFull};
use model_store::Store;
use orchestrator_core::{FullPolicy, QueueLimits, SessionLimits};
use pool_manager::{DeviceProbe, Ledger, MemoryAccount, ReplicaPolicy, RestartPolicy, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::ApiToken;
use crate::clock::Clock;
use crate::driver::{DriverTask, PoolSetup, Retention, Sources};
use crate::engine::{self, Offload, kind};
use crate::handle::DriverHandle;
use crate::http::cors::Origins;
use crate::http::guard::HostRules;
use crate::http::image_url::ImageUrls;
use crate::http::{Api, HttpSettings, Instruments, ReadDevices};
use crate::keeper::{ORDERS_BOUND, Order};
use crate::metrics::Metrics;
use crate::pools::{self, PoolContext};
use crate::server::{ConnectionLimits, Ended, Server};
use crate::tasks;

/// News of pools that wait for the driver.
const POOL_EVENTS_BOUND: usize = 64;

/// How long connections and engines have once every task has ended.
const CLOSE: Duration = Duration::from_secs(5);

/// The same when a second signal has come: enough for the last events, no more.
const CLOSE_IN_A_HURRY: Duration = Duration::from_millis(250);

/// What a supervisor gives the start of a server beyond the server's own limit.
const ADAPTER_MARGIN: Duration = Duration::from_secs(5);

/// What the daemon is made from, beside its configuration.
pub struct Parts {
    /// The address it listens on, taken already.
    pub listener: TcpListener,
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
}

/// A running daemon.
pub struct Daemon {
    driver: DriverHandle,
    queues: JoinHandle<()>,
    server: Server,
    api: Arc<Api>,
    keepers: Vec<JoinHandle<()>>,
    shutdown: CancellationToken,
    /// Keeps the devices read as long as the daemon runs.
    #[expect(dead_code, reason = "held, not used: its end is the end of the reading")]
    telemetry: Telemetry,
}

/// What of a running daemon a new configuration can change.
#[derive(Clone)]
pub struct Settings {
    driver: DriverHandle,
    api: Arc<Api>,
    limits: watch::Sender<ConnectionLimits>,
    address: SocketAddr,
}

impl Settings {
    /// Takes over the settings of requests, and the limits of connections that come from here on.
    pub fn take_over(&self, config: &Config, token: ApiToken) {
        let hosts = HostRules::new(self.address, &config.access.allowed_hosts);
        self.api.change(|settings| {
            settings.token = token;
            settings.hosts = hosts;
            settings.origins = Origins::new(&config.access.allowed_origins);
            settings.image_urls = ImageUrls::new(&config.access.image_hosts);
            settings.body_bytes = config.limits.body_bytes;
            settings.keepalive = config.stream.keepalive;
            settings.sampler_profiles.clone_from(&config.sampler_profiles);
        });
        self.limits.send_modify(|limits| {
            *limits = ConnectionLimits { connections: limits.connections, ..connection_limits(config) };
        });
    }

    /// Serves the model of `pool`, by the rules of a reload.
    ///
    /// # Errors
    /// Why the old model is served as before.
    pub async fn reload(&self, pool: &PoolConfig) -> Result<(), String> {
        let reload = self.driver.reload(pool.id.clone(), pool.model.clone(), pool.sha256.clone()).await;
        match reload {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(rollback)) => Err(rollback.message),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
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
        let (setups, orders): (Vec<_>, Vec<_>) = config
            .pools
            .iter()
            .map(|pool| {
                let (orders, ordered) = mpsc::channel(ORDERS_BOUND);
                ((setup(pool, config), orders), ordered)
            })
            .unzip();
        let retention = Retention {
            time: config.stream.keep_finished,
            tasks: config.stream.keep_finished_tasks as usize,
            bytes: config.stream.keep_finished_bytes,
        };
        let policy = policy(config);
        let queues = DriverTask::new(setups, retention, Arc::clone(&metrics), clock, policy.stop_grace);
        let sources = Sources { commands, pools, devices: telemetry.watch() };
        let queues = tasks::spawn(queues.run(sources));

        let address = parts.listener.local_addr()?;
        let settings = HttpSettings {
            token: parts.token,
            hosts: HostRules::new(address, &config.access.allowed_hosts),
            origins: Origins::new(&config.access.allowed_origins),
            image_urls: ImageUrls::new(&config.access.image_hosts),
            body_bytes: config.limits.body_bytes,
            streams: config.limits.streams,
            keepalive: config.stream.keepalive,
            sampler_profiles: config.sampler_profiles.clone(),
            engines: config
                .pools
                .iter()
                .map(|pool| (pool.id.clone(), kind(pool.engine)))
                .collect::<BTreeMap<_, _>>(),
            models: config.pools.iter().map(|pool| (pool.id.clone(), pool.model.clone())).collect(),
            build: parts.build,
        };
        let ledger = Arc::new(Ledger::default());
        let instruments =
            Instruments { metrics, devices: Arc::clone(&devices), ledger: Arc::clone(&ledger), clock };
        let api = Api::new(driver.clone(), settings, instruments);
        let server = Server::start(parts.listener, api.router(), connection_limits(config))?;

        let shutdown = CancellationToken::new();
        let store = Arc::new(parts.store);
        let margin_bytes = config.worker.memory_margin_bytes;
        let memory = MemoryAccount { ledger, devices, margin_bytes };
        let keep = |(pool, orders): (&PoolConfig, mpsc::Receiver<Order>)| {
            let context = PoolContext {
                pool: pool.id.clone(),
                store: Arc::clone(&store),
                engines: Arc::new({
                    let (pool, built_in) = (pool.clone(), Arc::clone(&parts.engines));
                    move |model| engine::for_pool(&pool, model, &built_in)
                }),
                policy: policy_of(pool, &policy),
                offload: parts.offload,
                memory: memory.clone(),
                events: events.clone(),
                shutdown: shutdown.clone(),
            };
            tasks::spawn(pools::keep(pool.clone(), orders, context))
        };
        let keepers = config.pools.iter().zip(orders).map(keep).collect();
        Ok(Self { driver, queues, server, api, keepers, shutdown, telemetry })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
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
            address: self.address(),
        }
    }

    /// Resolves when the driver has ended though nobody stopped it: a defect, after which nothing can be
    /// served.
    pub async fn broken(&mut self) {
        let ended = (&mut self.queues).await;
        tracing::error!(?ended, "the driver has ended by itself");
    }

    /// Stops it in order, as the head of this file says. `hurry` cuts every wait short.
    pub async fn stop(self, grace: Duration, hurry: impl Future<Output = ()>) -> StopOutcome {
        tokio::pin!(hurry);
        self.server.stop_accepting();
        let (outcome, mut close) = tokio::select! {
            () = self.driver.begin_stop() => (StopOutcome::Finished, CLOSE),
            () = tokio::time::sleep(grace) => (StopOutcome::CutShort, CLOSE),
            () = &mut hurry => (StopOutcome::Hurried, CLOSE_IN_A_HURRY),
        };
        self.driver.end_running().await;
        self.shutdown.cancel();
        let keepers = async {
            for keeper in self.keepers {
                if let Err(error) = keeper.await {
                    tracing::error!(%error, "a pool's keeper did not end well");
                }
            }
        };
        let closing = async move { tokio::join!(self.server.finish(close), keepers) };
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
                () = &mut hurry, if close > CLOSE_IN_A_HURRY => close = CLOSE_IN_A_HURRY,
            }
        }
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.limits.connections,
        header_timeout: config.limits.header_timeout,
        authentication_timeout: config.limits.authentication_timeout,
        write_timeout: config.limits.write_timeout,
        header_bytes: usize::try_from(config.limits.header_bytes).unwrap_or(usize::MAX),
    }
}

fn setup(pool: &PoolConfig, config: &Config) -> PoolSetup {
    PoolSetup {
        id: pool.id.clone(),
        model_ref: pool.model.to_string(),
        engine: kind(pool.engine),
        queue: QueueLimits {
            interactive: pool.queue.interactive as usize,
            batch: pool.queue.batch as usize,
            full_policy: match pool.queue.when_full {
                WhenFull::Reject => FullPolicy::Reject,
                WhenFull::DropLru => FullPolicy::DropLru,
            },
            batch_max_wait: pool.queue.batch_max_wait,
            batch_one_in: pool.queue.batch_one_in,
            ..QueueLimits::default()
        },
        sessions: SessionLimits { ttl: config.sessions.ttl, max_sessions: config.sessions.max as usize },
        idle_unload: pool.idle_unload,
        hang_floor: config.worker.hang_after,
        outage_wait: pool.queue.outage_wait,
    }
}

/// How the replicas of `pool` are kept up. What a server may take until it is ready is said by its own configuration;
/// its adapter ends the wait, and says better than the supervisor what it waited for.
fn policy_of(pool: &PoolConfig, common: &ReplicaPolicy) -> ReplicaPolicy {
    let load_timeout = match &pool.server {
        Some(server) => server.start_timeout + ADAPTER_MARGIN,
        None => common.load_timeout,
    };
    ReplicaPolicy { load_timeout, ..common.clone() }
}

fn policy(config: &Config) -> ReplicaPolicy {
    let worker = &config.worker;
    ReplicaPolicy {
        restart: RestartPolicy {
            min: worker.restart_min,
            max: worker.restart_max,
            waiting_max: worker.restart_waiting_max,
            ..RestartPolicy::default()
        },
        load_timeout: worker.load_timeout,
        ..ReplicaPolicy::default()
    }
}

#[cfg(test)]
mod tests;
