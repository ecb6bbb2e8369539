//! `retire` and `activate`: models out of service and back into it.

use std::time::Duration;

use api_types::{Health, ModelState, ModelStatus, Pool, PoolState};

use crate::api::ApiError;
use crate::args::StateArgs;
use crate::clock;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::progress;
use crate::text;

/// How often the daemon is asked while it is waited for.
const POLL: Duration = Duration::from_millis(250);

/// Sets the state of each model that is named, and waits where that is asked for.
///
/// # Errors
/// The daemon refuses or cannot be asked; a wait that was in vain; a signal.
pub async fn set(cx: &mut Context, args: &StateArgs, state: ModelState) -> Result<Exit, Stop> {
    for name in &args.models {
        let status = set_one(cx, name, state).await?;
        if !args.json {
            cx.ui.print(&said(&status, args.wait))?;
        }
        if let Some(bound) = args.wait {
            wait(cx, &status, Duration::from_secs(bound)).await?;
        }
        if args.json {
            cx.ui.print(&serde_json::to_string(&status).expect("it came as JSON"))?;
        }
    }
    Ok(Exit::Done)
}

async fn set_one(cx: &mut Context, name: &str, state: ModelState) -> Result<ModelStatus, Stop> {
    match send(cx, name, state).await? {
        Ok(status) => Ok(status),
        // It may be what the pool serves that was named.
        Err(error) if error.is_not_found() => {
            let health = pools::ask(cx).await?;
            let id = pools::find(&health, name)?.id.clone();
            Ok(send(cx, &id, state).await?.map_err(|error| cx.api.failure(error))?)
        }
        Err(error) => Err(cx.api.failure(error).into()),
    }
}

async fn send(
    cx: &mut Context,
    pool: &str,
    state: ModelState,
) -> Result<Result<ModelStatus, ApiError>, Stop> {
    tokio::select! {
        biased;
        exit = cx.interrupts.next() => Err(Stop::Signal(exit)),
        status = cx.api.set_state(pool, state) => Ok(status),
    }
}

fn said(status: &ModelStatus, wait: Option<u64>) -> String {
    let pool = &status.model_id;
    match (status.state, wait) {
        (ModelState::Retired, None) => {
            format!("{pool} is retired: its memory is given back once what runs on it has finished")
        }
        (ModelState::Retired, Some(_)) => format!("{pool} is retired"),
        (ModelState::Active, _) => format!("{pool} is active"),
    }
}

/// How far a model is on its way to the state that was asked for.
enum Way {
    There,
    OnIt(String),
    Lost(String),
}

async fn wait(cx: &mut Context, status: &ModelStatus, bound: Duration) -> Result<(), Stop> {
    let start = clock::now();
    loop {
        let health = pools::ask(cx).await?;
        let pool = pools::find(&health, &status.model_id)?;
        let left = clock::left(start, bound);
        match way(&health, pool, status.state) {
            Way::There => return Ok(()),
            Way::Lost(why) => return Err(Failure::new(Exit::Failed, why).into()),
            Way::OnIt(what) if left.is_zero() => {
                let failure = Failure::new(Exit::Busy, format!("not done within `--wait`: {what}"));
                return Err(failure.hint("it goes on; `llama-orch status` shows how far it is").into());
            }
            Way::OnIt(what) if cx.ui.live_is_cheap() => {
                cx.ui.live(&format!("{what} ({} left)", text::countdown(left)));
            }
            Way::OnIt(_) => {}
        }
        tokio::select! {
            biased;
            exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
            () = tokio::time::sleep(POLL.min(left)) => {}
        }
    }
}

fn way(health: &Health, pool: &Pool, wanted: ModelState) -> Way {
    let id = &pool.id;
    if pool.model_state != wanted {
        return Way::Lost(format!("somebody else has made `{id}` {} meanwhile", pool.model_state));
    }
    match (wanted, pool.state) {
        (ModelState::Retired, _) => {
            let busy: u64 = pool.replicas.iter().map(|replica| u64::from(replica.slots_busy)).sum();
            if pool.replicas.is_empty() && pools::holdings(health, pool).next().is_none() {
                Way::There
            } else if busy > 0 {
                Way::OnIt(format!("`{id}` still has {} running", text::count(busy, "task")))
            } else {
                Way::OnIt(format!("`{id}` is being unloaded"))
            }
        }
        // Unloaded is as far as a model gets that is loaded by its first task.
        (ModelState::Active, PoolState::Ready | PoolState::Unloaded) => Way::There,
        (ModelState::Active, PoolState::Unavailable) => {
            let why = pool.reason.clone().or_else(|| pool.replicas.iter().find_map(|one| one.reason.clone()));
            Way::Lost(format!("`{id}` cannot be loaded: {}", why.unwrap_or_else(|| "no reason given".into())))
        }
        (ModelState::Active, PoolState::Starting | PoolState::Retired) => {
            Way::OnIt(format!("`{id}` is loading{}", progress::detail(pool)))
        }
    }
}
