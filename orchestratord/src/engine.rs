//! What starts the engines of a pool: the engine that is built into this executable, or the word that there
//! is none; and the adapters of servers.
//!
//! Rules: ORCH-SHAPE-1, ORCH-ENG-35, ORCH-ENG-37

use std::sync::Arc;

use config_schema::{DevicesChoice, PoolConfig, PoolModel, ServerConfig, ServerSource, fill_variables};
use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
use engine_http::{Address, Attach, HttpEngineConfig, Secret, Timeouts, Visible};
use engine_llama_server::LlamaServerFactory;
use engine_openai::OpenAiFactory;
use engine_tgi::TgiFactory;
use engine_triton::TritonFactory;
use futures_util::future::{BoxFuture, FutureExt, ready};

use crate::pools;

mod servers;
#[cfg(test)]
mod tests;

use servers::Servers;

/// What the engine of a build can compute on beside the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// NVIDIA cards, each by its UUID.
    Nvidia,
    /// Whatever its back end finds: one device, which cannot be told apart from another.
    Own,
}

/// What this build can compute on beside the processor.
#[must_use]
pub const fn offload() -> Offload {
    if cfg!(feature = "cuda") {
        Offload::Nvidia
    } else if cfg!(any(feature = "vulkan", feature = "metal", feature = "rocm")) {
        Offload::Own
    } else {
        Offload::None
    }
}

/// The hidden subcommand that a replica's process runs.
#[cfg(feature = "llamacpp")]
const WORKER: &str = "worker";

/// What starts the built-in engine: this executable again, as a worker.
///
/// # Errors
/// When the executable's own path cannot be told.
#[cfg(feature = "llamacpp")]
pub fn built_in() -> std::io::Result<Arc<dyn EngineFactory>> {
    let program = std::env::current_exe()?;
    Ok(Arc::new(engine_llamacpp::LlamacppFactory::new(program, vec![WORKER.into()])))
}

/// How the built-in engine was compiled.
#[cfg(feature = "llamacpp")]
#[must_use]
pub fn build() -> String {
    worker_llamacpp::compiled_for()
}

/// What says that this executable has no engine of its own.
///
/// # Errors
/// Never: the signature is that of a build with an engine.
#[cfg(not(feature = "llamacpp"))]
pub fn built_in() -> std::io::Result<Arc<dyn EngineFactory>> {
    let why = "this `orchestratord` was built without its engine: build it with the feature `llamacpp`, which is \
               on by default";
    Ok(Arc::new(Unavailable { kind: EngineKind::Llamacpp, why: why.to_owned() }))
}

/// How the built-in engine was compiled.
#[cfg(not(feature = "llamacpp"))]
#[must_use]
pub fn build() -> String {
    "none".to_owned()
}

/// The kind of engine that a pool is configured with.
#[must_use]
pub const fn kind(engine: config_schema::Engine) -> EngineKind {
    match engine {
        config_schema::Engine::Llamacpp => EngineKind::Llamacpp,
        config_schema::Engine::Vllm => EngineKind::Vllm,
        config_schema::Engine::Tgi => EngineKind::Tgi,
        config_schema::Engine::Triton => EngineKind::Triton,
    }
}

/// What starts the engines of one pool when it serves `model`: the built-in engine, or the adapter of the
/// server that its configuration names.
#[must_use]
pub fn for_pool(
    pool: &PoolConfig,
    model: &PoolModel,
    built_in: &Arc<dyn EngineFactory>,
) -> Arc<dyn EngineFactory> {
    let Some(server) = &pool.server else { return Arc::clone(built_in) };
    let attaches = match attaches(server) {
        Ok(attaches) => attaches,
        Err(why) => return Arc::new(Unavailable { kind: kind(pool.engine), why }),
    };
    let mut servers = Vec::with_capacity(attaches.len());
    for attach in attaches {
        match http_config(pool, server, attach, model) {
            Ok(config) => servers.push(adapter(pool.engine, config)),
            Err(why) => return Arc::new(Unavailable { kind: kind(pool.engine), why }),
        }
    }
    match <[_; 1]>::try_from(servers) {
        Ok([server]) => server,
        Err(servers) => Arc::new(Servers::new(kind(pool.engine), servers)),
    }
}

/// What starts or attaches an engine of this kind.
fn adapter(engine: config_schema::Engine, config: HttpEngineConfig) -> Arc<dyn EngineFactory> {
    match engine {
        config_schema::Engine::Llamacpp => Arc::new(LlamaServerFactory::new(config)),
        config_schema::Engine::Vllm => Arc::new(OpenAiFactory::new(config)),
        config_schema::Engine::Tgi => Arc::new(TgiFactory::new(config)),
        config_schema::Engine::Triton => Arc::new(TritonFactory::new(config)),
    }
}

fn attaches(server: &ServerConfig) -> Result<Vec<Attach>, String> {
    match &server.source {
        ServerSource::Urls(urls) => {
            let parse =
                |url: &String| Address::parse(url).map(Attach::Url).map_err(|error| error.to_string());
            urls.iter().map(parse).collect()
        }
        ServerSource::Command { command, env, port } => {
            let own = |name: &str| std::env::var(name).ok();
            let fill = |(name, value): (&String, &String)| match fill_variables(value, own) {
                Ok(value) => Ok((name.clone(), value)),
                Err(missing) => {
                    Err(format!("`server.env.{name}` needs the variable `{missing}`, which is not set"))
                }
            };
            let env = env.iter().map(fill).collect::<Result<_, _>>()?;
            let address = port.map(|port| Address::parse(&format!("http://127.0.0.1:{port}")));
            let address = address.transpose().map_err(|error| error.to_string())?;
            Ok(vec![Attach::Command { argv: command.clone(), env, address }])
        }
    }
}

fn http_config(
    pool: &PoolConfig,
    server: &ServerConfig,
    attach: Attach,
    model: &PoolModel,
) -> Result<HttpEngineConfig, String> {
    let key = server.api_key.as_ref().map(|key| Secret::new(key.expose()));
    Ok(HttpEngineConfig {
        attach,
        slots: server.slots,
        api_key: key.transpose().map_err(|error| error.to_string())?,
        model: match model {
            PoolModel::Served(name) => Some(name.clone()),
            PoolModel::Reference(_) => None,
        },
        ca_file: server.ca_file.clone(),
        stop_command: server.stop_command.clone(),
        template_kwargs: pools::template_kwargs(&pool.options),
        visible: if pool.devices == DevicesChoice::Auto { Visible::All } else { Visible::OfReplica },
        timeouts: Timeouts {
            start: server.start_timeout,
            silence: server.silence_timeout,
            ..Timeouts::default()
        },
    })
}

/// Starts nothing, and says why.
struct Unavailable {
    kind: EngineKind,
    why: String,
}

impl EngineFactory for Unavailable {
    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn start(
        &self,
        _spec: ReplicaSpec,
        _progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        ready(Err(StartError::Model(self.why.clone()))).boxed()
    }
}
