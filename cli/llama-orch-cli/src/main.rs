//! `llama-orch`, the command line of the token server: asks, talks, shows, cancels.
//!
//! ```text
//! args ─► connection ─► api ─► run, chat ─► answer ─► submit ─► follow
//!    │                     ├─► status, health, cancel, explain
//!    │                     ├─► top, bench, launch
//!    │                     └─► models, reload, state
//!    ├─► doctor                        what may find it or not
//!    ├─► logs                          where it logs to, or the daemon itself
//!    └─► config, import, papers        what needs no daemon
//! ```
//! Everything that is read goes through `ui`; everything that goes wrong is a `failure` with an `exit` code.

mod answer;
mod api;
mod args;
mod bench;
mod cancel;
mod chat;
mod clock;
mod config;
mod config_file;
mod connection;
mod context;
mod doctor;
mod draft;
mod exit;
mod explain;
mod failure;
mod follow;
mod health;
mod import;
mod input;
mod interrupt;
mod launch;
mod logs;
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
mod top;
mod ui;

use api_types::ModelState;
use clap::Parser;

use crate::api::Api;
use crate::args::{Alone, Asking, Cli, Command, Global, LogsArgs};
use crate::connection::Connection;
use crate::context::{Context, Stop};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::ui::{ErrorForm, Ui};

fn main() {
    let exit = match Cli::try_parse() {
        Ok(cli) => work(cli),
        Err(error) => unparsed(&error),
    };
    // Not a return: a thread that reads standard input would hold the program until the next line.
    std::process::exit(exit.code().into());
}

/// Says why the arguments are no command line, or what was asked of the help.
fn unparsed(error: &clap::Error) -> Exit {
    if error.exit_code() == 0 || !args::asked_for(std::env::args_os()) {
        error.exit();
    }
    let failure = Failure::of_arguments(&error.to_string());
    let mut ui = Ui::new(&Global::default(), ErrorForm::Json);
    end(&mut ui, failure.into())
}

fn work(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let errors = if command.json() { ErrorForm::Json } else { ErrorForm::Text };
    let mut ui = Ui::new(&global, errors);
    let ended = match command {
        Command::Asking(command) => {
            return on_runtime(ui, async |ui, interrupts| {
                let api = match Connection::find(&global).and_then(Api::new) {
                    Ok(api) => api,
                    Err(failure) => return end(&mut { ui }, failure.into()),
                };
                let mut cx = Context { api, ui, interrupts };
                let ended = ask(&mut cx, command).await;
                ended.unwrap_or_else(|stop| end(&mut cx.ui, stop))
            });
        }
        Command::Doctor(args) => {
            return on_runtime(ui, async |mut ui, interrupts| {
                let ended = doctor::doctor(&mut ui, interrupts, &global, &args).await;
                ended.unwrap_or_else(|stop| end(&mut ui, stop))
            });
        }
        Command::Logs(args) => match logs::local(&mut ui, &global, &args) {
            Ok(None) => {
                return on_runtime(ui, async |ui, interrupts| show_log(ui, interrupts, &global, &args).await);
            }
            Ok(Some(exit)) => return exit,
            Err(stop) => Err(stop),
        },
        Command::Alone(command) => alone(&mut ui, command),
    };
    ended.unwrap_or_else(|stop| end(&mut ui, stop))
}

async fn show_log(ui: Ui, interrupts: Interrupts, global: &Global, args: &LogsArgs) -> Exit {
    match logs::of_daemon(ui, interrupts, global, args).await {
        Ok((_, exit)) => exit,
        Err((mut ui, stop)) => end(&mut ui, stop),
    }
}

fn alone(ui: &mut Ui, command: Alone) -> Result<Exit, Stop> {
    match command {
        Alone::Completions { shell } => papers::completions(ui, shell),
        Alone::Config(args) => config::config(ui, &args),
        Alone::Import(args) => import::import(ui, &args),
        Alone::Man(args) => papers::man(ui, &args),
        Alone::Serve => Err(papers::how_to_serve().into()),
    }
}

/// Runs what waits for others, and hears the signals meanwhile.
fn on_runtime(mut ui: Ui, work: impl AsyncFnOnce(Ui, Interrupts) -> Exit) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return end(&mut ui, system(&error)),
    };
    runtime.block_on(async {
        match Interrupts::listen() {
            Ok(interrupts) => work(ui, interrupts).await,
            Err(error) => end(&mut ui, system(&error)),
        }
    })
}

async fn ask(cx: &mut Context, command: Asking) -> Result<Exit, Stop> {
    match command {
        Asking::Run(args) => run::run(cx, args).await,
        Asking::Chat(args) => chat::chat(cx, args).await,
        Asking::Status(args) => status::status(cx, &args).await,
        Asking::Top(args) => top::top(cx, &args).await,
        Asking::Bench(args) => bench::bench(cx, &args).await,
        Asking::Models(args) => models::models(cx, args).await,
        Asking::Launch(args) => launch::launch(cx, &args).await,
        Asking::Reload(args) => reload::reload(cx, &args).await,
        Asking::Retire(args) => state::set(cx, &args, ModelState::Retired).await,
        Asking::Activate(args) => state::set(cx, &args, ModelState::Active).await,
        Asking::Explain(args) => explain::explain(cx, &args).await,
        Asking::Cancel(args) => cancel::cancel(cx, &args).await,
        Asking::Health(args) => health::health(cx, &args).await,
        Asking::Shortcut(command) => models::command(cx, command.into()).await,
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
