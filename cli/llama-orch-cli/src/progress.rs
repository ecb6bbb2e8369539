//! What a pool or a replica is at when it cannot serve, in words.

use api_types::{Fetch, Pool, ReloadProgress, ReloadStage, Replica};

use crate::text;

/// What keeps a pool, where its replicas do not say it: its model is fetched, or could not be.
pub fn of_pool(pool: &Pool) -> Option<String> {
    if let Some(reason) = &pool.reason {
        return Some(reason.clone());
    }
    Some(format!("fetching its model: {}", share_of(pool.fetch.as_ref()?)))
}

fn share_of(fetch: &Fetch) -> String {
    let done = text::bytes(fetch.done_bytes);
    match fetch.total_bytes.filter(|total| *total > 0) {
        Some(total) => {
            let percent = fetch.done_bytes.min(total) * 100 / total;
            format!("{done} of {} ({percent} %)", text::bytes(total))
        }
        None => done,
    }
}

/// What a reload brings and how far it is, where one is under way.
pub fn of_reload(pool: &Pool) -> Option<String> {
    let to = pool.reloading_to.as_ref()?;
    let stage = pool.reload.as_ref().map(stage_of).unwrap_or_default();
    Some(format!("reloading to {to}{stage}"))
}

fn stage_of(reload: &ReloadProgress) -> String {
    match (reload.stage, &reload.fetch, reload.load_progress) {
        (ReloadStage::Fetching, Some(fetch), _) => format!(": fetching it, {}", share_of(fetch)),
        (ReloadStage::Fetching, None, _) => ": looking for it".to_owned(),
        (ReloadStage::Waiting, ..) => ": waiting for the tasks at work".to_owned(),
        (ReloadStage::Loading, _, share) => format!(": loading it, {:.0} %", share.unwrap_or(0.0) * 100.0),
        (ReloadStage::Testing, ..) => ": testing it".to_owned(),
    }
}

/// What keeps a replica: a reason, or how far its model is loaded. Empty for one that serves.
pub fn of_replica(replica: &Replica) -> String {
    match (&replica.reason, replica.load_progress) {
        (Some(reason), _) => reason.clone(),
        (None, Some(progress)) => format!("loading its model: {:.0} %", progress * 100.0),
        (None, None) => String::new(),
    }
}

/// What a pool and its replicas are at, to be put behind a sentence; empty where there is nothing to say.
pub fn detail(pool: &Pool) -> String {
    let replicas = pool.replicas.iter().map(of_replica).filter(|note| !note.is_empty());
    let notes: Vec<String> = of_pool(pool).into_iter().chain(replicas).collect();
    if notes.is_empty() { String::new() } else { format!(": {}", notes.join(", ")) }
}

#[cfg(test)]
mod tests;
