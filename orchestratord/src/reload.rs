//! Reading the configuration again (`SIGHUP`). What can change while the daemon runs does; what takes a restart is
//! named in the log; a configuration with a fault in it changes nothing.
//!
//! Rules: ORCH-CONF-9, ORCH-CONF-12

use std::path::Path;

use config_schema::{Config, PoolConfig};
use futures_util::future::join_all;
use orchestratord::auth::ApiToken;
use orchestratord::daemon::Settings;
use orchestratord::exit::{self, Exit};
use orchestratord::logging::Log;

use crate::args::Options;

/// The options that are read once, at the start.
const AT_THE_START: [&str; 5] = ["allow_non_loopback", "listen", "log.file", "log.format", "models_dir"];

/// Reads the configuration again and gives the one that holds from here on. `current` holds where the new one has a
/// fault, and for each pool that cannot be served as the new one has it; what takes a restart is told by what the
/// daemon `started` with.
pub async fn reload(
    (options, started): (&Options, &Config),
    current: Config,
    settings: Settings,
    log: &Log,
) -> Config {
    let (new, token) = match read(options).await {
        Ok(read) => read,
        Err(exit) => {
            tracing::error!("configuration not changed: {exit}");
            return current;
        }
    };
    let mut holds =
        Config { pools: new.pools.iter().map(|pool| before_reload(pool, &current)).collect(), ..new };
    let changes = match settings.take_over(&holds, token).await {
        Ok(changes) => changes,
        Err(refusal) => {
            tracing::error!("configuration not changed: {refusal}");
            return current;
        }
    };
    for pool in &changes.added {
        tracing::info!(%pool, "pool added");
    }
    for pool in &changes.removed {
        tracing::info!(%pool, "pool takes no new tasks: it is removed when those that it has have ended");
    }
    if !log.set_level(holds.log.level) && current.log.level != holds.log.level {
        tracing::warn!("`log.level` has no effect: `RUST_LOG` is set");
    }
    // Each for itself: a model that is fetched holds up nobody.
    let reloads = new.pools.into_iter().zip(&mut holds.pools).filter(|(wanted, holds)| wanted != *holds);
    join_all(reloads.map(|(wanted, holds)| async {
        if reload_pool(&wanted, holds, &settings).await {
            *holds = wanted;
        }
    }))
    .await;
    for difference in started.differences(&holds) {
        if is_read_at_the_start(&difference.path) {
            let (value, running) = (&difference.after, &difference.before);
            tracing::warn!(option = difference.path, value, running, "this option takes a restart");
        }
    }
    let changed = current.differences(&holds).into_iter().map(|difference| difference.path);
    let changed: Vec<String> = changed.filter(|path| !is_read_at_the_start(path)).collect();
    tracing::info!(changed = changed.join(", "), "configuration read again");
    holds
}

/// A pool of the new configuration as it is before its reload: with the model and the replicas that it has.
fn before_reload(new: &PoolConfig, current: &Config) -> PoolConfig {
    let Some(before) = current.pools.iter().find(|pool| pool.id == new.id) else { return new.clone() };
    PoolConfig { queue: new.queue, idle_unload: new.idle_unload, preload: new.preload, ..before.clone() }
}

/// Serves a pool as it is wanted. Returns whether it is.
async fn reload_pool(wanted: &PoolConfig, before: &PoolConfig, settings: &Settings) -> bool {
    tracing::info!(pool = %wanted.id, model = %wanted.model, "reloading a pool");
    match settings.reload(wanted).await {
        Ok(()) => true,
        Err(why) => {
            tracing::error!(pool = %wanted.id, model = %before.model, why, "pool not changed: it is served as before");
            false
        }
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
