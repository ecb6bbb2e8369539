//! From a configuration to an engine that can take a job: the process, where there is one, and the server's
//! own word on what it is. What goes wrong on the way is an error with the reason.
//!
//! Rules: ORCH-ENG-35, ORCH-ENG-36

use std::sync::Arc;
use std::time::Duration;

use engine_api::{Engine, EngineFacts, LoadProgress, ReplicaSpec, StartError};
use orchestrator_core::Millis;
use tokio::time::timeout;

use crate::address::Address;
use crate::backend::{Discovered, HttpBackend, Undiscovered};
use crate::clock;
use crate::config::{Attach, HttpEngineConfig, Visible};
use crate::engine::HttpEngine;
use crate::exchange::Client;
use crate::inner::Inner;
use crate::process::{Process, visible_devices};
use crate::template_kwargs::TemplateKwargs;
use crate::tls::Tls;
use crate::{health, tasks};

/// Between two looks at a server that is not ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a port of this machine is tried that nobody should listen at.
const LOOK_FOR_OTHERS: Duration = Duration::from_millis(200);

/// What stands for a free port in a command.
const PORT: &str = "{port}";

/// Starts or attaches an engine. Resolves when it could take a job; dropping the future ends what was started.
///
/// # Errors
/// [`StartError::Engine`] with what the server or its process did, [`StartError::Model`] where only a change
/// of the configuration helps.
pub async fn start<D: HttpBackend>(
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
    progress: &LoadProgress,
) -> Result<Arc<dyn Engine>, StartError> {
    let begun = clock::now();
    progress(0.0);
    let (address, process) = match &config.attach {
        Attach::Url(address) => (address.clone(), None),
        Attach::Command { argv, env, address } => {
            launch(config, Command { argv, env, address: address.as_ref() }, spec)?
        }
    };
    let tls = Tls::to(&address, config.ca_file.as_deref()).await.map_err(StartError::Engine)?;
    let client = Client::over(tls, D::NAME, address, config.api_key.as_ref(), config.timeouts.clone());
    let looked = timeout(config.timeouts.start, look::<D>(&client, process.as_ref(), config, spec)).await;
    let discovered = match looked {
        Ok(discovered) => discovered,
        Err(_) => {
            let limit = config.timeouts.start.as_secs_f32();
            Err(StartError::Engine(format!("{} was not ready within {limit} s", client.server())))
        }
    };
    let discovered = discovered.and_then(|discovered| {
        let kwargs = TemplateKwargs::of(config.template_kwargs.as_deref());
        let kwargs = kwargs.map_err(|why| StartError::Model(format!("`template_kwargs` {why}")))?;
        if kwargs.is_empty() || discovered.backend.takes_template_kwargs() {
            return Ok((discovered, kwargs));
        }
        Err(StartError::Model(format!(
            "`template_kwargs` are set, and {} has no field for them: leave them out",
            client.server()
        )))
    });
    let (Discovered { backend, facts }, template_kwargs) = match (discovered, &process) {
        (Ok(discovered), _) => discovered,
        (Err(error), None) => return Err(error),
        (Err(error), Some(process)) => {
            process.kill();
            process.exited().await;
            return Err(error);
        }
    };
    progress(1.0);
    let facts = EngineFacts { load_ms: Millis::from_duration(clock::now() - begun), ..facts };
    client.idle().limit_to(facts.slots);
    let workload = facts.workloads.first().copied().unwrap_or_default();
    let inner = Inner::new(Arc::new(backend), client, process, workload).with_kwargs(template_kwargs);
    let inner = Arc::new(inner);
    tasks::spawn(health::probe(Arc::downgrade(&inner)));
    tasks::spawn(health::watch(Arc::downgrade(&inner)));
    Ok(Arc::new(HttpEngine::new(facts, inner)))
}

/// Looks until the server is ready or cannot become so.
async fn look<D: HttpBackend>(
    client: &Client,
    process: Option<&Process>,
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
) -> Result<Discovered<D>, StartError> {
    let mut told = String::new();
    loop {
        let looked = tokio::select! {
            looked = D::discover(client, config, spec) => looked,
            error = death(process) => return Err(error),
        };
        let what = match looked {
            Ok(discovered) => return Ok(discovered),
            Err(Undiscovered::Absent(what)) if process.is_none() => return Err(StartError::Engine(what)),
            Err(Undiscovered::Never(error)) => return Err(error),
            Err(Undiscovered::Absent(what) | Undiscovered::NotYet(what)) => what,
        };
        if what != told {
            tracing::debug!(engine = D::NAME, what, "an engine is not ready yet");
            told = what;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            error = death(process) => return Err(error),
        }
    }
}

/// Resolves when the process has ended, with its story; never, where there is none.
async fn death(process: Option<&Process>) -> StartError {
    match process {
        Some(process) => {
            let exit = process.exited().await;
            StartError::Engine(process.story(&exit))
        }
        None => std::future::pending().await,
    }
}

/// What is started.
struct Command<'a> {
    argv: &'a [String],
    env: &'a [(String, String)],
    /// Where it listens, where its configuration says so.
    address: Option<&'a Address>,
}

fn launch(
    config: &HttpEngineConfig,
    command: Command<'_>,
    spec: &ReplicaSpec,
) -> Result<(Address, Option<Process>), StartError> {
    let Command { argv, env, address } = command;
    if argv.first().is_none_or(String::is_empty) {
        return Err(StartError::Model("`command` is empty: it must name the engine's program".to_owned()));
    }
    let wants_port = argv.iter().chain(env.iter().map(|(_, value)| value)).any(|word| word.contains(PORT));
    let address = match address {
        Some(address) => {
            check_free(address)?;
            address.clone()
        }
        None if wants_port => Address::of_this_machine(free_port()?),
        None => {
            return Err(StartError::Model(
                "nobody knows where `command` listens: put `{port}` into its arguments, or set `port`"
                    .to_owned(),
            ));
        }
    };
    let fill = |word: &String| {
        word.replace(PORT, &address.port().to_string())
            .replace("{model}", &spec.model.to_string_lossy())
            .replace("{slots}", &spec.slots.to_string())
            .replace("{ctx}", &spec.ctx.map_or(0, |ctx| ctx.0).to_string())
    };
    let argv: Vec<String> = argv.iter().map(fill).collect();
    let mut variables = match config.visible {
        Visible::All => Vec::new(),
        Visible::OfReplica => visible_devices(&spec.device),
    };
    variables.extend(env.iter().map(|(name, value)| (name.clone(), fill(value))));
    let stop: Vec<String> = config.stop_command.iter().map(fill).collect();
    let process = Process::spawn(&argv, &variables, &stop, spec)
        .map_err(|error| StartError::Engine(format!("cannot start `{}`: {error}", argv[0])))?;
    Ok((address, Some(process)))
}

/// Refuses a fixed port at which another program listens: it would be taken for the engine.
fn check_free(address: &Address) -> Result<(), StartError> {
    let port = address.port();
    let taken = std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LOOK_FOR_OTHERS).is_ok();
    if taken {
        return Err(StartError::Engine(format!(
            "another program listens at port {port} already: end it, or change `server.port`"
        )));
    }
    Ok(())
}

/// A port that nobody listens at. Somebody may take it before the engine does: the engine then exits, and
/// its next start gets another one.
fn free_port() -> Result<u16, StartError> {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    port.map(|address| address.port())
        .map_err(|error| StartError::Engine(format!("cannot find a free port for the engine: {error}")))
}
