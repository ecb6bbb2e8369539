//! `models show`: one model, its file and the pools that serve it.

use std::path::PathBuf;

use api_types::{Health, Pool};
use model_store::ModelRef;
use serde_json::json;

use super::{Daemon, Shelf};
use crate::args::ShowArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::status;
use crate::text;

/// A model that was found.
struct Found<'a> {
    model: String,
    /// Its file on this machine.
    path: Option<PathBuf>,
    pools: Vec<&'a Pool>,
}

/// Shows it.
///
/// # Errors
/// It is nowhere, the configuration is wrong, or a signal came.
pub async fn show(cx: &mut Context, args: &ShowArgs) -> Result<Exit, Stop> {
    let shelf = Shelf::find()?;
    let daemon = Daemon::ask(cx).await?;
    let found = find(&shelf, daemon.health(), &args.model)?;
    let bytes = found.path.as_ref().map(|path| model_store::bytes_of(path));
    if args.json {
        let whole =
            json!({ "model_ref": found.model, "path": found.path, "bytes": bytes, "pools": found.pools });
        cx.ui.print(&whole.to_string())?;
        return Ok(Exit::Done);
    }
    let mut page = format!("{}\n", found.model);
    if let (Some(path), Some(bytes)) = (&found.path, bytes) {
        page.push_str(&format!("  file: {}, {}\n", path.display(), text::bytes(bytes)));
    }
    for pool in &found.pools {
        page.push_str(&render_pool(daemon.health(), pool));
    }
    if let Daemon::Silent(why) = &daemon {
        page.push_str(&format!("  pools: not known: {}\n", why.message));
    }
    cx.ui.print(&page)?;
    Ok(Exit::Done)
}

fn find<'a>(shelf: &Shelf, health: Option<&'a Health>, name: &str) -> Result<Found<'a>, Failure> {
    let pool = health.and_then(|health| pools::find(health, name).ok());
    let model = match pool {
        // What another program serves has a name, and no file here.
        Some(pool) => match ModelRef::parse(&pool.model_ref) {
            Ok(model) => model,
            Err(_) => return Ok(Found { model: pool.model_ref.clone(), path: None, pools: vec![pool] }),
        },
        None => shelf.reference(name)?,
    };
    let path = shelf.store.locate(&model);
    let mut users = match (&path, health) {
        (Some(path), Some(health)) => shelf.users(health, path),
        _ => Vec::new(),
    };
    if let Some(pool) = pool.filter(|pool| !users.iter().any(|user| user.id == pool.id)) {
        users.insert(0, pool);
    }
    if path.is_none() && users.is_empty() {
        let message = format!("`{model}` is not on this machine");
        let hint =
            format!("`llama-orch models pull {model}` fetches it; `llama-orch models` lists what is there");
        return Err(Failure::new(Exit::Refused, message).hint(hint));
    }
    Ok(Found { model: model.to_string(), path, pools: users })
}

fn render_pool(health: Option<&Health>, pool: &Pool) -> String {
    let mut line = format!("  pool {}: {}", pool.id, pool.state);
    for holding in health.into_iter().flat_map(|health| pools::holdings(health, pool)) {
        if let Some(held) = pools::held(holding) {
            line.push_str(&format!(", {held} on {}", holding.device));
        }
    }
    line.push('\n');
    if let Some(model) = &pool.model {
        line.push_str(&format!("    {}\n", status::describe_model(model)));
    }
    line
}
