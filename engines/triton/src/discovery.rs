//! What a server and its model are: asked once, when it is attached or has been started.

use engine_api::{Abilities, EngineFacts, EngineKind, ModelFacts, ReplicaSpec, StartError};
use engine_http::{Answered, Client, Discovered, Fault, HttpEngineConfig, Undiscovered};
use generation::Workload;
use orchestrator_core::{Millis, TokenCount};
use serde::Deserialize;

use crate::backend::Triton;

/// Tokens of context where the pool does not say: the server does not either.
const UNSAID_CTX: TokenCount = TokenCount(4096);

/// The input that every model of the generate extension for text takes.
const TEXT_INPUT: &str = "text_input";

#[derive(Deserialize)]
struct Server {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Indexed {
    name: String,
    #[serde(default)]
    state: Option<String>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    platform: String,
    inputs: Vec<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
}

/// Looks at a server and its model.
pub(crate) async fn discover(
    client: &Client,
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
) -> Result<Discovered<Triton>, Undiscovered> {
    let ready = client.get("/v2/health/ready").await?;
    // 400 is its word for not ready.
    if ready.status == 400 {
        return Err(Undiscovered::NotYet(format!("{} is not ready", client.server())));
    }
    let server: Server = said(client, &ready, &client.get("/v2").await?)?;
    let name = match &config.model {
        Some(name) => name.clone(),
        None => only_model(client).await?,
    };
    let path = format!("/v2/models/{name}");
    let answered = client.get(&path).await?;
    if !answered.is_ok() {
        // A model that is not there and one that is being loaded are told alike.
        let said = client.fault_of(&answered).to_string();
        return Err(Undiscovered::NotYet(format!("the model `{name}` is not there: {said}")));
    }
    let model: Model = said(client, &ready, &answered)?;
    let inputs: std::collections::HashSet<String> =
        model.inputs.into_iter().map(|input| input.name).collect();
    if !inputs.contains(TEXT_INPUT) {
        return Err(Undiscovered::Never(StartError::Model(format!(
            "the model `{name}` of {} takes no `{TEXT_INPUT}`: set the engine's `model` to one that generates text",
            client.server()
        ))));
    }
    let ctx = spec.ctx.unwrap_or(UNSAID_CTX);
    let facts = EngineFacts {
        kind: EngineKind::Triton,
        version: server.version,
        build: format!(
            "{} over HTTP",
            if model.platform.is_empty() { &server.name } else { &model.platform }
        ),
        slots: config.slots.unwrap_or(spec.slots),
        ctx,
        kv_cells: None,
        kv_bytes_per_token: 0,
        kv_ram_bytes: 0,
        workloads: vec![Workload::Completion],
        strict: false,
        abilities: Abilities::default(),
        model: ModelFacts {
            name: model.name,
            architecture: "unknown".to_owned(),
            parameters: 0,
            size_bytes: 0,
            ctx_train: ctx,
            chat_template: false,
            embedding_size: 0,
            identity: 0,
        },
        load_ms: Millis(0),
        memory: None,
    };
    let backend = Triton { health_path: format!("{path}/ready"), model: name, inputs, ctx };
    Ok(Discovered { backend, facts })
}

/// The only model that is ready.
async fn only_model(client: &Client) -> Result<String, Undiscovered> {
    let answered = client.post("/v2/repository/index", b"{}").await?;
    let models: Vec<Indexed> = serde_json::from_slice(&answered.body).unwrap_or_default();
    let ready =
        models.into_iter().filter(|model| model.state.as_deref().is_none_or(|state| state == "READY"));
    let mut names: Vec<String> = ready.map(|model| model.name).collect();
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (last, _) => {
            names.extend(last);
            let server = client.server();
            let has = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let has = if has.is_empty() { "no model of which it tells".to_owned() } else { has };
            Err(Undiscovered::Never(StartError::Model(format!(
                "{server} has {has}: set the engine's `model` to the name of one"
            ))))
        }
    }
}

/// What an answer holds, where it and the server's readiness are as they should be.
fn said<T: for<'de> Deserialize<'de>>(
    client: &Client,
    ready: &Answered,
    answered: &Answered,
) -> Result<T, Undiscovered> {
    for answered in [ready, answered] {
        if !answered.is_ok() {
            return Err(match client.fault_of(answered) {
                Fault::Failed(what) if answered.status == 404 => no_engine(client, &what),
                fault => fault.into(),
            });
        }
    }
    serde_json::from_slice(&answered.body).map_err(|error| no_engine(client, &error.to_string()))
}

fn no_engine(client: &Client, what: &str) -> Undiscovered {
    let server = client.server();
    Undiscovered::Never(StartError::Engine(format!(
        "{server} is not a Triton: {what}\nhint: check the engine's `url`"
    )))
}
