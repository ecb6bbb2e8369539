//! The executable: reads the command line and the configuration, takes its address, and runs the daemon
//! until a signal. The same executable is the worker process of a replica (`orchestratord worker`).
//!
//! Rules: ORCH-SEC-1, ORCH-STOP-4

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use config_schema::{Config, LoadRequest, Loaded, load};
use model_store::{Env, Store};
use orchestratord::auth::{ApiToken, TokenFile};
use orchestratord::daemon::{Daemon, Parts};
use orchestratord::exit::{self, Exit};
use orchestratord::logging::Log;
use orchestratord::{engine, logging, server, service, tasks};

mod args;
mod man;
mod reload;
mod signals;

use args::{Cli, Command, Options};
use reload::Reloader;
use signals::{Request, Signals};

/// Threads that streams, requests and the driver share. What they do between two waits takes microseconds, and
/// with a second thread every token would wake it: that costs more than the token, and takes a core from the
/// engines. What takes longer, and what blocks, is given to threads of its own.
const WORKER_THREADS: usize = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        #[cfg(feature = "llamacpp")]
        Some(Command::Worker) => return worker_llamacpp::run(),
        #[cfg(not(feature = "llamacpp"))]
        Some(Command::Worker) => Err(Exit::because(
            exit::USAGE,
            anyhow::anyhow!("this executable was built without its engine (feature `llamacpp`)"),
        )),
        Some(Command::CheckConfig) => check_config(&cli.options),
        Some(Command::Man) => print_page(),
        None => serve(&cli.options),
    };
    match done {
        Ok(code) => code,
        Err(exit) => {
            // Standard error may be closed: then there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{exit}");
            exit.code()
        }
    }
}

fn print_page() -> Result<ExitCode, Exit> {
    let said = std::io::stdout().write_all(man::page().as_bytes());
    said.map(|()| ExitCode::SUCCESS).map_err(|error| Exit::because(exit::FAILED, error))
}

fn check_config(options: &Options) -> Result<ExitCode, Exit> {
    let loaded = read_config(options)?;
    let source = source(&loaded);
    for warning in &loaded.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let mut out = std::io::stdout();
    let said = if options.print_config {
        write!(out, "{}", loaded.config.to_yaml())
    } else {
        writeln!(out, "ok: {source}")
    };
    said.map(|()| ExitCode::SUCCESS).map_err(|error| Exit::because(exit::FAILED, error))
}

fn serve(options: &Options) -> Result<ExitCode, Exit> {
    if options.print_config {
        return check_config(options);
    }
    let loaded = read_config(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .thread_name("orchestratord")
        .build()
        .map_err(|error| Exit::because(exit::FAILED, error))?;
    let signals = {
        let _entered = runtime.enter();
        Signals::listen().map_err(|error| Exit::because(exit::FAILED, error))?
    };
    let log = logging::start(&loaded.config.log).map_err(|error| Exit::because(exit::ACCESS, error))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let token = token(&loaded.config)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        engine_build = engine::build(),
        config = source(&loaded),
        "starting"
    );
    let code = runtime.block_on(run(options, &loaded.config, token, signals, &log))?;
    // A fetch may still sit in a system call on a blocking thread: the process does not wait for it.
    runtime.shutdown_background();
    Ok(code)
}

async fn run(
    options: &Options,
    config: &Config,
    token: ApiToken,
    mut signals: Signals,
    log: &Log,
) -> Result<ExitCode, Exit> {
    let failed = |error: std::io::Error| Exit::because(exit::FAILED, error);
    server::raise_limit(config.limits.connections);
    let listener = server::bind(config.access.listen).map_err(|error| Exit::because(exit::LISTEN, error))?;
    let ollama = config.ollama.listen.map(server::bind_for_ollama).transpose();
    let ollama = ollama.map_err(|error| Exit::because(exit::LISTEN, error))?;
    let mut probe = pool_manager::probe();
    let memory = pool_manager::model_memory(&probe.read());
    let parts = Parts {
        listener,
        ollama,
        token,
        engines: engine::built_in().map_err(failed)?,
        build: engine::build(),
        offload: engine::offload(),
        probe,
        store: Store::new(config.models_dir.clone(), Env::of_process()).with_memory(memory),
        log: log.last_lines(),
    };
    let mut daemon = Daemon::start(config, parts).map_err(failed)?;
    let address = daemon.address();
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "other machines can reach this daemon: the token is all that keeps them out");
    }
    let url = format!("http://{address}");
    tracing::info!(url, "listening");
    if let Some(address) = daemon.ollama_address() {
        let needs_token = config.ollama.require_token;
        tracing::info!(ollama_host = %address, needs_token, "the API of Ollama is spoken");
    }
    service::ready(&url);
    // Goes on while the daemon stops, which may take longer than a watchdog waits.
    let heartbeat = tasks::spawn(service::heartbeat(daemon.driver().clone()));
    let (reloader, mut current) = Reloader::new(options, config, daemon.settings(), log);
    // Of two requests while a file is read one is enough: the file is read after it.
    let (reread, requests) = tokio::sync::mpsc::channel(1);
    let mut reloading = std::pin::pin!(reloader.run(requests));
    let cause = loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => break Cause::Stop,
                Request::StopAtOnce => break Cause::StopAtOnce,
                Request::ReopenLog => log.reopen(),
                Request::Reload => {
                    log.reopen();
                    let _ = reread.try_send(());
                }
            },
            () = &mut reloading => unreachable!("it goes on as long as requests may come"),
            () = daemon.broken() => break Cause::Broken,
        }
    };
    let grace = current.borrow_and_update().shutdown_grace;
    let hurried = std::cell::Cell::new(false);
    let hurry = async {
        if cause != Cause::StopAtOnce {
            loop {
                match signals.next().await {
                    Request::Stop | Request::StopAtOnce => break,
                    Request::Reload | Request::ReopenLog => log.reopen(),
                }
            }
        }
        hurried.set(true);
    };
    service::stopping();
    tracing::info!(grace_s = grace.as_secs(), "stopping; a second signal ends at once");
    let outcome = daemon.stop(grace, hurry).await;
    heartbeat.abort();
    tracing::info!(%outcome, "stopped");
    Ok(ExitCode::from(match (cause, hurried.get()) {
        (Cause::Broken, _) => exit::FAILED,
        (_, true) => exit::CUT_SHORT,
        (_, false) => exit::OK,
    }))
}

/// Why the daemon stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A signal that asks for an ordered stop.
    Stop,
    /// A signal that leaves no grace.
    StopAtOnce,
    /// The driver has ended by itself.
    Broken,
}

fn read_config(options: &Options) -> Result<Loaded, Exit> {
    let request = LoadRequest::of_process(options.config.clone(), options.overrides())
        .context("cannot tell the working folder")
        .map_err(|error| Exit::because(exit::FAILED, error))?;
    load(&request).map_err(|error| Exit::because(exit::CONFIG, error))
}

fn source(loaded: &Loaded) -> String {
    loaded.source.as_ref().map_or_else(|| "no file: defaults".to_owned(), |path| path.display().to_string())
}

/// The token of the configuration, else the one in the user's folder, which is made at the first start.
fn token(config: &Config) -> Result<ApiToken, Exit> {
    if let Some(token) = &config.access.token {
        return Ok(ApiToken::new(token.expose()));
    }
    let kept = TokenFile::of_user(|name| std::env::var_os(name)).and_then(|file| {
        let token = file.load_or_make()?;
        tracing::info!(file = %file.path().display(), "token");
        Ok(token)
    });
    kept.map_err(|error| Exit::because(exit::ACCESS, error))
}
