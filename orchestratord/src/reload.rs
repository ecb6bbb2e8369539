//! Reading the configuration again (`SIGHUP`). What can change while the daemon runs does; what takes a restart is
//! named in the log; a configuration with a fault in it changes nothing.
//!
//! Limits, and pools that are added or removed, change as soon as a file is read. A pool whose replicas need other options
//! is reloaded, which may take as long as a model is fetched: nobody waits for it. Where a later file wants the same
//! options the reload goes on, and where it wants others it is given up for them.
//!
//! Rules: ORCH-CONF-9, ORCH-CONF-12, ORCH-CONF-13

use std::collections::BTreeMap;
use std::path::Path;

use config_schema::{Config, PoolConfig};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use orchestrator_core::PoolId;
use orchestratord::auth::ApiToken;
use orchestratord::daemon::Settings;
use orchestratord::exit::{self, Exit};
use orchestratord::logging::Log;
use tokio::sync::{mpsc, watch};

use crate::args::Options;

/// The options that are read once, at the start.
const AT_THE_START: [&str; 6] =
    ["allow_non_loopback", "listen", "log.file", "log.format", "models_dir", "ollama.listen"];

/// Has new configurations take effect.
pub struct Reloader<'a> {
    options: &'a Options,
    /// What the daemon started with.
    started: &'a Config,
    settings: Settings,
    log: &'a Log,
    /// What holds: the newest configuration, with each pool as it is served.
    holds: watch::Sender<Config>,
    /// The pools of the newest configuration.
    wanted: Vec<PoolConfig>,
    reloads: FuturesUnordered<BoxFuture<'static, ReloadEnd>>,
    /// The newest reload of each pool, where one is under way.
    newest: BTreeMap<PoolId, Reload>,
    /// Reloads so far.
    count: u64,
    /// Pools that were removed, with the count of reloads then.
    removed: BTreeMap<PoolId, u64>,
}

/// A reload that is under way.
struct Reload {
    number: u64,
    pool: PoolConfig,
}

/// A reload that is over.
struct ReloadEnd {
    number: u64,
    pool: PoolConfig,
    outcome: Result<(), String>,
}

impl<'a> Reloader<'a> {
    /// For a daemon that has started with a configuration. Also returns what holds from here on.
    pub fn new(
        options: &'a Options,
        started: &'a Config,
        settings: Settings,
        log: &'a Log,
    ) -> (Self, watch::Receiver<Config>) {
        let (holds, current) = watch::channel(started.clone());
        let reloader = Self {
            options,
            started,
            settings,
            log,
            holds,
            wanted: started.pools.clone(),
            reloads: FuturesUnordered::new(),
            newest: BTreeMap::new(),
            count: 0,
            removed: BTreeMap::new(),
        };
        (reloader, current)
    }

