//! Starting pretend engines.

use std::sync::Arc;

use engine_api::{Engine, EngineFactory, EngineKind, LoadProgress, MemoryEstimate, ReplicaSpec, StartError};
use futures_core::future::BoxFuture;

use crate::config::MockConfig;
use crate::control::{MockControl, Phase};
use crate::engine::MockEngine;

/// Starts pretend engines that are all alike.
pub struct MockFactory {
    config: MockConfig,
    control: MockControl,
}

impl MockFactory {
    /// A factory, and the handle that steers what it starts.
    #[must_use]
    pub fn new(config: MockConfig) -> (Self, MockControl) {
        let control = MockControl::new();
        (Self { config, control: control.clone() }, control)
    }
}

impl EngineFactory for MockFactory {
    fn kind(&self) -> EngineKind {
        self.config.kind
    }

    fn estimate(&self, _spec: ReplicaSpec) -> BoxFuture<'_, Result<Option<MemoryEstimate>, StartError>> {
        let estimate = self.config.needs_bytes.map(|weights_bytes| MemoryEstimate {
            weights_bytes,
            kv_bytes: 0,
            compute_bytes: 0,
            host_bytes: 0,
            bytes_per_token: 0,
            ctx: self.config.ctx,
            kv_cells: self.config.ctx,
        });
        Box::pin(async move {
            let shared = &self.control.0;
            shared.count(|counts| counts.estimates += 1);
            shared.gate(Phase::Estimate).await;
            Ok(estimate)
        })
    }

    fn start(
        &self,
        spec: ReplicaSpec,
        progress: LoadProgress,
    ) -> BoxFuture<'_, Result<Arc<dyn Engine>, StartError>> {
        Box::pin(async move {
            let shared = &self.control.0;
            shared.count(|counts| counts.starts += 1);
            shared.gate(Phase::Load).await;
            if let Some(error) = shared.next_failure() {
                return Err(error);
            }
            for quarter in 0..4_u8 {
                progress(f32::from(quarter) / 4.0);
                tokio::time::sleep(self.config.load / 4).await;
            }
            progress(1.0);
            let engine: Arc<dyn Engine> = Arc::new(MockEngine::new(&spec, &self.config, shared));
            shared.count(|counts| counts.ready += 1);
            Ok(engine)
        })
    }
}
