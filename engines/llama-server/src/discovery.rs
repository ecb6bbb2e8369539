//! What a `llama-server` is: asked once, when it is attached or has been started.
//!
//! Rules: ORCH-ENG-7, ORCH-ENG-13, ORCH-ENG-14

use std::sync::Arc;

use engine_api::{Abilities, EngineFacts, EngineKind, ExtraBodySupport, ModelFacts, ReplicaSpec, StartError};
use engine_http::{Client, Discovered, Fault, HttpEngineConfig, Undiscovered};
use engine_openai::{Counting, Flavor, OpenAi, WeighedToken, whole};
use generation::Workload;
use orchestrator_core::{Millis, TokenCount};
use serde::Deserialize;
use serde_json::json;

use crate::backend::LlamaServer;
use crate::prompts::Prompts;
use crate::sessions::Sessions;

#[derive(Deserialize)]
struct Props {
    default_generation_settings: Settings,
    total_slots: u16,
    #[serde(default)]
    model_alias: Option<String>,
    #[serde(default)]
    model_path: Option<String>,
    #[serde(default)]
    chat_template: Option<String>,
    #[serde(default)]
    build_info: Option<String>,
    #[serde(default)]
    modalities: Modalities,
    /// What the chat template was found to do; versions before it was looked at say nothing.
    #[serde(default)]
    chat_template_caps: Option<TemplateCaps>,
}

#[derive(Default, Deserialize)]
struct Modalities {
    #[serde(default)]
    vision: bool,
}

#[derive(Deserialize)]
struct TemplateCaps {
    #[serde(default)]
    supports_tools: bool,
    #[serde(default)]
    supports_tool_calls: bool,
}

#[derive(Deserialize)]
struct Settings {
    n_ctx: u32,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<ModelCard>,
}

#[derive(Deserialize)]
struct ModelCard {
    #[serde(default)]
    meta: Option<Meta>,
}

/// What the server says of its model; versions before it was there say nothing.
#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    n_ctx_train: Option<u32>,
    #[serde(default)]
    n_embd: Option<u32>,
    #[serde(default)]
    n_params: Option<u64>,
    #[serde(default)]
    size: Option<u64>,
}

/// Looks at a server.
pub(crate) async fn discover(
    client: &Client,
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
) -> Result<Discovered<LlamaServer>, Undiscovered> {
    let health = client.get("/health").await?;
    if !health.is_ok() {
        return Err(match client.fault_of(&health) {
            Fault::Failed(what) if health.status == 404 => no_engine(client, &what),
            fault => fault.into(),
        });
    }
    let props = client.get("/props").await?;
    if !props.is_ok() {
        return Err(match client.fault_of(&props) {
            Fault::Failed(what) if props.status == 404 => no_engine(client, &what),
            fault => fault.into(),
        });
    }
    let props: Props = serde_json::from_slice(&props.body)
        .map_err(|error| no_engine(client, &format!("`/props` is not what it gives: {error}")))?;
    let meta = meta(client).await?;
    let model = config.model.as_deref().unwrap_or_default();
    let embedding = ask(client, "/v1/embeddings", &json!({ "model": model, "input": ["a"] })).await?;
    let embedding_size = embedding.and_then(|body| whole::embedding_size(&body));
    let rerank = json!({ "model": model, "query": "a", "documents": ["a"] });
    let reranks = ask(client, "/v1/rerank", &rerank).await?.is_some_and(|body| whole::is_rerank(&body));
    // Started for the one, it does not do the other.
    let workloads = match (reranks, embedding_size) {
        (true, _) => vec![Workload::Rerank],
        (false, Some(_)) => vec![Workload::Embedding],
        (false, None) => vec![Workload::Completion],
    };
    let holds = TokenCount(props.default_generation_settings.n_ctx);
    let has_template = props.chat_template.as_ref().is_some_and(|template| !template.is_empty());
    let logprobs =
        if workloads == [Workload::Completion] { alternatives(client, model).await? } else { None };
    let abilities = Abilities { logprobs, ..abilities(&props, has_template) };
    let facts = EngineFacts {
        kind: EngineKind::Llamacpp,
        version: props.build_info.unwrap_or_else(|| "unknown".to_owned()),
        build: "llama-server over HTTP".to_owned(),
        slots: config.slots.unwrap_or(props.total_slots),
        ctx: spec.ctx.map_or(holds, |asked| asked.min(holds)),
        kv_cells: None,
        kv_bytes_per_token: 0,
        kv_ram_bytes: 0,
        workloads,
        strict: false,
        abilities,
        model: ModelFacts {
            name: props.model_alias.or(props.model_path).unwrap_or_else(|| model.to_owned()),
            architecture: "unknown".to_owned(),
            parameters: meta.n_params.unwrap_or_default(),
            size_bytes: meta.size.unwrap_or_default(),
            ctx_train: TokenCount(meta.n_ctx_train.unwrap_or(holds.0)),
            chat_template: has_template,
            embedding_size: embedding_size.or(meta.n_embd).unwrap_or_default(),
            identity: 0,
        },
        load_ms: Millis(0),
        memory: None,
    };
    let backend = LlamaServer {
        model: config.model.clone(),
        has_template,
        ctx: holds,
        sessions: Arc::new(Sessions::default()),
        prompts: Prompts::default(),
        chat: OpenAi {
            model: model.to_owned(),
            flavor: Flavor::LlamaServer,
            counting: Counting::Exact,
            ctx: holds,
            health_path: "/health",
        },
    };
    Ok(Discovered { backend, facts })
}

