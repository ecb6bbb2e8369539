//! `import`: what another server of this machine serves, as a configuration of ours. Model files are used where
//! they are; what cannot be carried over is named.
//!
//! ```text
//! Ollama's manifests and blobs ─► ollama ─────┐
//! llama-swap's config.yaml ─► llama_swap ─────┴─► Carried ─► yaml ─► draft
//!                              └─► words, llama_server
//! ```
//!
//! Rules: ORCH-CLI-14

mod carried;
mod llama_server;
mod llama_swap;
mod ollama;
mod words;

use std::path::Path;

use serde_json::json;

use self::carried::Carried;
use self::llama_swap::BuiltIn;
use crate::args::{ImportArgs, ImportFrom};
use crate::context::Stop;
use crate::draft::{self, Draft};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::text;
use crate::ui::Ui;

/// Reads the other's setup and writes ours, or prints it.
///
/// # Errors
/// There is nothing to import, there is a configuration already, or it cannot be written.
pub fn import(ui: &mut Ui, args: &ImportArgs) -> Result<Exit, Stop> {
    if args.built_in && args.from != ImportFrom::LlamaSwap {
        let failure = Failure::new(
            Exit::Usage,
            format!(
                "`--built-in` is for llama-swap: models of `{}` are served by the built-in engine",
                args.from
            ),
        );
        return Err(failure.hint("leave it out").into());
    }
    let (from, carried) = match args.from {
        ImportFrom::Ollama => ollama::read(args.path.as_deref())?,
        ImportFrom::LlamaSwap => {
            let built_in = if args.built_in { BuiltIn::WherePossible } else { BuiltIn::Plain };
            llama_swap::read(args.path.as_deref(), built_in)?
        }
    };
    if carried.pools.is_empty() {
        let mut failure =
            Failure::new(Exit::Refused, format!("there is no model to carry over in `{}`", from.display()));
        let why: Vec<String> = carried.left_out.iter().map(ToString::to_string).collect();
        if !why.is_empty() {
            failure = failure.hint(why.join("\n"));
        }
        return Err(failure.into());
    }
    let text = carried.to_yaml(&format!("`llama-orch import {}` from {}", args.from, from.display()));
    if args.print {
        let page = if args.json { carried_json(&carried, json!({ "text": text })).to_string() } else { text };
        ui.print(&page)?;
        return Ok(Exit::Done);
    }
    let written = Draft { text: &text, force: args.force }.write(draft::place()?)?;
    if args.json {
        ui.print(&carried_json(&carried, written.to_json()).to_string())?;
        return Ok(Exit::Done);
    }
    written.say(ui)?;
    say(ui, &carried, &from);
    Ok(Exit::Done)
}

fn carried_json(carried: &Carried, mut page: serde_json::Value) -> serde_json::Value {
    page["pools"] = carried.pools.iter().map(|one| one.pool.id.as_str()).collect();
    page["left_out"] = json!(carried.left_out);
    page
}

fn say(ui: &mut Ui, carried: &Carried, from: &Path) {
    let models = text::count(carried.pools.len() as u64, "model");
    ui.say(&format!("{models} of {} carried over, their files used where they are", from.display()));
    if !carried.left_out.is_empty() {
        ui.say("not carried over:");
        for one in &carried.left_out {
            ui.say(&format!("  {one}"));
        }
    }
    ui.say(
        "stop the other server before you start `orchestratord`: both would load models into the same memory",
    );
}
