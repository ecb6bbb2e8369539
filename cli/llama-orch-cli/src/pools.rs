//! The daemon's pools, and the one that somebody means by a name.

use api_types::{Health, Holding, Pool};

use crate::api::ApiError;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;

/// How the daemon is, with all that it tells who has the token.
///
/// # Errors
/// The daemon cannot be asked, it does not take the token, or a signal came.
pub async fn ask(cx: &mut Context) -> Result<Health, Stop> {
    let health = answer(cx).await?.map_err(|error| cx.api.failure(error))?;
    // Only who has the token is told the version.
    if health.version.is_none() { Err(cx.api.unauthorised().into()) } else { Ok(health) }
}

/// The same, with what the daemon says instead of it.
///
/// # Errors
/// A signal came.
pub async fn answer(cx: &mut Context) -> Result<Result<Health, ApiError>, Stop> {
    tokio::select! {
        biased;
        exit = cx.interrupts.next() => Err(Stop::Signal(exit)),
        health = cx.api.health() => Ok(health),
    }
}

/// The pool of this name, or else the only one that serves a model of this name.
///
/// # Errors
/// There is none, or there are several; the message names them.
pub fn find<'a>(health: &'a Health, name: &str) -> Result<&'a Pool, Failure> {
    let pools = health.pools.as_deref().unwrap_or_default();
    if let Some(pool) = pools.iter().find(|pool| is_called(pool, name)) {
        return Ok(pool);
    }
    let serving: Vec<&Pool> = pools.iter().filter(|pool| pool.model_ref == name).collect();
    match serving.as_slice() {
        [pool] => Ok(pool),
        [] => Err(Failure::new(Exit::Refused, format!("no pool has the name `{name}` or serves it"))
            .hint(format!("there are: {}", listed(pools.iter())))),
        several => Err(Failure::new(Exit::Refused, format!("several pools serve `{name}`"))
            .hint(format!("name one of them: {}", listed(several.iter().copied())))),
    }
}

/// Whether a request may name a model so.
pub fn serves(health: &Health, name: &str) -> bool {
    health.pools.iter().flatten().any(|pool| is_called(pool, name) || pool.model_ref == name)
}

fn is_called(pool: &Pool, name: &str) -> bool {
    pool.id == name || pool.aliases.iter().flatten().any(|alias| alias == name)
}

fn listed<'a>(pools: impl Iterator<Item = &'a Pool>) -> String {
    let names: Vec<String> = pools.map(|pool| format!("`{}` ({})", pool.id, pool.model_ref)).collect();
    names.join(", ")
}

/// What a pool's replicas hold of the devices' memory.
pub fn holdings<'a>(health: &'a Health, pool: &'a Pool) -> impl Iterator<Item = &'a Holding> {
    let is_of_pool =
        |holding: &&Holding| holding.replica.rsplit_once('/').is_some_and(|(id, _)| id == pool.id);
    health.ledger.iter().flatten().filter(is_of_pool)
}

/// Bytes of a holding as people read them: measured, or else expected; nothing where neither is known.
pub fn held(holding: &Holding) -> Option<String> {
    let measured = holding.measured_bytes.map(text::bytes);
    measured.or_else(|| holding.expected_bytes.map(|bytes| format!("about {}", text::bytes(bytes))))
}

#[cfg(test)]
mod tests;
