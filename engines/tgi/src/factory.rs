//! Starting or attaching Text Generation Inference.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, ReplicaSpec, StartError};
use engine_http::HttpEngineConfig;
use futures_core::future::BoxFuture;

use crate::backend::Tgi;

/// Starts or attaches Text Generation Inference. A command of its own looks like
/// `["text-generation-launcher", "--port", "{port}", "--model-id", "{model}"]`.
#[derive(Clone, Debug)]
pub struct TgiFactory {
    config: HttpEngineConfig,
}

impl TgiFactory {
    /// Engines as `config` says.
    #[must_use]
    pub fn new(config: HttpEngineConfig) -> Self {
        Self { config }
    }
}

impl EngineFactory for TgiFactory {
    fn kind(&self) -> EngineKind {
        EngineKind::Tgi
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(async move { engine_http::start::<Tgi>(&self.config, &spec, &progress).await })
    }
}
