//! What a server is: asked once, when it is attached or has been started.

use engine_api::{Abilities, EngineFacts, EngineKind, ModelFacts, ReplicaSpec, StartError};
use engine_http::{Client, Discovered, Fault, HttpEngineConfig, Undiscovered};
use generation::Workload;
use orchestrator_core::{Millis, TokenCount};
use serde::Deserialize;

use crate::backend::Tgi;

#[derive(Deserialize)]
struct Info {
    model_id: String,
    version: String,
    max_total_tokens: u32,
    #[serde(default)]
    max_concurrent_requests: Option<u32>,
    #[serde(default)]
    model_dtype: Option<String>,
    #[serde(default)]
    model_device_type: Option<String>,
}

/// Looks at a server.
pub(crate) async fn discover(
    client: &Client,
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
) -> Result<Discovered<Tgi>, Undiscovered> {
    let health = client.get("/health").await?;
    if !health.is_ok() {
        return Err(told(client, client.fault_of(&health), health.status));
    }
    let answered = client.get("/info").await?;
    if !answered.is_ok() {
        return Err(told(client, client.fault_of(&answered), answered.status));
    }
    let info: Info = serde_json::from_slice(&answered.body)
        .map_err(|error| no_engine(client, &format!("`/info` is not what it gives: {error}")))?;
    let holds = TokenCount(info.max_total_tokens);
    let build =
        [info.model_device_type, info.model_dtype].into_iter().flatten().collect::<Vec<_>>().join(", ");
    // It takes far more requests than it decodes at a time: more than the pool's slots are not handed over.
    let most = info.max_concurrent_requests.and_then(|most| u16::try_from(most).ok()).unwrap_or(u16::MAX);
    let facts = EngineFacts {
        kind: EngineKind::Tgi,
        version: info.version,
        build: if build.is_empty() { "text-generation-inference over HTTP".to_owned() } else { build },
        slots: config.slots.unwrap_or_else(|| spec.slots.min(most)),
        ctx: spec.ctx.map_or(holds, |asked| asked.min(holds)),
        kv_cells: None,
        kv_bytes_per_token: 0,
        kv_ram_bytes: 0,
        workloads: vec![Workload::Completion],
        strict: false,
        abilities: Abilities::default(),
        model: ModelFacts {
            name: info.model_id,
            architecture: "unknown".to_owned(),
            parameters: 0,
            size_bytes: 0,
            ctx_train: holds,
            chat_template: true,
            embedding_size: 0,
            identity: 0,
        },
        load_ms: Millis(0),
        memory: None,
    };
    Ok(Discovered { backend: Tgi { ctx: holds }, facts })
}

fn told(client: &Client, fault: Fault, status: u16) -> Undiscovered {
    match fault {
        Fault::Failed(what) if status == 404 => no_engine(client, &what),
        fault => fault.into(),
    }
}

fn no_engine(client: &Client, what: &str) -> Undiscovered {
    let server = client.server();
    Undiscovered::Never(StartError::Engine(format!(
        "{server} is not a Text Generation Inference: {what}\nhint: check the engine's `url`"
    )))
}
