//! `models remove`: a file's disk space back, unless somebody needs it.
//!
//! Rules: ORCH-STORE-5, ORCH-CLI-6

use std::path::{Path, PathBuf};

use model_store::{ModelRef, RemoveError};
use serde_json::json;

use super::{Daemon, Shelf};
use crate::args::RemoveArgs;
use crate::connection::Host;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;

/// Removes it.
///
/// # Errors
/// Somebody serves it or may do so, it is not in the models folder, or the system refuses.
pub async fn remove(cx: &mut Context, args: &RemoveArgs) -> Result<Exit, Stop> {
    let shelf = Shelf::find()?;
    let path = file(&shelf, &args.model)?;
    // A daemon elsewhere serves files of its own.
    if !args.force && cx.api.host() == Host::This {
        let daemon = Daemon::ask(cx).await?;
        guard(&shelf, &daemon, &path)?;
    }
    let freed = shelf.store.remove(&path).map_err(|error| refused(&shelf, &args.model, &path, error))?;
    if args.json {
        cx.ui.print(&json!({ "path": path, "freed_bytes": freed }).to_string())?;
    } else {
        cx.ui.print(&format!("removed {}: {} free again", path.display(), text::bytes(freed)))?;
    }
    for pool in shelf.config.pools.iter().filter(|pool| pool.model.to_string() == args.model) {
        cx.ui.note(&format!(
            "the configuration names it for pool `{}`: the daemon fetches it at its next start",
            pool.id
        ));
    }
    Ok(Exit::Done)
}

/// The file in the folder that somebody means.
fn file(shelf: &Shelf, name: &str) -> Result<PathBuf, Failure> {
    let below = shelf.store.dir().join(name);
    match shelf.reference(name) {
        // As `models` lists a file that nothing fetches: from the folder.
        Ok(ModelRef::File(path)) if path.is_relative() && !path.starts_with("~") && is_there(&below) => {
            Ok(below)
        }
        Ok(model @ ModelRef::File(_)) => {
            Ok(std::env::current_dir().unwrap_or_default().join(shelf.store.place(&model)))
        }
        Ok(model) => {
            let found = shelf.store.locate(&model).filter(|path| path.starts_with(shelf.store.dir()));
            Ok(found.unwrap_or_else(|| shelf.store.place(&model)))
        }
        Err(_) if is_there(&below) => Ok(below),
        Err(failure) => Err(failure),
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|state| !state.is_dir())
}

/// Refuses what a running daemon would miss.
fn guard(shelf: &Shelf, daemon: &Daemon, path: &Path) -> Result<(), Failure> {
    let force = "`--force` removes it all the same";
    let health = match daemon {
        Daemon::Asked(health) => health,
        Daemon::Silent(why) if why.exit == Exit::Unreachable => return Ok(()),
        Daemon::Silent(why) => {
            let message =
                format!("nobody can say whether the daemon serves `{}`: {}", path.display(), why.message);
            return Err(Failure::new(why.exit, message).hint(force));
        }
    };
    let users = shelf.users(health, path);
    let Some(first) = users.first() else { return Ok(()) };
    let names: Vec<String> = users.iter().map(|pool| format!("`{}`", pool.id)).collect();
    let who = if let [one] = names.as_slice() {
        format!("pool {one} serves")
    } else {
        format!("pools {} serve", names.join(", "))
    };
    let message = format!("{who} `{}`", path.display());
    let hint = format!("`llama-orch reload {} MODEL` gives the pool another model first; {force}", first.id);
    Err(Failure::new(Exit::Refused, message).hint(hint))
}

fn refused(shelf: &Shelf, name: &str, path: &Path, error: RemoveError) -> Failure {
    let message = error.to_string();
    let elsewhere = shelf.reference(name).ok().and_then(|model| shelf.store.locate(&model));
    match (error, elsewhere) {
        // In the cache that other programs share.
        (RemoveError::Missing(_), Some(found)) if found != path => {
            let message = format!("`{name}` is not in the models folder but at `{}`", found.display());
            Failure::new(Exit::Refused, message)
                .hint("other programs use that cache too: remove it there, as with `hf cache delete`")
        }
        (RemoveError::Missing(_), _) => {
            Failure::new(Exit::Refused, message).hint("`llama-orch models` lists what is there")
        }
        (RemoveError::Outside { .. }, _) => {
            Failure::new(Exit::Refused, message).hint("only files in the models folder are removed")
        }
        (RemoveError::BeingFetched(_), _) => {
            Failure::new(Exit::Busy, message).hint("end the fetch first, or wait for it")
        }
        (RemoveError::Write { .. }, _) => Failure::new(Exit::Failed, message),
    }
}
