//! What the command line says of itself to other programs: completion scripts and manual pages.
//!
//! Rules: ORCH-CLI-9

use std::io;

use clap::CommandFactory;

use crate::args::{Cli, ManArgs};
use crate::context::Stop;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Prints the completion script for `shell`.
///
/// # Errors
/// Nobody reads.
pub fn completions(ui: &mut Ui, shell: clap_complete::Shell) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "llama-orch", &mut script);
    ui.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints the manual page, or writes all of them.
///
/// # Errors
/// The folder cannot be written to, or nobody reads.
pub fn man(ui: &mut Ui, args: &ManArgs) -> Result<Exit, Stop> {
    // `llama-orch help COMMAND` says what the page of the command says.
    let command = Cli::command().disable_help_subcommand(true);
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).expect("memory can be written to");
        ui.print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(command, dir)
    };
    write().map_err(|error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be written to: {error}", dir.display()))
    })?;
    ui.note(&format!("the pages are in {}", dir.display()));
    Ok(Exit::Done)
}

/// Where the daemon is, for whoever looks for it here.
pub fn how_to_serve() -> Failure {
    Failure::new(Exit::Usage, "the daemon is a program of its own: `orchestratord`").hint(
        "`orchestratord` serves until Ctrl-C, `orchestratord &` in the background, and with the systemd unit \
         `systemctl --user enable --now llama-orch`\n`llama-orch health --wait` waits until it can serve",
    )
}