    /// Reads the configuration at each request. Ends with the last sender of them.
    pub async fn run(mut self, mut requests: mpsc::Receiver<()>) {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(()) => self.reread().await,
                    None => return,
                },
                Some(end) = self.reloads.next() => self.reload_over(end).await,
            }
        }
    }

    async fn reread(&mut self) {
        let (new, token) = match read(self.options).await {
            Ok(read) => read,
            Err(exit) => return tracing::error!("configuration not changed: {exit}"),
        };
        let before = self.holds.borrow().clone();
        let pools = new.pools.iter().map(|pool| before_reload(pool, &before)).collect();
        let holds = Config { pools, ..new.clone() };
        let changes = match self.settings.take_over(&holds, token).await {
            Ok(changes) => changes,
            Err(refusal) => return tracing::error!("configuration not changed: {refusal}"),
        };
        for pool in &changes.added {
            tracing::info!(%pool, "pool added");
        }
        for pool in changes.removed {
            tracing::info!(%pool, "pool takes no new tasks: it is removed when those that it has have ended");
            self.newest.remove(&pool);
            self.removed.insert(pool, self.count);
        }
        if !self.log.set_level(holds.log.level) && before.log.level != holds.log.level {
            tracing::warn!("`log.level` has no effect: `RUST_LOG` is set");
        }
        self.name_restarts(&holds);
        let changed = before.differences(&holds).into_iter().map(|difference| difference.path);
        let changed: Vec<String> = changed.filter(|path| !is_read_at_the_start(path)).collect();
        tracing::info!(changed = changed.join(", "), "configuration read again");
        self.holds.send_replace(holds);
        self.wanted = new.pools;
        for pool in self.wanted.clone() {
            self.reconcile(pool).await;
        }
    }

    /// Names what takes a restart, with the value that the daemon runs with.
    fn name_restarts(&self, holds: &Config) {
        for difference in self.started.differences(holds) {
            if is_read_at_the_start(&difference.path) {
                let (value, running) = (&difference.after, &difference.before);
                tracing::warn!(option = difference.path, value, running, "this option takes a restart");
            }
        }
    }

    /// Reloads a pool that is not served as it is wanted, unless that is under way already.
    async fn reconcile(&mut self, wanted: PoolConfig) {
        let is_served = self.holds.borrow().pools.contains(&wanted);
        match self.newest.get_mut(&wanted.id) {
            Some(reload) if with_live_options(&reload.pool, &wanted) == wanted => reload.pool = wanted,
            Some(_) if is_served => {
                tracing::info!(pool = %wanted.id, "reload given up: the pool is wanted as it is");
                self.newest.remove(&wanted.id);
                self.settings.cancel_reload(wanted.id).await;
            }
            None if is_served => {}
            Some(_) | None => self.reload(wanted),
        }
    }

    fn reload(&mut self, pool: PoolConfig) {
        tracing::info!(pool = %pool.id, model = %pool.model, "reloading a pool");
        self.count += 1;
        let (number, settings) = (self.count, self.settings.clone());
        self.newest.insert(pool.id.clone(), Reload { number, pool: pool.clone() });
        let reload = async move {
            let outcome = settings.reload(&pool).await;
            ReloadEnd { number, pool, outcome }
        };
        self.reloads.push(reload.boxed());
    }

    async fn reload_over(&mut self, ReloadEnd { number, pool, outcome }: ReloadEnd) {
        if self.removed.get(&pool.id).is_some_and(|removed| number <= *removed) {
            return;
        }
        let is_newest = self.newest.get(&pool.id).is_some_and(|newest| newest.number == number);
        if is_newest {
            self.newest.remove(&pool.id);
        }
        match outcome {
            Ok(()) => {
                tracing::info!(pool = %pool.id, model = %pool.model, "pool reloaded");
                self.holds.send_modify(|holds| {
                    for held in holds.pools.iter_mut().filter(|held| held.id == pool.id) {
                        *held = with_live_options(&pool, held);
                    }
                });
                // It may have come to its end before it was given up.
                let wanted = self.wanted.iter().find(|wanted| wanted.id == pool.id).cloned();
                if let Some(wanted) = wanted.filter(|_| !self.newest.contains_key(&pool.id)) {
                    self.reconcile(wanted).await;
                }
            }
            Err(why) if is_newest => {
                tracing::error!(pool = %pool.id, why, "pool not changed: it is served as before");
            }
            Err(why) => tracing::info!(pool = %pool.id, why, "reload given up"),
        }
    }
}

/// A pool of the new configuration as it is before its reload: with the model and the replicas that it has.
fn before_reload(new: &PoolConfig, current: &Config) -> PoolConfig {
    let before = current.pools.iter().find(|pool| pool.id == new.id);
    before.map_or_else(|| new.clone(), |before| with_live_options(before, new))
}

/// A pool with those options of another one that change without a reload.
fn with_live_options(pool: &PoolConfig, live: &PoolConfig) -> PoolConfig {
    PoolConfig {
        aliases: live.aliases.clone(),
        defaults: live.defaults.clone(),
        queue: live.queue,
        idle_unload: live.idle_unload,
        preload: live.preload,
        ..pool.clone()
    }
}

/// The configuration and its token. Files are read by another thread.
async fn read(options: &Options) -> Result<(Config, ApiToken), Exit> {
    let options = options.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let loaded = crate::read_config(&options)?;
        if let Some(file) = loaded.source.as_ref().filter(|file| is_empty(file)) {
            let why =
                "it is empty, as a file is for a moment while it is written: remove it for the defaults";
            return Err(Exit::because(exit::CONFIG, anyhow::anyhow!("`{}`: {why}", file.display())));
        }
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let token = crate::token(&loaded.config)?;
        Ok((loaded.config, token))
    });
    reading.await.unwrap_or_else(|error| Err(Exit::because(exit::FAILED, error)))
}

fn is_empty(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.len() == 0)
}

fn is_read_at_the_start(path: &str) -> bool {
    AT_THE_START.contains(&path)
}
