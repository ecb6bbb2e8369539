//! What the service manager is told: that the daemon answers, how it is, that it is alive, that it ends. The
//! protocol is systemd's `sd_notify(3)`; where no manager listens (`NOTIFY_SOCKET`), nothing is said.
//!
//! ```text
//! listening ─► READY ─► STATUS, WATCHDOG … ─► STOPPING
//!                           ▲
//!                        the driver has answered: a daemon whose driver hangs is started anew
//! ```
//!
//! Rules: ORCH-INST-1

use std::time::Duration;

use sd_notify::NotifyState;

use crate::handle::DriverHandle;
use crate::health_view::{HealthView, ReloadStage};

/// How often the status is told where no watchdog says.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The daemon answers: whoever was to start after it may.
pub fn ready(url: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {url}"))]);
}

/// The daemon ends, in order.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: what runs may finish")]);
}

/// Tells again and again how the daemon is, and that it lives. Ends with its driver, and at once where no manager
/// listens.
pub async fn heartbeat(driver: DriverHandle) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // Twice in the time that the manager waits, as it recommends.
    let mut beats =
        tokio::time::interval(watchdog.map_or(STATUS_EVERY, |limit| limit / 2).max(Duration::from_millis(1)));
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let Some(health) = driver.health().await else { return };
        let status = describe(&health);
        let alive = watchdog.map(|_| NotifyState::Watchdog);
        tell(&[NotifyState::Status(&status)].into_iter().chain(alive).collect::<Vec<_>>());
    }
}

/// One line, as `systemctl status` shows it.
fn describe(health: &HealthView) -> String {
    let pools = &health.pools;
    let ready =
        pools.iter().filter(|pool| pool.replicas.iter().any(|replica| replica.state == "ready")).count();
    let running: u64 =
        pools.iter().flat_map(|pool| &pool.replicas).map(|replica| u64::from(replica.slots_busy)).sum();
    let waiting: u64 = pools.iter().flat_map(|pool| &pool.lanes).map(|lane| u64::from(lane.depth)).sum();
    let mut line = if health.stopping {
        "stopping".to_owned()
    } else {
        format!("{ready} of {} pools loaded", pools.len())
    };
    line.push_str(&format!("; {running} running, {waiting} waiting"));
    for pool in pools {
        if let Some(reload) = &pool.reload {
            line.push_str(&format!("; {} is being reloaded to {}", pool.id, reload.to));
            if let ReloadStage::Loading(share) = reload.stage {
                line.push_str(&format!(" ({:.0} % loaded)", share * 100.0));
            }
        }
    }
    line.replace(char::is_control, " ")
}

/// A manager that does not listen any more is nobody's trouble.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests;
