//! `GET /v1/models`: what can be named in `model`. Each pool in service is there under the reference of its model, which
//! stands for the first pool that serves it, and under its own name; and once more for the batch lane, since some
//! clients offer only what is listed. So no name depends on which other pools there are.
//!
//! Rules: ORCH-OAI-2, ORCH-OAI-21

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::routing::BATCH_SUFFIX;
use super::unix_now;
use crate::backpressure::Refusal;
use crate::health_view::{HealthView, PoolView};
use crate::http::Api;
use crate::http::answer::{Refused, shown};
use crate::state::ModelState;

/// All models.
#[derive(Debug, Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// The pool that serves it.
    pool: String,
    /// Tokens of context of a slot, once an engine has told.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<u32>,
}

/// Lists the models.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<List>, Refused> {
    Ok(Json(List { object: "list", data: api.models().await? }))
}

/// One of the list.
pub(super) async fn retrieve(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Refused> {
    let not_text = |_| Refusal::Invalid("the id in the path is not UTF-8: use a model's".to_owned());
    let Path(id) = id.map_err(not_text)?;
    let models = api.models().await?;
    let known: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    let unknown = || {
        let (id, known) = (shown(id.as_bytes()), known.join("`, `"));
        Refusal::NotFound(format!("`model` is `{id}`, which is not served here: there is `{known}`"))
    };
    let permit = known.iter().position(|known| *known == id).ok_or_else(unknown)?;
    let model = models.into_iter().nth(permit).ok_or(Refusal::Internal)?;
    Ok(Json(model))
}

impl Api {
    async fn models(&self) -> Result<Vec<Model>, Refusal> {
        let view = self.driver.health().await.ok_or(Refusal::Stopping)?;
        Ok(listed(&view, unix_now().saturating_sub(view.uptime.0 / 1000)))
    }
}

/// The names of the pools in service. One that several of them have is the first one's, as it is for tasks.
fn listed(view: &HealthView, created: u64) -> Vec<Model> {
    let mut taken = HashSet::new();
    let served = view.pools.iter().filter(|pool| pool.state == ModelState::Active);
    let named = served.flat_map(|pool| {
        let aliases = pool.aliases.iter().map(String::as_str);
        [&*pool.model_ref, pool.id.as_str()].into_iter().chain(aliases).map(move |name| (name, pool))
    });
    let names = named.filter(|(name, _)| taken.insert(*name));
    names.flat_map(|(name, pool)| both_lanes(name, pool, created)).collect()
}

fn both_lanes(name: &str, pool: &PoolView, created: u64) -> [Model; 2] {
    ["", BATCH_SUFFIX].map(|suffix| Model {
        id: format!("{name}{suffix}"),
        object: "model",
        created,
        owned_by: "llama-orch",
        pool: pool.id.to_string(),
        max_model_len: pool.facts.as_ref().map(|facts| facts.ctx.0),
    })
}

#[cfg(test)]
mod tests {
    use engine_api::EngineKind;
    use orchestrator_core::{Millis, PoolId};

    use super::*;

    fn pool(id: &str, model_ref: &str, state: ModelState) -> PoolView {
        PoolView {
            id: PoolId::new(id).unwrap(),
            model_ref: model_ref.to_owned(),
            aliases: Vec::new(),
            engine: EngineKind::Llamacpp,
            state,
            unloaded: false,
            loading: false,
            reload: None,
            placement: Vec::new(),
            facts: None,
            lanes: Vec::new(),
            replicas: Vec::new(),
            fetch: None,
            reason: None,
            prediction_error: None,
        }
    }

    /// Each name with the pool that it stands for.
    fn names(pools: &[PoolView]) -> Vec<(String, String)> {
        let view = HealthView { ready: true, stopping: false, uptime: Millis(1), pools: pools.to_vec() };
        let listed = listed(&view, 0).into_iter().filter(|model| !model.id.ends_with(BATCH_SUFFIX));
        listed.map(|model| (model.id, model.pool)).collect()
    }

    /// ORCH-OAI-21
    #[test]
    fn no_name_depends_on_which_other_pools_there_are() {
        let all = [
            pool("a", "starter", ModelState::Active),
            pool("b", "starter", ModelState::Active),
            pool("c", "other", ModelState::Active),
        ];
        for others in 0..8_u8 {
            let there: Vec<_> = (0..3).filter(|at| others & 1 << at != 0).map(|at| all[at].clone()).collect();
            let names = names(&there);
            for pool in &there {
                let first = there.iter().find(|first| first.model_ref == pool.model_ref).unwrap();
                let pairs = [(pool.id.to_string(), &pool.id), (pool.model_ref.clone(), &first.id)];
                for (name, of) in pairs {
                    assert!(names.contains(&(name.clone(), of.to_string())), "{name} in {names:?}");
                }
            }
            let distinct: HashSet<_> = names.iter().map(|(name, _)| name).collect();
            assert_eq!(distinct.len(), names.len(), "{names:?}");
        }
    }

    /// ORCH-CONF-14
    #[test]
    fn a_pool_is_listed_under_each_of_its_names() {
        let aliases = vec!["gpt-4o-mini".to_owned(), "qwen3:8b".to_owned()];
        let pools = [PoolView { aliases, ..pool("a", "m", ModelState::Active) }];
        let names: Vec<String> = names(&pools).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["m", "a", "gpt-4o-mini", "qwen3:8b"]);
    }

    /// ORCH-OAI-21
    #[test]
    fn a_model_of_a_retired_pool_is_that_of_the_next_pool_that_serves_it() {
        let pools = [pool("a", "m", ModelState::Retired), pool("b", "m", ModelState::Active)];
        assert_eq!(names(&pools), [("m".into(), "b".into()), ("b".into(), "b".into())]);
    }
}
