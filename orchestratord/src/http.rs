//! The HTTP planes: what each path does, and what every request passes before and after it. A handler
//! extracts, gives one command to the driver, and answers.
//!
//! ```text
//! access log ─► words of the plane ─► panic to 500 ─► Host, Origin, token ─► route ─► handler ─► DriverHandle
//! ```
//!
//! Rules: ORCH-ERR-5, ORCH-ERR-6

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use config_schema::{PoolConfig, PoolDefaults, PoolModel, SamplerProfile};
use engine_api::EngineKind;
use orchestrator_core::PoolId;
use pool_manager::{Ledger, Snapshot};

use crate::auth::ApiToken;
use crate::clock::Clock;
use crate::engine::kind;
use crate::handle::DriverHandle;
use crate::log_ring::LogRing;
use crate::metrics::Metrics;
use crate::model_fit::ModelFit;
use crate::model_folder::ModelFolder;

mod access;
pub mod answer;
mod body;
mod console;
pub mod control;
pub mod cors;
pub mod data;
pub mod events;
mod figures;
mod generate;
pub mod guard;
mod heavy;
pub mod image_url;
mod keep_alive;
mod log;
pub mod models;
mod ollama_api;
mod openai_api;
pub mod problem;
mod refusal_log;
mod store;
mod streams;
pub mod task_request;
pub mod tasks;
mod unread;
mod wall_time;

use access::Listener;
use cors::Origins;
use guard::HostRules;
use image_url::ImageUrls;
use refusal_log::RefusalLog;
use streams::Streams;

/// What the HTTP planes need to know of the configuration.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The API token.
    pub token: ApiToken,
    /// Whether the address for clients of Ollama asks for it.
    pub ollama_needs_token: bool,
    /// Which hosts the daemon goes by.
    pub hosts: HostRules,
    /// Which pages of other sites may use it.
    pub origins: Origins,
    /// Which image addresses a request may name.
    pub image_urls: ImageUrls,
    /// The largest request body.
    pub body_bytes: u64,
    /// Streams open at a time.
    pub streams: u32,
    /// Silence after which a stream carries a comment.
    pub keepalive: Duration,
    /// Sampler profiles by name, beside the documented ones.
    pub sampler_profiles: BTreeMap<String, SamplerProfile>,
    /// The engine of each pool, for the error envelope.
    pub engines: BTreeMap<PoolId, EngineKind>,
    /// What each pool serves by the configuration: whether its models go by reference or by a server's names.
    pub models: BTreeMap<PoolId, PoolModel>,
    /// What holds in each pool where a request does not say otherwise.
    pub defaults: BTreeMap<PoolId, PoolDefaults>,
    /// The pools as they are configured.
    pub pools: BTreeMap<PoolId, PoolConfig>,
    /// How the built-in engine was compiled; `none` where it was left out.
    pub build: String,
}

impl HttpSettings {
    /// A pool serves this from here on.
    pub fn serve(&mut self, pool: &PoolConfig) {
        self.engines.insert(pool.id.clone(), kind(pool.engine));
        self.models.insert(pool.id.clone(), pool.model.clone());
        self.defaults.insert(pool.id.clone(), pool.defaults.clone());
        self.pools.insert(pool.id.clone(), pool.clone());
    }
}

/// Says what the devices are at.
pub type ReadDevices = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// What the planes read off and measure with.
#[derive(Clone)]
pub struct Instruments {
    /// The counters of the daemon.
    pub metrics: Arc<Metrics>,
    /// The devices.
    pub devices: ReadDevices,
    /// Who holds how much of which device.
    pub ledger: Arc<Ledger>,
    /// The clock.
    pub clock: Clock,
    /// The models of this machine.
    pub models: Arc<ModelFolder>,
    /// The last lines of the log.
    pub log: Arc<LogRing>,
    /// Whether models would fit.
    pub fit: Arc<ModelFit>,
}

/// What handlers get: the way to the driver, and what they need to read a request and to write an answer.
pub struct Api {
    driver: DriverHandle,
    /// Replaced as a whole when the configuration is read again.
    settings: RwLock<Arc<HttpSettings>>,
    metrics: Arc<Metrics>,
    devices: ReadDevices,
    ledger: Arc<Ledger>,
    streams: Streams,
    clock: Clock,
    console: console::session::Sessions,
    models: Arc<ModelFolder>,
    refusals: Arc<RefusalLog>,
    log: Arc<LogRing>,
    fit: Arc<ModelFit>,
}

impl Api {
    /// The planes in front of `driver`.
    #[must_use]
    pub fn new(driver: DriverHandle, settings: HttpSettings, instruments: Instruments) -> Arc<Self> {
        let Instruments { metrics, devices, ledger, clock, models, log, fit } = instruments;
        Arc::new(Self {
            driver,
            settings: RwLock::new(Arc::new(settings)),
            metrics,
            devices,
            ledger,
            streams: Streams::new(clock),
            clock,
            console: console::sessions(),
            models,
            refusals: RefusalLog::new(clock),
            log,
            fit,
        })
    }

    /// The settings at this moment.
    fn settings(&self) -> Arc<HttpSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes settings for the requests that come from here on.
    pub fn change(&self, change: impl FnOnce(&mut HttpSettings)) {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut settings));
    }

    /// The routes, and what stands before and behind them.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route(
                "/v1/tasks",
                get(tasks::list_tasks).post(data::create_task).fallback(answer::only_get_or_post),
            )
            .route("/v1/tasks/{id}", get(tasks::get_task).fallback(answer::only_get))
            .route("/v1/tasks/{id}/stream", get(data::stream_task).fallback(answer::only_get))
            .route("/v1/tasks/{id}/cancel", post(data::cancel_task).fallback(answer::only_post))
            .route(
                "/v1/sessions/{id}",
                get(data::get_session).delete(data::delete_session).fallback(answer::only_get_or_delete),
            )
            .route("/v1/pools/{id}/reload", post(models::reload_pool).fallback(answer::only_post))
            .route("/v1/models/{id}/state", post(models::set_model_state).fallback(answer::only_post))
            .route("/health", get(control::get_health).fallback(answer::only_get))
            .route("/v1/store", get(store::get_store).fallback(answer::only_get))
            .route("/v1/store/fit", post(store::create_fit).fallback(answer::only_post))
            .route("/v1/store/fetches", post(store::create_fetch).fallback(answer::only_post))
            .route("/v1/store/fetches/{id}", delete(store::delete_fetch).fallback(answer::only_delete))
            .route("/v1/figures", get(figures::get_figures).fallback(answer::only_get))
            .route("/v1/log", get(log::get_log).fallback(answer::only_get))
            .route("/metrics", get(control::get_metrics).fallback(answer::only_get))
            .merge(openai_api::routes())
            .merge(console::routes())
            .fallback(answer::unknown_path)
            .layer(from_fn_with_state((Arc::clone(self), Listener::Main), access::around))
            .with_state(Arc::clone(self))
    }

    /// The routes of the address for clients of Ollama: its API, and the others that such clients know beside it.
    pub fn ollama_router(self: &Arc<Self>) -> Router {
        Router::new()
            .merge(ollama_api::routes())
            .merge(openai_api::routes())
            .fallback(ollama_api::unknown_path)
            .layer(from_fn_with_state((Arc::clone(self), Listener::Ollama), access::around))
            .with_state(Arc::clone(self))
    }
}

#[cfg(test)]
mod tests;
