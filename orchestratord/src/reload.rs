//! Reading the configuration again (`SIGHUP`). What can change while the daemon runs does; what takes a restart is
//! named in the log; a configuration with a fault in it changes nothing.

use config_schema::Config;
use orchestratord::auth::ApiToken;
use orchestratord::daemon::Settings;
use orchestratord::exit::Exit;
use orchestratord::logging::Log;

use crate::args::Options;

/// The options that change while the daemon runs, and those below them.
const LIVE: [&str; 12] = [
    "allowed_hosts",
    "allowed_origins",
    "image_hosts",
    "limits.authentication_timeout_s",
    "limits.body_mb",
    "limits.header_kb",
    "limits.header_timeout_s",
    "limits.write_timeout_s",
    "log.level",
    "sampler_profiles",
    "shutdown.grace_s",
    "stream.keepalive_s",
];

/// Options of a pool whose change is a reload of its model.
const OF_A_MODEL: [&str; 2] = ["model", "sha256"];

/// Reads the configuration again and gives the one that holds from here on. `current` holds where the new one has a
/// fault, and for each model that cannot be served; what takes a restart is told by what the daemon `started` with.
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
    let differences = current.differences(&new);
    let live: Vec<&str> = differences.iter().map(String::as_str).filter(|path| is_live(path)).collect();
    let since_start = started.differences(&new);
    let restart: Vec<&str> = since_start
        .iter()
        .map(String::as_str)
        .filter(|path| !is_live(path) && !is_of_a_model(path))
        .collect();
    settings.take_over(&new, token);
    if !log.set_level(new.log.level) && current.log.level != new.log.level {
        tracing::warn!("`log.level` has no effect: `RUST_LOG` is set");
    }
    if !restart.is_empty() {
        tracing::warn!(options = restart.join(", "), "these options take a restart");
    }
    let mut holds = new.clone();
    for pool in &mut holds.pools {
        let path = |option: &str| format!("pools[{}].{option}", pool.id);
        let is_changed = OF_A_MODEL.iter().any(|option| differences.contains(&path(option)));
        // A model of another engine, or on another server, is another pool: it takes the restart that those take.
        let is_another =
            ["engine", "server"].iter().any(|part| restart.iter().any(|at| at.starts_with(&path(part))));
        if !is_changed || is_another {
            continue;
        }
        tracing::info!(pool = %pool.id, model = %pool.model, "reloading the model of a pool");
        if let Err(why) = settings.reload(pool).await {
            tracing::error!(pool = %pool.id, why, "the model of a pool is not changed");
            if let Some(before) = current.pools.iter().find(|before| before.id == pool.id) {
                pool.model.clone_from(&before.model);
                pool.sha256.clone_from(&before.sha256);
            }
        }
    }
    tracing::info!(changed = live.join(", "), "configuration read again");
    holds
}

/// The configuration and its token. Files are read by another thread.
async fn read(options: &Options) -> Result<(Config, ApiToken), Exit> {
    let options = options.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let loaded = crate::read_config(&options)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let token = crate::token(&loaded.config)?;
        Ok((loaded.config, token))
    });
    reading.await.unwrap_or_else(|error| Err(Exit::because(orchestratord::exit::FAILED, error)))
}

fn is_live(path: &str) -> bool {
    // The token is read with every reload, from wherever it is.
    path == "token"
        || LIVE
            .iter()
            .any(|live| path.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn is_of_a_model(path: &str) -> bool {
    OF_A_MODEL.iter().any(|option| path.starts_with("pools[") && path.ends_with(&format!("].{option}")))
}
