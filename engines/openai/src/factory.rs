//! Starting or attaching an OpenAI-compatible server.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
use engine_http::{Attach, HttpEngineConfig};
use futures_core::future::BoxFuture;

use crate::backend::OpenAi;

/// Starts engines that speak the OpenAI API.
#[derive(Clone, Debug)]
pub struct OpenAiFactory {
    config: HttpEngineConfig,
}

impl OpenAiFactory {
    /// Engines as `config` says. An address may end in `/v1` or not.
    #[must_use]
    pub fn new(mut config: HttpEngineConfig) -> Self {
        config.attach = match config.attach {
            Attach::Url(address) => Attach::Url(address.without("/v1")),
            Attach::Command { argv, env, address } => {
                Attach::Command { argv, env, address: address.map(|address| address.without("/v1")) }
            }
        };
        Self { config }
    }
}

impl EngineFactory for OpenAiFactory {
    fn kind(&self) -> EngineKind {
        EngineKind::Vllm
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(async move { engine_http::start::<OpenAi>(&self.config, &spec, &progress).await })
    }
}
