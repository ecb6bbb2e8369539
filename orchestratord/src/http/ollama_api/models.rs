//! Which models there are: `GET /api/tags`, `GET /api/ps` and `POST /api/show`.
//!
//! Rules: ORCH-OLLAMA-3

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use engine_api::redact::without_folders;
use orchestrator_core::{Millis, PoolId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model_view::{self, Details};
use super::names;
use crate::backpressure::Refusal;
use crate::health_view::{HealthView, PoolView};
use crate::http::answer::Refused;
use crate::http::wall_time::{rfc3339, unix_now};
use crate::http::{Api, body};
use crate::model_folder::ModelFile;
use crate::state::ModelState;

/// Seconds until a model is unloaded that stays loaded: what Ollama says is as far away.
const FOREVER_S: u64 = 100 * 365 * 24 * 3600;

#[derive(Serialize)]
pub(super) struct List<M> {
    models: Vec<M>,
}

/// A model of the list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    name: String,
    model: String,
    modified_at: String,
    size: u64,
    digest: String,
    details: Details,
}

/// A model that is loaded.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Running {
    name: String,
    model: String,
    size: u64,
    digest: String,
    details: Details,
    expires_at: String,
    size_vram: u64,
    context_length: u32,
}

/// All that is told of a model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    modelfile: String,
    parameters: String,
    details: Details,
    model_info: Map<String, Value>,
    capabilities: Vec<&'static str>,
    modified_at: String,
}

/// Of which model; `name` is what Ollama called it before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowRequest {
    model: Option<String>,
    name: Option<String>,
    /// What is told is never long.
    #[serde(default, rename = "verbose")]
    _verbose: IgnoredAny,
    /// What would be shown in place of the model's own.
    #[serde(default, rename = "system")]
    _system: IgnoredAny,
    #[serde(default, rename = "template")]
    _template: IgnoredAny,
    #[serde(default, rename = "options")]
    _options: IgnoredAny,
}

/// The files of models, by their pools.
type Files = BTreeMap<PoolId, ModelFile>;

/// Lists the models in service, each under all of its names.
pub(super) async fn tags(State(api): State<Arc<Api>>) -> Result<Json<List<Listed>>, Refused> {
    let view = api.pools().await?;
    let files = files(&api, &view).await;
    let started = unix_now().saturating_sub(view.uptime.0 / 1000);
    let of_pool = |pool: &PoolView| {
        let file = files.get(&pool.id);
        let listed = Listed {
            name: String::new(),
            model: String::new(),
            modified_at: rfc3339(modified(file, started)),
            size: model_view::size(pool, file),
            digest: model_view::digest(pool),
            details: Details::of(pool, file),
        };
        names::listed(pool).into_iter().map(move |name| Listed {
            model: name.clone(),
            name,
            ..listed.clone()
        })
    };
    Ok(Json(List { models: served(&view).flat_map(of_pool).collect() }))
}

/// Lists the models that are loaded.
pub(super) async fn ps(State(api): State<Arc<Api>>) -> Result<Json<List<Running>>, Refused> {
    let view = api.pools().await?;
    let files = files(&api, &view).await;
    let now = unix_now();
    let of_pool = |pool: &PoolView| {
        let facts = pool.facts.as_ref().filter(|_| is_loaded(pool))?;
        let (size, size_vram) = memory(pool);
        let name = names::with_tag(pool.id.as_str());
        Some(Running {
            model: name.clone(),
            name,
            size: size.max(facts.model.size_bytes),
            digest: model_view::digest(pool),
            details: Details::of(pool, files.get(&pool.id)),
            expires_at: rfc3339(now + pool.stay.unloads_in.map_or(FOREVER_S, |Millis(ms)| ms / 1000)),
            size_vram,
            context_length: facts.ctx.0,
        })
    };
    Ok(Json(List { models: view.pools.iter().filter_map(of_pool).collect() }))
}

