//! `llama-orch`, the command line of the token server: asks, talks, shows, cancels.
//!
//! ```text
//! args ─► connection ─► api ─► run, chat ─► answer ─► submit ─► follow
//!                          ├─► status, health, cancel, explain
//!                          └─► models, reload, state
//! ```
//! Everything that is read goes through `ui`; everything that goes wrong is a `failure` with an `exit` code.

mod answer;
mod api;
mod args;
mod cancel;
mod chat;
mod clock;
mod config_file;
mod connection;
mod context;
mod exit;
mod explain;
mod failure;
mod follow;
mod health;
mod input;
mod interrupt;
mod models;
mod place;
mod pools;
mod progress;
mod reload;
mod run;
mod state;
mod status;
mod submit;
mod table;
mod text;
mod ui;

use api_types::ModelState;
use clap::{CommandFactory, Parser};

use crate::api::Api;
use crate::args::{Cli, Command};
use crate::connection::Connection;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::ui::Ui;

fn main() {
    let cli = Cli::parse();
    let exit = work(cli);
    // Not a return: a thread that reads standard input would hold the program until the next line.
    std::process::exit(exit.code().into());
}

fn work(cli: Cli) -> Exit {
    let mut ui = Ui::new(&cli.global);
    if let Command::Completions { shell } = cli.command {
        return match completions(&mut ui, shell) {
            Ok(()) => Exit::Done,
            Err(stop) => end(&mut ui, stop),
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return end(&mut ui, system(&error)),
    };
    runtime.block_on(async {
        let found = Connection::find(&cli.global).and_then(Api::new);
        let (api, interrupts) = match (found, Interrupts::listen()) {
            (Ok(api), Ok(interrupts)) => (api, interrupts),
            (Err(failure), _) => return end(&mut ui, failure.into()),
            (_, Err(error)) => return end(&mut ui, system(&error)),
        };
        let mut cx = Context { api, ui, interrupts };
        match command(&mut cx, cli.command).await {
            Ok(exit) => exit,
            Err(stop) => end(&mut cx.ui, stop),
        }
    })
}

async fn command(cx: &mut Context, command: Command) -> Result<Exit, Stop> {
    match command {
        Command::Run(args) => run::run(cx, args).await,
        Command::Chat(args) => chat::chat(cx, args).await,
        Command::Status(args) => status::status(cx, &args).await,
        Command::Models(args) => models::models(cx, args).await,
        Command::Reload(args) => reload::reload(cx, &args).await,
        Command::Retire(args) => state::set(cx, &args, ModelState::Retired).await,
        Command::Activate(args) => state::set(cx, &args, ModelState::Active).await,
        Command::Explain(args) => explain::explain(cx, &args).await,
        Command::Cancel(args) => cancel::cancel(cx, &args).await,
        Command::Health(args) => health::health(cx, &args).await,
        Command::Completions { shell } => completions(&mut cx.ui, shell).map(|()| Exit::Done),
    }
}

fn completions(ui: &mut Ui, shell: clap_complete::Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "llama-orch", &mut script);
    Ok(ui.print(&String::from_utf8_lossy(&script))?)
}

/// Says why there was no success, where anybody can hear it.
fn end(ui: &mut Ui, stop: Stop) -> Exit {
    ui.clear_live();
    match stop {
        Stop::Failure(failure) => {
            ui.failure(&failure);
            failure.exit
        }
        Stop::Signal(exit) => exit,
        Stop::OutputClosed => Exit::Done,
    }
}

fn system(error: &std::io::Error) -> Stop {
    Failure::new(Exit::Failed, format!("the system refuses what the program needs to start: {error}")).into()
}
