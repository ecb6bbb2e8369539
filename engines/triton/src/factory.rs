//! Starting or attaching Triton.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
use engine_http::HttpEngineConfig;
use futures_core::future::BoxFuture;

use crate::backend::Triton;

/// Starts or attaches Triton. A command of its own looks like
/// `["tritonserver", "--http-port", "{port}", "--model-repository", "/models"]`.
#[derive(Clone, Debug)]
pub struct TritonFactory {
    config: HttpEngineConfig,
}

impl TritonFactory {
    /// Engines as `config` says.
    #[must_use]
    pub fn new(config: HttpEngineConfig) -> Self {
        Self { config }
    }
}

impl EngineFactory for TritonFactory {
    fn kind(&self) -> EngineKind {
        EngineKind::Triton
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(async move { engine_http::start::<Triton>(&self.config, &spec, &progress).await })
    }
}
