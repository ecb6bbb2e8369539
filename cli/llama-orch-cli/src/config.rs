//! `config init`: a commented configuration where the daemon looks for one.
//!
//! Rules: ORCH-CLI-11

use serde_json::json;

use crate::args::{ConfigArgs, ConfigCommand, InitArgs};
use crate::context::Stop;
use crate::draft::{self, Draft};
use crate::exit::Exit;
use crate::ui::Ui;

/// Every option that somebody begins with, commented out.
const TEMPLATE: &str = include_str!("config/template.yaml");

/// Does what is asked about the configuration.
///
/// # Errors
/// What each command says of itself.
pub fn config(ui: &mut Ui, args: &ConfigArgs) -> Result<Exit, Stop> {
    match &args.command {
        ConfigCommand::Init(args) => init(ui, args),
    }
}

/// Writes the template, or prints it.
///
/// # Errors
/// There is a configuration already, or it cannot be written.
fn init(ui: &mut Ui, args: &InitArgs) -> Result<Exit, Stop> {
    if args.print {
        let page = if args.json { json!({ "text": TEMPLATE }).to_string() } else { TEMPLATE.to_owned() };
        ui.print(&page)?;
        return Ok(Exit::Done);
    }
    let written = Draft { text: TEMPLATE, force: args.force }.write(draft::place()?)?;
    if args.json {
        ui.print(&written.to_json().to_string())?;
    } else {
        written.say(ui)?;
        ui.note("say in it what to serve, then start `orchestratord`; `llama-orch doctor` checks it all");
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
