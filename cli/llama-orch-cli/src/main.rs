//! `llama-orch`, the command line of the token server: asks, talks, shows, cancels.
//!
//! ```text
//! args ─► connection ─► api ─► run, chat ─► answer ─► submit ─► follow
//!    │                     ├─► status, health, cancel, explain
//!    │                     └─► models, reload, state
//!    └─► papers                        what needs no daemon
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
mod papers;
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
use clap::Parser;

use crate::api::Api;
use crate::args::{Alone, Asking, Cli, Command, Global};
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
    match cli.command {
        Command::Asking(command) => with_daemon(ui, &cli.global, command),
        Command::Alone(command) => match alone(&mut ui, command) {
            Ok(exit) => exit,
            Err(stop) => end(&mut ui, stop),
        },
    }
}

fn alone(ui: &mut Ui, command: Alone) -> Result<Exit, Stop> {
    match command {
        Alone::Completions { shell } => papers::completions(ui, shell),
        Alone::Man(args) => papers::man(ui, &args),
    }
}

fn with_daemon(mut ui: Ui, global: &Global, command: Asking) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return end(&mut ui, system(&error)),
    };
    runtime.block_on(async {
        let found = Connection::find(global).and_then(Api::new);
        let (api, interrupts) = match (found, Interrupts::listen()) {
            (Ok(api), Ok(interrupts)) => (api, interrupts),
            (Err(failure), _) => return end(&mut ui, failure.into()),
            (_, Err(error)) => return end(&mut ui, system(&error)),
        };
        let mut cx = Context { api, ui, interrupts };
        match ask(&mut cx, command).await {
            Ok(exit) => exit,
            Err(stop) => end(&mut cx.ui, stop),
        }
    })
}

async fn ask(cx: &mut Context, command: Asking) -> Result<Exit, Stop> {
    match command {
        Asking::Run(args) => run::run(cx, args).await,
        Asking::Chat(args) => chat::chat(cx, args).await,
        Asking::Status(args) => status::status(cx, &args).await,
        Asking::Models(args) => models::models(cx, args).await,
        Asking::Reload(args) => reload::reload(cx, &args).await,
        Asking::Retire(args) => state::set(cx, &args, ModelState::Retired).await,
        Asking::Activate(args) => state::set(cx, &args, ModelState::Active).await,
        Asking::Explain(args) => explain::explain(cx, &args).await,
        Asking::Cancel(args) => cancel::cancel(cx, &args).await,
        Asking::Health(args) => health::health(cx, &args).await,
    }
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
