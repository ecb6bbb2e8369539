//! Whether the daemon is there, and whether what it has can serve.
//!
//! Rules: ORCH-CLI-12

use std::net::{SocketAddr, TcpListener};

use api_types::{Health, HealthStatus, PoolState};
use config_schema::Config;

use super::{Finding, Verdict};
use crate::api::{Api, ApiError};
use crate::args::Global;
use crate::connection::{Connection, Host};
use crate::progress;
use crate::text;

/// Where a daemon started here would listen.
#[derive(Clone, Copy)]
pub struct Addresses {
    listen: SocketAddr,
    ollama: Option<SocketAddr>,
}

impl Addresses {
    /// By this configuration.
    pub fn of(config: &Config) -> Self {
        Self { listen: config.access.listen, ollama: config.ollama.listen }
    }

    /// What is in the way of listening for clients of Ollama.
    fn ollama_taken(self) -> Option<Finding> {
        let address = self.ollama.filter(|address| !is_free(*address))?;
        let message =
            format!("{address} cannot be listened on: another program has it, perhaps Ollama itself");
        let hint =
            "end that (`systemctl stop ollama`), or set `ollama.listen` in the configuration to another port";
        Some(Finding::fail("port", message, hint))
    }
}

/// Asks it.
pub async fn look(global: &Global, addresses: Option<Addresses>) -> Vec<Finding> {
    let listen = addresses.map(|addresses| addresses.listen);
    let api = match Connection::find(global).and_then(Api::new) {
        Ok(api) => api,
        Err(failure) => return vec![Finding::of("daemon", Verdict::Fail, failure)],
    };
    match api.health().await {
        Ok(health) => answered(&api, &health),
        Err(ApiError::Unreachable(_)) if api.host() == Host::This && listen.is_some_and(is_free) => {
            let message = format!("none runs at {}, and its port is free", api.url());
            let hint = "`orchestratord` starts it, or `systemctl --user start llama-orch`";
            let ollama = addresses.and_then(Addresses::ollama_taken);
            std::iter::once(Finding::fail("daemon", message, hint)).chain(ollama).collect()
        }
        Err(error @ (ApiError::Unreachable(_) | ApiError::Protocol(_))) => {
            let mut findings = vec![Finding::of("daemon", Verdict::Fail, api.failure(error))];
            findings
                .extend(listen.filter(|_| api.host() == Host::This).filter(|at| !is_free(*at)).map(taken));
            findings.extend(addresses.and_then(Addresses::ollama_taken));
            findings
        }
        Err(error) => vec![Finding::of("daemon", Verdict::Fail, api.failure(error))],
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

fn taken(address: SocketAddr) -> Finding {
    let port = address.port();
    let hint = format!(
        "`ss -ltnp 'sport = :{port}'` shows by whom; end that, or set `listen` in the configuration to another port"
    );
    Finding::fail("port", format!("{address} cannot be listened on: another program has it"), hint)
}

fn answered(api: &Api, health: &Health) -> Vec<Finding> {
    let Some(version) = &health.version else {
        return vec![Finding::of("daemon", Verdict::Fail, api.unauthorised())];
    };
    let own = env!("CARGO_PKG_VERSION");
    let mut said = format!("orchestratord {version} at {}: {}", api.url(), health.status);
    if let Some(build) = &health.build {
        said.push_str(&format!(", engine build: {build}"));
    }
    let mut findings = vec![match health.status {
        HealthStatus::Ok if version != own => Finding::warn(
            "daemon",
            format!("{said}; this command line is {own}"),
            "restart the daemon after an upgrade: `systemctl --user restart llama-orch`, or as it was started",
        ),
        HealthStatus::Ok => Finding::ok("daemon", said),
        HealthStatus::Starting => {
            Finding::warn("daemon", said, "`llama-orch health --wait` waits until it can serve")
        }
        HealthStatus::Stopping => Finding::warn("daemon", said, "it is shutting down"),
        HealthStatus::Unavailable => {
            Finding::fail("daemon", said, "the pools below say why; `llama-orch logs` says more")
        }
    }];
    findings.extend(health.pools.iter().flatten().map(pool));
    findings
}

fn pool(pool: &api_types::Pool) -> Finding {
    let ready = pool.replicas.iter().filter(|one| one.state == api_types::ReplicaState::Ready).count();
    let said = format!(
        "{}: {}, {} of {} ready{}",
        pool.id,
        pool.state,
        ready,
        text::count(pool.replicas.len() as u64, "replica"),
        progress::detail(pool)
    );
    match pool.state {
        PoolState::Ready | PoolState::Unloaded | PoolState::Retired => Finding::ok("pool", said),
        PoolState::Starting => Finding::warn("pool", said, "`llama-orch status --watch` shows how far it is"),
        PoolState::Unavailable => Finding::fail(
            "pool",
            said,
            format!("`llama-orch explain {}` says why, `llama-orch logs` says more", pool.id),
        ),
    }
}
