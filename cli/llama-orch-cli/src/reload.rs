//! `reload`: another model in a pool, or the old one back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api_types::{Health, ReloadRequest, Reloaded, RollbackCode, RollbackStatus, RolledBack};
use futures_util::{Stream, stream};
use model_store::ModelRef;

use crate::api::Api;
use crate::args::ReloadArgs;
use crate::clock;
use crate::connection::Host;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress;
use crate::text;

/// How often it is asked how far a reload is.
const POLL: Duration = Duration::from_secs(1);

/// Reloads the pool.
///
/// # Errors
/// The reload was taken back or not begun; the daemon refuses or cannot be asked; a signal.
pub async fn reload(cx: &mut Context, args: &ReloadArgs) -> Result<Exit, Stop> {
    let folder = std::env::current_dir().unwrap_or_default();
    let model = as_the_daemon_takes_it(&args.model, cx.api.host(), &folder);
    let request = ReloadRequest { new_model_ref: model, sha256: args.sha256.clone() };
    let start = clock::now();
    match wait(cx, &args.pool, &request).await? {
        Ok(reloaded) => {
            let took = text::span(clock::now().saturating_duration_since(start));
            cx.ui.note(&format!("reloaded in {took}"));
            if args.json {
                cx.ui.print(&serde_json::to_string(&reloaded).expect("it came as JSON"))?;
            } else {
                cx.ui.print(&format!("{} serves {}", args.pool, reloaded.model_ref))?;
            }
            Ok(Exit::Done)
        }
        Err(back) => {
            let failure = failure(&args.pool, &back);
            if args.json {
                cx.ui.print(&serde_json::to_string(&back).expect("it came as JSON"))?;
                cx.ui.failure_in_words(&failure);
                return Ok(failure.exit);
            }
            Err(failure.into())
        }
    }
}

/// Waits for the answer, and says meanwhile how far it is, where somebody reads that.
async fn wait(
    cx: &mut Context,
    pool: &str,
    request: &ReloadRequest,
) -> Result<Result<Reloaded, RolledBack>, Stop> {
    let Context { api, ui, interrupts } = cx;
    ui.live(&format!("{pool}: reloading (Ctrl-C leaves it to the daemon)"));
    let looks = looks(api);
    tokio::pin!(looks);
    let answer = api.reload(pool, request);
    tokio::pin!(answer);
    let mut shown = String::new();
    loop {
        tokio::select! {
            biased;
            exit = interrupts.next() => {
                ui.say("the daemon goes on with the reload; `llama-orch status` shows what comes of it");
                return Err(Stop::Signal(exit));
            }
            answer = &mut answer => return Ok(answer.map_err(|error| api.failure(error))?),
            Some(look) = futures_util::StreamExt::next(&mut looks), if ui.has_notes() => {
                let Some(line) = look.and_then(|health| describe(&health, pool)) else { continue };
                if line != shown {
                    ui.live(&line);
                    shown = line;
                }
            }
        }
    }
}

/// What the daemon says of itself, again and again; nothing where it says nothing.
fn looks(api: &Api) -> impl Stream<Item = Option<Health>> + use<'_> {
    stream::unfold((), move |()| async move {
        tokio::time::sleep(POLL).await;
        Some((api.health().await.ok(), ()))
    })
}

fn describe(health: &Health, pool: &str) -> Option<String> {
    let pool = health.pools.iter().flatten().find(|one| one.id == pool)?;
    Some(format!("{}: {}", pool.id, progress::of_reload(pool)?))
}

/// The path of a file from this folder, where the daemon is on this machine too: it starts from its own.
pub fn as_the_daemon_takes_it(model: &str, host: Host, folder: &Path) -> String {
    match ModelRef::parse(model) {
        Ok(ModelRef::File(path)) if host == Host::This => {
            let path: PathBuf = if path.starts_with("~") { path } else { folder.join(path) };
            ModelRef::File(path).to_string()
        }
        _ => model.to_owned(),
    }
}

fn failure(pool: &str, back: &RolledBack) -> Failure {
    let (exit, message) = match back.status {
        RollbackStatus::Rollback => {
            let still = "it serves what it served before";
            (Exit::RolledBack, format!("`{pool}` was not reloaded, {still}: {}", back.message))
        }
        RollbackStatus::Refused => (Exit::Refused, back.message.clone()),
    };
    let failure = Failure { code: Some(back.code.to_string()), ..Failure::of_text(exit, &message) };
    // What the daemon advises in this very case comes before what helps in general.
    if failure.hint.is_some() {
        return failure;
    }
    match back.code {
        RollbackCode::ModelUnavailable => {
            failure.hint("`llama-orch models pull` fetches it beforehand and says what is in the way")
        }
        RollbackCode::DoesNotFit => failure.hint(format!(
            "`llama-orch explain {pool}` shows what is free where; a smaller quantisation or a smaller `ctx` needs less"
        )),
        RollbackCode::SelfTestFailed | RollbackCode::EngineFailed => failure.hint("the daemon's log says more"),
        RollbackCode::ReloadInProgress => failure.hint("`llama-orch status` shows how far it is"),
        RollbackCode::ModelRetired => failure.hint(format!("`llama-orch activate {pool}` puts it back into service")),
        RollbackCode::ModelInvalid | RollbackCode::Stopping => failure,
    }
}

#[cfg(test)]
mod tests;
