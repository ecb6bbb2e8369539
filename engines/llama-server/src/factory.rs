//! Starting or attaching `llama-server`.
//!
//! Rules: ORCH-ENG-2

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
use engine_http::HttpEngineConfig;
use futures_core::future::BoxFuture;

use crate::backend::LlamaServer;

/// Starts or attaches `llama-server`. A command of its own looks like
/// `["llama-server", "--port", "{port}", "-m", "{model}", "-np", "{slots}"]`.
#[derive(Clone, Debug)]
pub struct LlamaServerFactory {
    config: HttpEngineConfig,
}

impl LlamaServerFactory {
    /// Engines as `config` says.
    #[must_use]
    pub fn new(config: HttpEngineConfig) -> Self {
        Self { config }
    }
}

impl EngineFactory for LlamaServerFactory {
    fn kind(&self) -> EngineKind {
        EngineKind::Llamacpp
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(async move { engine_http::start::<LlamaServer>(&self.config, &spec, &progress).await })
    }
}