/// A template that knows no tools would be shown none, and nobody told.
fn abilities(props: &Props, has_template: bool) -> Abilities {
    let knows_tools = match &props.chat_template_caps {
        Some(caps) => caps.supports_tools && caps.supports_tool_calls,
        None => props.chat_template.as_ref().is_some_and(|template| template.contains("tools")),
    };
    let tools = has_template && knows_tools;
    let images = has_template && props.modalities.vision;
    let reasoning = props.chat_template.as_ref().is_some_and(|template| reasons(template));
    Abilities {
        tools,
        logprobs: None,
        images,
        infill: true,
        continues: false,
        reasoning,
        extra_body: ExtraBodySupport::All,
    }
}

/// Whether a chat template knows reasoning, by the words that templates have for it.
fn reasons(template: &str) -> bool {
    ["enable_thinking", "reasoning_effort", "<think>", "reasoning_content"]
        .iter()
        .any(|word| template.contains(word))
}

/// The most alternatives to a token that are asked for.
const MOST_ALTERNATIVES: u8 = 20;

#[derive(Deserialize)]
struct Weighed {
    completion_probabilities: Vec<WeighedToken>,
}

/// How many alternatives to a token it tells; nothing, where it does not tell how probable one is in the form that is
/// read here, which older versions had not.
async fn alternatives(client: &Client, model: &str) -> Result<Option<u8>, Undiscovered> {
    let asked = json!({ "model": model, "prompt": "a", "n_predict": 1, "n_probs": MOST_ALTERNATIVES });
    let told = ask(client, "/completion", &asked)
        .await?
        .and_then(|body| serde_json::from_slice::<Weighed>(&body).ok());
    let first = told.and_then(|told| told.completion_probabilities.into_iter().next());
    Ok(first
        .map(|token| token.told(MOST_ALTERNATIVES))
        .filter(|token| !token.top.is_empty())
        .map(|token| u8::try_from(token.top.len()).unwrap_or(MOST_ALTERNATIVES)))
}

fn no_engine(client: &Client, what: &str) -> Undiscovered {
    let server = client.server();
    Undiscovered::Never(StartError::Engine(format!(
        "{server} is not a `llama-server`: {what}\nhint: check the engine's `url`"
    )))
}

async fn meta(client: &Client) -> Result<Meta, Undiscovered> {
    let answered = client.get("/v1/models").await?;
    let models = serde_json::from_slice::<Models>(&answered.body).ok();
    Ok(models.and_then(|models| models.data.into_iter().next()?.meta).unwrap_or_default())
}

/// The body of a success.
async fn ask(client: &Client, path: &str, body: &serde_json::Value) -> Result<Option<Vec<u8>>, Undiscovered> {
    match client.post(path, body.to_string().as_bytes()).await {
        Ok(answered) if answered.is_ok() => Ok(Some(answered.body)),
        Ok(_) | Err(Fault::Protocol(_)) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}
