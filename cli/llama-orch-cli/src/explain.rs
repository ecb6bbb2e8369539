//! `explain`: why a model is where it is, why it does not fit, and whether one that nobody serves would.
//!
//! Rules: ORCH-CLI-7

use api_types::{Health, ModelFit, Placement, Pool, PoolState, ReplicaState};
use model_store::ModelRef;

use crate::args::ExplainArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::progress;
use crate::reload;
use crate::table::{Palette, Tint};
use crate::text;

/// Explains one model.
///
/// # Errors
/// There is no such model, or the daemon cannot be asked.
pub async fn explain(cx: &mut Context, args: &ExplainArgs) -> Result<Exit, Stop> {
    let health = pools::ask(cx).await?;
    let pool = match pools::find(&health, &args.model) {
        Ok(pool) => pool,
        Err(unknown) => return explain_unserved(cx, &health, args, unknown).await,
    };
    if args.json {
        let ledger: Vec<_> = pools::holdings(&health, pool).collect();
        let whole = serde_json::json!({ "pool": pool, "ledger": ledger, "devices": health.devices });
        cx.ui.print(&whole.to_string())?;
    } else {
        let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
        cx.ui.print(&render(&health, pool, palette))?;
    }
    Ok(Exit::Done)
}

/// Says whether a model that no pool serves would fit.
async fn explain_unserved(
    cx: &mut Context,
    health: &Health,
    args: &ExplainArgs,
    unknown: Failure,
) -> Result<Exit, Stop> {
    if ModelRef::parse(&args.model).is_err() {
        return Err(unknown.into());
    }
    let folder = std::env::current_dir().unwrap_or_default();
    let model = reload::as_the_daemon_takes_it(&args.model, cx.api.host(), &folder);
    let asked = tokio::select! {
        biased;
        exit = cx.interrupts.next() => return Err(Stop::Signal(exit)),
        asked = cx.api.fit(model, None) => asked,
    };
    let fit = asked.map_err(|error| cx.api.failure(error))?;
    if args.json {
        cx.ui.print(&serde_json::json!({ "fit": fit, "devices": health.devices }).to_string())?;
    } else {
        let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
        cx.ui.print(&render_fit(&fit, health, palette))?;
    }
    Ok(Exit::Done)
}

fn render_fit(fit: &ModelFit, health: &Health, palette: Palette) -> String {
    let model = &fit.model_ref;
    let device = fit.placement.iter().find(|one| one.fits).map(|one| one.device.as_str());
    let verdict = match device {
        Some(device) => format!("it would go to {device}: `llama-orch reload POOL {model}` serves it"),
        None if fit.never => "it fits no device of this machine, whatever else is unloaded".to_owned(),
        None => "it does not fit beside what is loaded now, and would once that makes room".to_owned(),
    };
    let mut page =
        format!("no pool serves {model}\n{verdict}\n\nwhere it could go, with the defaults of a pool:\n");
    for one in &fit.placement {
        page.push_str(&render_placement(one, health, palette));
    }
    page
}

fn render(health: &Health, pool: &Pool, palette: Palette) -> String {
    let mut page = format!("pool {} serves {}\n", pool.id, pool.model_ref);
    page.push_str(&format!("{}\n", sentence(pool)));
    if let Some(reload) = progress::of_reload(pool) {
        page.push_str(&format!("it is {reload}\n"));
    }
    let placement = pool.placement.as_deref().unwrap_or_default();
    if !placement.is_empty() {
        page.push_str("\nwhere it could go, as reckoned before its last load:\n");
        for one in placement {
            page.push_str(&render_placement(one, health, palette));
        }
    }
    let mut held = pools::holdings(health, pool).peekable();
    if held.peek().is_some() {
        page.push_str("\nwhat it holds:\n");
        for one in held {
            let expected = match (one.expected_bytes, one.measured_bytes) {
                (Some(expected), Some(_)) => format!(", reckoned with {}", text::bytes(expected)),
                _ => String::new(),
            };
            page.push_str(&format!(
                "  {} on {}: {}{expected}\n",
                one.replica,
                one.device,
                pools::held(one).unwrap_or_else(|| "not measured".to_owned())
            ));
        }
    }
    page
}

/// Why it is in the state it is in.
fn sentence(pool: &Pool) -> String {
    let id = &pool.id;
    let ready = pool.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready);
    match pool.state {
        PoolState::Ready => format!("it is ready, {} of it", text::count(ready.count() as u64, "replica")),
        PoolState::Starting => format!("it is loading{}", progress::detail(pool)),
        PoolState::Unloaded => "it is not loaded: the first task that needs it loads it".to_owned(),
        PoolState::Retired => format!("it is retired: `llama-orch activate {id}` puts it back into service"),
        PoolState::Unavailable => format!("it cannot serve{}", progress::detail(pool)),
    }
}

fn render_placement(placement: &Placement, health: &Health, palette: Palette) -> String {
    let (tint, word) = if placement.fits { (Tint::Good, "fits") } else { (Tint::Bad, "does not fit") };
    let name = health.devices.iter().flatten().find(|device| device.id == placement.device);
    let name = name.map(|device| format!(" ({})", device.name)).unwrap_or_default();
    let word = palette.paint(Some(tint), word);
    let why = text::for_terminal(&placement.why).replace('\n', "\n    ");
    format!("  {}{name}: {word}\n    {why}\n", placement.device)
}

#[cfg(test)]
mod tests;
