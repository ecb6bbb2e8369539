//! `models list`: what is served, and which files there are.

use std::collections::BTreeMap;

use api_types::Health;
use model_store::gguf::{self, Header};
use model_store::{Extent, KeptFile, ModelRef};
use serde_json::json;

use super::{Daemon, Shelf};
use crate::args::ListArgs;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::pools;
use crate::status;
use crate::table::{Cell, Palette, Table, Tint};
use crate::text;

/// Lists them.
///
/// # Errors
/// The configuration is wrong, the models folder cannot be read, or a signal came.
pub async fn list(cx: &mut Context, args: &ListArgs) -> Result<Exit, Stop> {
    let shelf = Shelf::find()?;
    let files = shelf.store.files().map_err(|error| {
        let dir = shelf.store.dir().display();
        Failure::new(Exit::Failed, format!("the models folder `{dir}` cannot be read: {error}"))
    })?;
    let daemon = Daemon::ask(cx).await?;
    if args.json {
        cx.ui.print(&to_json(&shelf, &files, daemon.health()))?;
        return Ok(Exit::Done);
    }
    let palette = if cx.ui.output_has_colour() { Palette::Colour } else { Palette::Plain };
    match &daemon {
        Daemon::Asked(health) => cx.ui.print(&render_pools(health, palette))?,
        Daemon::Silent(why) => cx.ui.print(&format!("no pools: {}\n", why.message))?,
    }
    cx.ui.print("\n")?;
    cx.ui.print(&render_files(&shelf, &files, daemon.health(), palette))?;
    Ok(Exit::Done)
}

fn to_json(shelf: &Shelf, files: &[KeptFile], health: Option<&Health>) -> String {
    let pools = health.map(|health| {
        let pools = health.pools.iter().flatten().map(|pool| {
            let held: Vec<_> = pools::holdings(health, pool).collect();
            json!({
                "id": pool.id, "model_ref": pool.model_ref, "engine": pool.engine, "state": pool.state,
                "model_state": pool.model_state, "holds": held,
            })
        });
        pools.collect::<Vec<_>>()
    });
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            let users = users(shelf, health, file);
            let total = match file.extent {
                Extent::Whole => Some(file.bytes),
                Extent::Part { total } => total,
            };
            let header = header_of(file);
            json!({
                "quant": header.quant, "context": header.context, "architecture": header.architecture,
                "fits": shelf.store.fits(file.bytes), "sha256": shelf.store.known_sum(&file.path),
                "model_ref": file.model, "path": file.path, "bytes": file.bytes, "total_bytes": total,
                "files": file.files, "complete": file.extent == Extent::Whole, "pools": users,
            })
        })
        .collect();
    json!({ "models_dir": shelf.store.dir(), "pools": pools, "files": files }).to_string()
}

fn render_pools(health: &Health, palette: Palette) -> String {
    let mut table = Table::new(["POOL", "STATE", "MODEL", "HOLDS"]);
    for pool in health.pools.iter().flatten() {
        let held: Vec<String> = pools::holdings(health, pool)
            .filter_map(|holding| Some(format!("{} on {}", pools::held(holding)?, holding.device)))
            .collect();
        table.row([
            pool.id.as_str().into(),
            Cell::from(pool.state.to_string()).tinted(status::tint_of_pool(pool.state)),
            pool.model_ref.as_str().into(),
            held.join(", ").into(),
        ]);
    }
    table.render(palette, "")
}

fn render_files(shelf: &Shelf, files: &[KeptFile], health: Option<&Health>, palette: Palette) -> String {
    let dir = shelf.store.dir();
    if files.is_empty() {
        return format!("no files in {}: `llama-orch models pull` fetches one\n", dir.display());
    }
    let mut table = Table::new(["FILE", "SIZE", "QUANT", "CONTEXT", "FITS", "SERVED BY"]);
    for file in files {
        let size = match file.extent {
            Extent::Whole => Cell::from(text::bytes(file.bytes)),
            Extent::Part { total } => Cell::from(part(file.bytes, total)).tinted(Tint::Wait),
        };
        let name = match &file.model {
            ModelRef::File(path) => path.strip_prefix(dir).unwrap_or(path).display().to_string(),
            model => model.to_string(),
        };
        let name = if file.files > 1 { format!("{name} ({} files)", file.files) } else { name };
        let header = header_of(file);
        let fits = match shelf.store.fits(file.bytes) {
            Some(true) => Cell::from("yes"),
            Some(false) => Cell::from("no").tinted(Tint::Wait),
            None => Cell::from(""),
        };
        let context = header.context.map(|tokens| tokens.to_string()).unwrap_or_default();
        let quant = header.quant.unwrap_or_default();
        table.row([
            name.into(),
            size,
            quant.into(),
            context.into(),
            fits,
            users(shelf, health, file).join(", ").into(),
        ]);
    }
    let bytes = files.iter().map(|file| file.bytes).sum();
    let count = text::count(files.iter().map(|file| u64::from(file.files)).sum(), "file");
    let same = duplicates(shelf, files);
    format!("{}{count}, {}, in {}\n{same}", table.render(palette, ""), text::bytes(bytes), dir.display())
}

/// What the header of a whole file says; nothing where it says nothing.
fn header_of(file: &KeptFile) -> Header {
    let is_whole = file.extent == Extent::Whole;
    is_whole.then(|| gguf::read(&file.path).ok()).flatten().unwrap_or_default()
}

/// Files of one content, a line for each; as far as their checksums are known.
fn duplicates(shelf: &Shelf, files: &[KeptFile]) -> String {
    let mut by_sum: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extent == Extent::Whole) {
        if let Some(sum) = shelf.store.known_sum(&file.path) {
            by_sum.entry(sum).or_default().push(file.model.to_string());
        }
    }
    let lines = by_sum.into_values().filter(|same| same.len() > 1);
    lines.map(|same| format!("the same file: {}\n", same.join(", "))).collect()
}

fn part(bytes: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{} of {}: `pull` goes on", text::bytes(bytes), text::bytes(total)),
        None => format!("{} so far: `pull` goes on", text::bytes(bytes)),
    }
}

fn users(shelf: &Shelf, health: Option<&Health>, file: &KeptFile) -> Vec<String> {
    let users = health.map(|health| shelf.users(health, &file.path)).unwrap_or_default();
    users.iter().map(|pool| pool.id.clone()).collect()
}