/// Tells all of one model.
pub(super) async fn show(State(api): State<Arc<Api>>, request: Request) -> Result<Json<Shown>, Refused> {
    let request: ShowRequest = body::read_json(request, api.settings().body_bytes).await?;
    let missing = || Refusal::Invalid("`model` is missing: name one of `/api/tags`".to_owned());
    let model = request.model.or(request.name).ok_or_else(missing)?;
    let view = api.pools().await?;
    let pool = names::find(&view, &model)?.pool;
    let files = files(&api, &view).await;
    let file = files.get(&pool.id);
    let started = unix_now().saturating_sub(view.uptime.0 / 1000);
    Ok(Json(Shown {
        modelfile: format!("FROM {}\n", model_view::reference(pool)),
        parameters: parameters(&api, pool),
        details: Details::of(pool, file),
        model_info: model_info(pool),
        capabilities: model_view::capabilities(pool),
        modified_at: rfc3339(modified(file, started)),
    }))
}

fn served(view: &HealthView) -> impl Iterator<Item = &PoolView> {
    view.pools.iter().filter(|pool| pool.state == ModelState::Active)
}

fn is_loaded(pool: &PoolView) -> bool {
    pool.replicas.iter().any(|replica| replica.state == "ready")
}

/// Bytes that the replicas of a pool take, and those of them on cards.
fn memory(pool: &PoolView) -> (u64, u64) {
    pool.replicas.iter().fold((0, 0), |(all, on_cards), replica| {
        let memory = replica.facts.as_ref().and_then(|facts| facts.memory.as_ref());
        let device = memory.map_or(0, |memory| memory.weights_bytes + memory.kv_bytes + memory.compute_bytes);
        let host = memory.map_or(0, |memory| memory.host_bytes);
        (all + device + host, on_cards + if replica.device_uuid.is_some() { device } else { 0 })
    })
}

/// When a model's file was written; when the daemon started, where there is no file.
fn modified(file: Option<&ModelFile>, started: u64) -> u64 {
    file.and_then(|file| file.modified_unix_s).unwrap_or(started)
}

/// The files of all pools, where they are on this machine. Looking for them is work for another thread.
async fn files(api: &Arc<Api>, view: &HealthView) -> Files {
    let models: Vec<_> = view.pools.iter().map(|pool| (pool.id.clone(), pool.model_ref.clone())).collect();
    let folder = Arc::clone(&api.models);
    let looking = tokio::task::spawn_blocking(move || {
        models.into_iter().filter_map(|(pool, model)| Some((pool, folder.file_of(&model)?))).collect()
    });
    looking.await.unwrap_or_default()
}

/// The defaults of a pool, in the words of a Modelfile.
fn parameters(api: &Api, pool: &PoolView) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(lines, "{name:<30} {value}").expect("a string takes everything");
        }
    };
    line("num_ctx", pool.facts.as_ref().map(|facts| facts.ctx.to_string()));
    if let Some(defaults) = api.settings().defaults.get(&pool.id) {
        let number = |value: Option<f32>| value.map(|value| value.to_string());
        let sampling = &defaults.sampling;
        line("num_predict", Some(defaults.max_tokens.to_string()));
        line("temperature", number(sampling.temperature));
        line("top_k", sampling.top_k.map(|value| value.to_string()));
        line("top_p", number(sampling.top_p));
        line("min_p", number(sampling.min_p));
        line("repeat_penalty", number(sampling.repeat_penalty));
        line("repeat_last_n", sampling.repeat_last_n.map(|value| value.to_string()));
    }
    lines
}

/// What the model's file says of it, under the names that it has there. The context is the one that requests have here.
fn model_info(pool: &PoolView) -> Map<String, Value> {
    let mut info = Map::new();
    let Some(facts) = &pool.facts else { return info };
    let model = &facts.model;
    let architecture = &model.architecture;
    info.insert("general.architecture".to_owned(), architecture.as_str().into());
    info.insert("general.basename".to_owned(), without_folders(&model.name).into());
    info.insert("general.parameter_count".to_owned(), model.parameters.into());
    info.insert(format!("{architecture}.context_length"), facts.ctx.0.into());
    info.insert(format!("{architecture}.embedding_length"), model.embedding_size.into());
    info.insert("llama-orch.trained_context_length".to_owned(), model.ctx_train.0.into());
    info
}
