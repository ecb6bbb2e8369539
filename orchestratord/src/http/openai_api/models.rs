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
use engine_api::redact::without_folders;
use serde::Serialize;

use super::routing::BATCH_SUFFIX;
use super::{rfc3339, unix_now};
use crate::backpressure::Refusal;
use crate::health_view::{HealthView, PoolView};
use crate::http::Api;
use crate::http::answer::{Refused, shown};
use crate::state::ModelState;

/// All models, in the forms of OpenAI and of Anthropic at once.
#[derive(Debug, Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Model>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    display_name: String,
    created_at: String,
    /// The pool that serves it.
    pool: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

/// Tokens of context of a slot, once an engine has told, under the names that clients look for.
#[derive(Debug, Serialize)]
struct Context {
    /// vLLM's.
    max_model_len: u32,
    /// OpenRouter's.
    context_length: u32,
    /// LM Studio's.
    max_context_length: u32,
    /// Groq's.
    context_window: u32,
}

impl Context {
    fn of(tokens: u32) -> Self {
        Self {
            max_model_len: tokens,
            context_length: tokens,
            max_context_length: tokens,
            context_window: tokens,
        }
    }
}

/// Lists the models.
pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<List>, Refused> {
    let (view, created) = api.view().await?;
    let data = listed(&view, created);
    let id = |model: Option<&Model>| model.map(|model| model.id.clone());
    let (first_id, last_id) = (id(data.first()), id(data.last()));
    Ok(Json(List { object: "list", data, has_more: false, first_id, last_id }))
}

/// As [`retrieve`], of a name whose slashes were not encoded.
pub(super) async fn retrieve_with_slashes(
    api: State<Arc<Api>>,
    parts: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Model>, Refused> {
    retrieve(api, parts.map(|Path((first, rest))| Path(format!("{first}/{rest}")))).await
}

/// One of the list, or what a request may name without its being listed.
pub(super) async fn retrieve(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, Refused> {
    let not_text = |_| Refusal::Invalid("the id in the path is not UTF-8: use a model's".to_owned());
    let Path(id) = id.map_err(not_text)?;
    let id = id.trim_end_matches('/');
    let (view, created) = api.view().await?;
    let name = id.strip_suffix(BATCH_SUFFIX).unwrap_or(id);
    let is_named = |pool: &&PoolView| {
        *pool.model_ref == *name || pool.id.as_str() == name || pool.aliases.iter().any(|alias| alias == name)
    };
    let pool = served(&view).find(is_named);
    let pool = pool.ok_or_else(|| {
        let known: Vec<_> = listed(&view, created).into_iter().map(|model| model.id).collect();
        let (id, known) = (shown(id.as_bytes()), known.join("`, `"));
        Refusal::NotFound(format!("`model` is `{id}`, which is not served here: there is `{known}`"))
    })?;
    Ok(Json(model(id.to_owned(), pool, created)))
}

impl Api {
    /// The pools, and when the daemon started.
    async fn view(&self) -> Result<(HealthView, u64), Refusal> {
        let view = self.driver.health().await.ok_or(Refusal::Stopping)?;
        let created = unix_now().saturating_sub(view.uptime.0 / 1000);
        Ok((view, created))
    }
}

fn served(view: &HealthView) -> impl Iterator<Item = &PoolView> {
    view.pools.iter().filter(|pool| pool.state == ModelState::Active)
}

/// The names of the pools in service. One that several of them have is the first one's, as it is for tasks. A reference
/// that is a path is a name as well, and is not listed: it says nothing but where a file is.
fn listed(view: &HealthView, created: u64) -> Vec<Model> {
    let mut taken = HashSet::new();
    let reference = |pool: &PoolView| without_folders(&pool.model_ref) == *pool.model_ref;
    let named = served(view).flat_map(|pool| {
        let reference = reference(pool).then_some(&*pool.model_ref);
        let aliases = pool.aliases.iter().map(String::as_str);
        reference.into_iter().chain([pool.id.as_str()]).chain(aliases).map(move |name| (name, pool))
    });
    let names = named.filter(|(name, _)| taken.insert(*name));
    let both_lanes = |(name, pool): (&str, &PoolView)| {
        ["", BATCH_SUFFIX].map(|suffix| model(format!("{name}{suffix}"), pool, created))
    };
    names.flat_map(both_lanes).collect()
}

fn model(id: String, pool: &PoolView, created: u64) -> Model {
    Model {
        display_name: id.clone(),
        id,
        object: "model",
        created,
        owned_by: "llama-orch",
        kind: "model",
        created_at: rfc3339(created),
        pool: pool.id.to_string(),
        context: pool.facts.as_ref().map(|facts| Context::of(facts.ctx.0)),
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Millis;

    use super::*;

    fn pool(id: &str, model_ref: &str, state: ModelState) -> PoolView {
        PoolView { state, ..PoolView::empty(id, model_ref) }
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
    fn a_path_is_no_name_to_list() {
        let pools = [
            pool("a", "file:/home/u/blobs/sha256-1", ModelState::Active),
            pool("b", "hf:o/r/f.gguf", ModelState::Active),
        ];
        assert_eq!(
            names(&pools),
            [("a".into(), "a".into()), ("hf:o/r/f.gguf".into(), "b".into()), ("b".into(), "b".into())]
        );
    }

    /// ORCH-OAI-21
    #[test]
    fn a_model_of_a_retired_pool_is_that_of_the_next_pool_that_serves_it() {
        let pools = [pool("a", "m", ModelState::Retired), pool("b", "m", ModelState::Active)];
        assert_eq!(names(&pools), [("m".into(), "b".into()), ("b".into(), "b".into())]);
    }
}
