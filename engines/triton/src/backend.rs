//! The backend: one model of one server.

use std::collections::HashSet;
use std::sync::Arc;

use engine_api::{EngineKind, Measured, ReplicaSpec};
use engine_http::{
    Call, Client, Discovered, Fault, HttpBackend, HttpEngineConfig, Stopped, Undiscovered,
    measured_by_estimate,
};
use futures_core::future::BoxFuture;
use generation::GenerateRequest;
use orchestrator_core::TokenCount;

use crate::stream::TritonAnswer;
use crate::{discovery, request};

/// One model of one server.
#[derive(Clone, Debug)]
pub(crate) struct Triton {
    pub(crate) model: String,
    /// What the model takes.
    pub(crate) inputs: HashSet<String>,
    pub(crate) health_path: String,
    /// Tokens of context of each sequence, as far as it is known.
    pub(crate) ctx: TokenCount,
}

impl HttpBackend for Triton {
    const KIND: EngineKind = EngineKind::Triton;
    const NAME: &'static str = "triton";
    type Answer = Stopped<TritonAnswer>;

    fn discover<'a>(
        client: &'a Client,
        config: &'a HttpEngineConfig,
        spec: &'a ReplicaSpec,
    ) -> BoxFuture<'a, Result<Discovered<Self>, Undiscovered>> {
        Box::pin(discovery::discover(client, config, spec))
    }

    fn health_path(&self) -> &str {
        &self.health_path
    }

    fn prepare(
        self: Arc<Self>,
        _client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Call<Self::Answer>, Fault>> {
        Box::pin(async move { request::completion(&self, &job) })
    }

    fn measure(
        self: Arc<Self>,
        _client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Measured, Fault>> {
        Box::pin(async move { request::completion(&self, &job).map(|_| measured_by_estimate(&job.input)) })
    }
}
