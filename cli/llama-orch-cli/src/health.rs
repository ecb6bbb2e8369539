//! `health`: whether the daemon can serve, as an exit code; on request once it can.

use std::time::Duration;

use api_types::{Health, HealthStatus, ReplicaState};

use crate::api::ApiError;
use crate::args::HealthArgs;
use crate::clock;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress;
use crate::status;
use crate::text;

/// How often the daemon is asked while it is waited for.
const POLL: Duration = Duration::from_millis(250);

/// Says how the daemon is, once it can serve or the wait is over.
///
/// # Errors
/// It cannot serve, or cannot be reached.
pub async fn health(cx: &mut Context, args: &HealthArgs) -> Result<Exit, Stop> {
    let start = clock::now();
    let patience = Duration::from_secs(args.wait.unwrap_or(0));
    let mut shown = String::new();
    loop {
        let asked = tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            asked = cx.api.health() => asked,
        };
        let left = clock::left(start, patience);
        match asked {
            Ok(health) if health.status == HealthStatus::Ok || left.is_zero() => {
                return said(cx, &health, args);
            }
            Ok(health) => wait_note(cx, &mut shown, &describe(&health), left),
            Err(error @ (ApiError::Unreachable(_) | ApiError::Broken(_))) if !left.is_zero() => {
                let url = cx.api.url().to_owned();
                drop(error);
                wait_note(cx, &mut shown, &format!("no daemon at {url} yet"), left);
            }
            Err(error) => return Err(cx.api.failure(error).into()),
        }
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            () = tokio::time::sleep(POLL.min(left)) => {}
        }
    }
}

fn said(cx: &mut Context, health: &Health, args: &HealthArgs) -> Result<Exit, Stop> {
    let url = cx.api.url();
    let line = if args.json { status::to_json(health) } else { format!("{} at {url}", health.status) };
    cx.ui.print(&line)?;
    if health.status == HealthStatus::Ok {
        return Ok(Exit::Done);
    }
    let failure = Failure::new(
        Exit::Busy,
        format!("the daemon at {} is not ready: {}", cx.api.url(), describe(health)),
    );
    let failure = failure.hint(match health.status {
        HealthStatus::Starting => "`llama-orch health --wait` waits until it is",
        HealthStatus::Stopping => "it is shutting down",
        HealthStatus::Ok | HealthStatus::Unavailable => "`llama-orch status` and `llama-orch logs` show why",
    });
    if args.json {
        cx.ui.failure_in_words(&failure);
        return Ok(failure.exit);
    }
    Err(failure.into())
}

/// How it is, and what keeps each pool and replica that is not ready.
fn describe(health: &Health) -> String {
    let mut parts = vec![health.status.to_string()];
    for pool in health.pools.iter().flatten() {
        parts.extend(progress::of_pool(pool).map(|trouble| format!("{} {trouble}", pool.id)));
        for replica in pool.replicas.iter().filter(|replica| replica.state != ReplicaState::Ready) {
            let state = replica.state.to_string().replace('_', " ");
            parts.push(match progress::of_replica(replica) {
                note if note.is_empty() => format!("{} {state}", replica.id),
                note => format!("{} {state}: {note}", replica.id),
            });
        }
    }
    parts.join(", ")
}

/// On a terminal every time, with the time that is left; in a log only when something has changed.
fn wait_note(cx: &mut Context, shown: &mut String, state: &str, left: Duration) {
    if cx.ui.live_is_cheap() {
        cx.ui.live(&format!("{state} ({} left)", text::countdown(left)));
    } else if shown != state {
        cx.ui.live(state);
        state.clone_into(shown);
    }
}
