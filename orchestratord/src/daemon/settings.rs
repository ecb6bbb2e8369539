//! What the parts of the daemon are given of the configuration, at the start and when it is read again.
//!
//! Rules: ORCH-CONF-9

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use config_schema::{Config, PoolConfig, ReasoningDefaults, ServerConfig, WhenFull};
use generation::{LoopLimit, ReasoningOptions};
use orchestrator_core::{FullPolicy, PoolId, QueueLimits, SessionLimits, TokenCount};
use pool_manager::{ReplicaPolicy, RestartPolicy};
use tokio::sync::watch;

use crate::auth::ApiToken;
use crate::backpressure::Refusal;
use crate::driver::{PoolSetup, Retention};
use crate::engine::kind;
use crate::handle::DriverHandle;
use crate::http::cors::Origins;
use crate::http::guard::HostRules;
use crate::http::image_url::ImageUrls;
use crate::http::{Api, HttpSettings};
use crate::pool_defaults::{PoolDefaults, sampling_of};
use crate::pool_protocol::ReloadOrder;
use crate::protocol::{Configuration, PoolChanges};
use crate::server::{ConnectionLimits, raise_limit};

/// How workers are started and what is left free, for all pools.
#[derive(Clone)]
pub(super) struct WorkerSettings {
    pub(super) policy: watch::Sender<ReplicaPolicy>,
    pub(super) margin_bytes: Arc<AtomicU64>,
}

/// What of a running daemon a new configuration can change.
#[derive(Clone)]
pub struct Settings {
    pub(super) driver: DriverHandle,
    pub(super) api: Arc<Api>,
    pub(super) limits: watch::Sender<ConnectionLimits>,
    pub(super) worker: WorkerSettings,
    pub(super) address: SocketAddr,
}

impl Settings {
    /// Takes over all that changes without a reload: the settings of requests and connections, the bounds of queues,
    /// what is kept, and which pools there are.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the daemon stops: nothing was changed.
    pub async fn take_over(&self, config: &Config, token: ApiToken) -> Result<PoolChanges, Refusal> {
        let changes = self.driver.configure(configuration(config)).await?;
        self.api.change(|settings| {
            let build = settings.build.clone();
            *settings = http_settings(config, token, self.address, build);
        });
        let limits = connection_limits(config);
        if self.limits.borrow().connections != limits.connections {
            raise_limit(limits.connections);
        }
        self.limits.send_replace(limits);
        self.worker.policy.send_replace(policy(config));
        self.worker.margin_bytes.store(config.worker.memory_margin_bytes, Ordering::Relaxed);
        Ok(changes)
    }

    /// Gives up the reload that [`reload`](Self::reload) has under way for a pool, which resolves with an error.
    pub async fn cancel_reload(&self, pool: PoolId) {
        self.driver.cancel_config_reload(pool).await;
    }

    /// Serves a pool with these options, by the rules of a reload. Takes the place of an earlier one of the pool, and
    /// waits for one that an operator asked for.
    ///
    /// # Errors
    /// Why it is served as before.
    pub async fn reload(&self, pool: &PoolConfig) -> Result<(), String> {
        let options = Some(Box::new(pool.clone()));
        let order = ReloadOrder { model: pool.model.clone(), sha256: pool.sha256.clone(), options };
        match self.driver.reload(pool.id.clone(), order).await {
            Ok(Ok(_)) => {
                self.api.change(|settings| settings.serve(pool));
                Ok(())
            }
            Ok(Err(rollback)) => Err(rollback.message),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

/// What the HTTP planes need to know of the configuration.
pub(super) fn http_settings(
    config: &Config,
    token: ApiToken,
    address: SocketAddr,
    build: String,
) -> HttpSettings {
    let mut settings = HttpSettings {
        token,
        ollama_needs_token: config.ollama.require_token,
        hosts: HostRules::new(address, &config.access.allowed_hosts),
        origins: Origins::new(&config.access.allowed_origins),
        image_urls: ImageUrls::new(&config.access.image_hosts),
        body_bytes: config.limits.body_bytes,
        streams: config.limits.streams,
        keepalive: config.stream.keepalive,
        sampler_profiles: config.sampler_profiles.clone(),
        engines: Default::default(),
        models: Default::default(),
        defaults: Default::default(),
        pools: Default::default(),
        build,
    };
    config.pools.iter().for_each(|pool| settings.serve(pool));
    settings
}

/// What the driver needs to know of the configuration.
pub(super) fn configuration(config: &Config) -> Configuration {
    let retention = Retention {
        time: config.stream.keep_finished,
        tasks: config.stream.keep_finished_tasks as usize,
        bytes: config.stream.keep_finished_bytes,
    };
    let pools = config.pools.iter().map(|pool| (setup(pool, config), pool.clone()));
    Configuration { retention, pools: pools.collect() }
}

/// The limits of connections.
pub(super) fn connection_limits(config: &Config) -> ConnectionLimits {
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
        aliases: pool.aliases.clone(),
        defaults: Arc::new(defaults(&pool.defaults)),
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
        attached: pool.server.as_ref().is_some_and(ServerConfig::is_attached),
        preload: pool.preload,
        idle_unload: pool.idle_unload,
        hang_floor: config.worker.hang_after,
        outage_wait: pool.queue.outage_wait,
    }
}

fn defaults(written: &config_schema::PoolDefaults) -> PoolDefaults {
    let ReasoningDefaults { effort, max_tokens } = written.reasoning;
    let effort = effort.and_then(|effort| ReasoningOptions::of_effort(effort.as_str())).unwrap_or_default();
    PoolDefaults {
        max_tokens: Some(TokenCount(written.max_tokens)),
        loop_limit: match written.loop_tokens {
            None => LoopLimit::ByModel,
            Some(0) => LoopLimit::Off,
            Some(tokens) => LoopLimit::Tokens(TokenCount(tokens)),
        },
        sampling: sampling_of(&written.sampling),
        system_prompt: written.system_prompt.clone(),
        reasoning: effort.with_budget(max_tokens.map(TokenCount)),
    }
}

/// How replicas are kept up.
pub(super) fn policy(config: &Config) -> ReplicaPolicy {
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
