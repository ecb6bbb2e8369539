//! What a pool or a replica is at when it cannot serve, in words.

use api_types::{Pool, Replica};

use crate::text;

/// What keeps a pool, where its replicas do not say it: its model is fetched, or could not be.
pub fn of_pool(pool: &Pool) -> Option<String> {
    if let Some(reason) = &pool.reason {
        return Some(reason.clone());
    }
    let fetch = pool.fetch.as_ref()?;
    let done = text::bytes(fetch.done_bytes);
    Some(match fetch.total_bytes.filter(|total| *total > 0) {
        Some(total) => {
            let percent = fetch.done_bytes.min(total) * 100 / total;
            format!("fetching its model: {done} of {} ({percent} %)", text::bytes(total))
        }
        None => format!("fetching its model: {done}"),
    })
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
