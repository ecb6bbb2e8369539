//! Names of models, as Ollama's clients write them: `NAME`, which is `NAME:latest`, and `hf.co/OWNER/REPO:QUANTIZATION`.
//!
//! Rules: ORCH-OLLAMA-3

use http::StatusCode;
use model_store::ModelRef;

use crate::backpressure::{Refusal, Verdict};
use crate::health_view::{HealthView, PoolView};
use crate::http::answer::{Refused, shown};
use crate::http::generate::routing::Lane;
use crate::state::ModelState;

/// The tag of a name that has none.
pub(super) const LATEST: &str = "latest";

/// Hosts that stand for Hugging Face in a name.
const HUGGING_FACE: [&str; 2] = ["hf.co/", "huggingface.co/"];

/// A pool that a request names.
pub(super) struct Named<'v> {
    pub(super) pool: &'v PoolView,
    pub(super) lane: Lane,
    /// The name by which the driver finds it.
    pub(super) model_ref: String,
}

/// Finds the pool that `model` names.
///
/// # Errors
/// 404 in Ollama's own words, with the names there are.
pub(super) fn find<'v>(view: &'v HealthView, model: &str) -> Result<Named<'v>, Refused> {
    let (lane, name) = Lane::of(model, None);
    let exact = |pool: &PoolView| is_name_of(pool, |own| own == name);
    let tolerant = |pool: &PoolView| {
        is_name_of(pool, |own| with_tag(own) == with_tag(&name)) || is_repository_of(pool, &name)
    };
    let first = |fits: &dyn Fn(&PoolView) -> bool| {
        let mut found: Vec<&PoolView> = view.pools.iter().filter(|pool| fits(pool)).collect();
        // One in service goes before one that is not.
        found.sort_by_key(|pool| pool.state != ModelState::Active);
        found.first().copied()
    };
    if let Some(pool) = first(&exact) {
        return Ok(Named { pool, lane, model_ref: name });
    }
    match first(&tolerant) {
        Some(pool) => Ok(Named { pool, lane, model_ref: pool.id.to_string() }),
        None => Err(not_found(view, model)),
    }
}

/// The names of a pool as they are listed: its own, and its aliases.
pub(super) fn listed(pool: &PoolView) -> Vec<String> {
    std::iter::once(pool.id.as_str()).chain(pool.aliases.iter().map(String::as_str)).map(with_tag).collect()
}

/// A name with its tag.
pub(super) fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:{LATEST}") }
}

fn is_name_of(pool: &PoolView, is: impl Fn(&str) -> bool) -> bool {
    is(pool.id.as_str()) || is(&pool.model_ref) || pool.aliases.iter().any(|alias| is(alias))
}

/// Whether `name` stands for the file of Hugging Face that the pool serves: its tag is a part of the file's name.
fn is_repository_of(pool: &PoolView, name: &str) -> bool {
    let Some(path) = HUGGING_FACE.iter().find_map(|host| name.strip_prefix(host)) else { return false };
    let (repository, tag) = path.split_once(':').unwrap_or((path, LATEST));
    let Ok(ModelRef::HuggingFace(file)) = ModelRef::parse(&pool.model_ref) else { return false };
    let lower = |text: &str| text.to_ascii_lowercase();
    lower(repository) == lower(&format!("{}/{}", file.owner, file.repo))
        && (tag == LATEST || lower(&file.path).contains(&lower(tag)))
}

fn not_found(view: &HealthView, model: &str) -> Refused {
    let known: Vec<String> = view.pools.iter().flat_map(listed).map(|name| format!("'{name}'")).collect();
    let message = format!("model '{}' not found: there is {}", shown(model.as_bytes()), known.join(", "));
    let refusal = Refusal::NoSuchPool(message.clone());
    let verdict = Verdict { status: StatusCode::NOT_FOUND.as_u16(), ..refusal.verdict() };
    Refused { verdict, message, engine: None }
}

#[cfg(test)]
mod tests;
