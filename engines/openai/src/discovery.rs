//! What a server is: asked once, when it is attached or has been started.
//!
//! Rules: ORCH-ENG-13, ORCH-ENG-14

use engine_api::{Abilities, EngineFacts, EngineKind, ExtraBodySupport, ModelFacts, ReplicaSpec, StartError};
use engine_http::{Answered, Client, Discovered, Fault, HttpEngineConfig, Undiscovered};
use generation::Workload;
use orchestrator_core::{Millis, TokenCount};
use serde::Deserialize;
use serde_json::json;

use crate::backend::{Counting, Flavor, OpenAi};
use crate::counting;
use crate::whole;

/// Tokens of context of a server that does not say: it refuses what does not fit by itself.
const UNSAID_CTX: TokenCount = TokenCount(131_072);

/// The first version of vLLM (major, minor) with `structured_outputs`.
const STRUCTURED_OUTPUTS_SINCE: (u32, u32) = (0, 11);

#[derive(Deserialize)]
struct Models {
    data: Vec<ModelCard>,
}

#[derive(Deserialize)]
struct ModelCard {
    id: String,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    max_model_len: Option<u32>,
    /// What `llama-server` says beside the rest.
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    n_ctx: Option<u32>,
    #[serde(default)]
    n_ctx_train: Option<u32>,
    #[serde(default)]
    n_params: Option<u64>,
    #[serde(default)]
    size: Option<u64>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Looks at a server.
pub(crate) async fn discover(
    client: &Client,
    config: &HttpEngineConfig,
    spec: &ReplicaSpec,
) -> Result<Discovered<OpenAi>, Undiscovered> {
    let answered = client.get("/v1/models").await?;
    let card = choose(models(client, &answered)?, config.model.as_deref(), client)?;
    let version = version(client).await?;
    let flavor = flavor(card.owned_by.as_deref(), version.as_deref());
    let health_path = if client.get("/health").await?.is_ok() { "/health" } else { "/v1/models" };
    let counting = match counting::count(client, &json!({ "model": card.id, "prompt": "a" })).await {
        Ok(_) => Counting::Exact,
        Err(fault @ (Fault::Absent(_) | Fault::Unanswered(_) | Fault::Transport(_))) => {
            return Err(fault.into());
        }
        Err(_) => Counting::Estimate,
    };
    let (workloads, embedding_size) = workloads(client, &card.id).await?;
    let abilities = abilities(client, &card.id, &workloads).await?;
    let meta = card.meta.unwrap_or_default();
    let said = card.max_model_len.or(meta.n_ctx).map(TokenCount);
    if said.is_none() && spec.ctx.is_none() {
        tracing_ctx(client, &card.id);
    }
    let ctx = match (said, spec.ctx) {
        (Some(said), Some(asked)) => said.min(asked),
        (Some(ctx), None) | (None, Some(ctx)) => ctx,
        (None, None) => UNSAID_CTX,
    };
    let facts = EngineFacts {
        kind: EngineKind::Vllm,
        version: version.unwrap_or_else(|| "unknown".to_owned()),
        build: format!("{} over HTTP", card.owned_by.as_deref().unwrap_or("OpenAI-compatible server")),
        slots: config.slots.unwrap_or(spec.slots),
        ctx,
        kv_cells: None,
        kv_bytes_per_token: 0,
        kv_ram_bytes: 0,
        workloads,
        strict: false,
        abilities,
        model: ModelFacts {
            name: card.id.clone(),
            architecture: "unknown".to_owned(),
            parameters: meta.n_params.unwrap_or_default(),
            size_bytes: meta.size.unwrap_or_default(),
            ctx_train: TokenCount(meta.n_ctx_train.unwrap_or(ctx.0)),
            chat_template: true,
            embedding_size,
            identity: 0,
        },
        load_ms: Millis(0),
        memory: None,
    };
    // What the server holds decides what may be asked of it; what the replica was given decides what is.
    let backend = OpenAi { model: card.id, flavor, counting, ctx: said.unwrap_or(ctx), health_path };
    Ok(Discovered { backend, facts })
}

fn tracing_ctx(client: &Client, model: &str) {
    tracing::warn!(
        server = client.server(),
        model,
        assumed = UNSAID_CTX.0,
        "the server does not say how much context its model has; set the pool's `ctx`"
    );
}

fn models(client: &Client, answered: &Answered) -> Result<Vec<ModelCard>, Undiscovered> {
    if !answered.is_ok() {
        return Err(match client.fault_of(answered) {
            Fault::Failed(what) if answered.status == 404 => no_engine(client, &what),
            fault => fault.into(),
        });
    }
    match serde_json::from_slice::<Models>(&answered.body) {
        Ok(Models { data }) if !data.is_empty() => Ok(data),
        Ok(_) => Err(Undiscovered::NotYet(format!("{} serves no model yet", client.server()))),
        Err(error) => Err(no_engine(client, &format!("`/v1/models` is not a list of models: {error}"))),
    }
}

fn no_engine(client: &Client, what: &str) -> Undiscovered {
    let server = client.server();
    Undiscovered::Never(StartError::Engine(format!(
        "{server} is not a server of the OpenAI API: {what}\nhint: check the engine's `url`"
    )))
}

/// The model that is meant: the one asked for, or the only one that is not an adapter of another.
fn choose(cards: Vec<ModelCard>, asked: Option<&str>, client: &Client) -> Result<ModelCard, Undiscovered> {
    let names = cards.iter().map(|card| format!("`{}`", card.id)).collect::<Vec<_>>().join(", ");
    let wrong = |what: String| Undiscovered::Never(StartError::Model(what));
    let mut meant = cards.into_iter().filter(|card| match asked {
        Some(asked) => card.id == asked,
        None => card.parent.is_none(),
    });
    match (meant.next(), meant.next(), asked) {
        (Some(card), None, _) | (Some(card), _, Some(_)) => Ok(card),
        (None, _, Some(asked)) => {
            Err(wrong(format!("{} does not serve the model `{asked}`: it serves {names}", client.server())))
        }
        _ => {
            Err(wrong(format!("{} serves {names}: set the engine's `model` to one of them", client.server())))
        }
    }
}

async fn version(client: &Client) -> Result<Option<String>, Undiscovered> {
    let answered = client.get("/version").await?;
    let version = answered.is_ok().then(|| serde_json::from_slice::<Version>(&answered.body).ok()).flatten();
    Ok(version.map(|said| said.version))
}

fn flavor(owner: Option<&str>, version: Option<&str>) -> Flavor {
    match owner {
        Some("vllm") => {
            let structured_outputs = version.and_then(numbers).is_none_or(|v| v >= STRUCTURED_OUTPUTS_SINCE);
            Flavor::Vllm { structured_outputs }
        }
        Some("sglang") => Flavor::Sglang,
        Some("llamacpp") => Flavor::LlamaServer,
        _ => Flavor::Other,
    }
}

/// Major and minor of a version; a development build (`0.0` or without numbers) is new.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((major, minor)).filter(|both| *both != (0, 0))
}

/// What the model can be asked for, found out by asking: a server that cannot do it answers at once.
async fn workloads(client: &Client, model: &str) -> Result<(Vec<Workload>, u32), Undiscovered> {
    let mut workloads = Vec::new();
    let embedding = ask(client, "/v1/embeddings", &json!({ "model": model, "input": ["a"] })).await?;
    let size = embedding.and_then(|body| whole::embedding_size(&body)).unwrap_or_default();
    let rerank = json!({ "model": model, "query": "a", "documents": ["a"] });
    let reranks = ask(client, "/v1/rerank", &rerank).await?.is_some_and(|body| whole::is_rerank(&body));
    let answers = size == 0 && !reranks || {
        let completion = json!({ "model": model, "prompt": "a", "max_tokens": 1 });
        ask(client, "/v1/completions", &completion).await?.is_some()
    };
    for (workload, can) in
        [(Workload::Completion, answers), (Workload::Embedding, size > 0), (Workload::Rerank, reranks)]
    {
        if can {
            workloads.push(workload);
        }
    }
    Ok((workloads, size))
}

/// What a conversation may hold beside text, found out by asking for one token of an answer: a server that
/// was not started for tools, and one whose model does not see, refuse it at once.
async fn abilities(client: &Client, model: &str, workloads: &[Workload]) -> Result<Abilities, Undiscovered> {
    if !workloads.contains(&Workload::Completion) {
        return Ok(Abilities::default());
    }
    let chat = |content: serde_json::Value, more: serde_json::Value| {
        let mut body = json!({ "model": model, "max_tokens": 1, "stream": false });
        body["messages"] = json!([{ "role": "user", "content": content }]);
        body.as_object_mut()
            .into_iter()
            .for_each(|body| body.extend(more.as_object().cloned().unwrap_or_default()));
        body
    };
    let function = json!({ "name": "none", "description": "Does nothing.",
        "parameters": { "type": "object", "properties": {} } });
    let tools = json!({ "tools": [{ "type": "function", "function": function }], "tool_choice": "auto" });
    let takes_tools = ask(client, CHAT, &chat("a".into(), tools)).await?.is_some();
    let picture =
        json!([{ "type": "image_url", "image_url": { "url": PICTURE } }, { "type": "text", "text": "a" }]);
    let images = ask(client, CHAT, &chat(picture, json!({}))).await?.is_some();
    let mut logprobs = None;
    for most in MOST_ALTERNATIVES {
        let answered =
            ask(client, CHAT, &chat("a".into(), json!({ "logprobs": true, "top_logprobs": most }))).await?;
        logprobs = answered.and_then(|body| alternatives(&body)).map(|told| told.min(most));
        if logprobs.is_some() {
            break;
        }
    }
    Ok(Abilities {
        tools: takes_tools,
        logprobs,
        images,
        infill: false,
        continues: false,
        // Such servers do not say it.
        reasoning: false,
        extra_body: ExtraBodySupport::All,
    })
}

/// How many alternatives to a token a server may be asked for: what OpenAI takes today, and took before. A server may
/// refuse the first and not the second.
const MOST_ALTERNATIVES: [u8; 2] = [20, 5];

/// How many alternatives the first token of a chat has; nothing, where it is not told how probable it was.
fn alternatives(body: &[u8]) -> Option<u8> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = answer.pointer("/choices/0/logprobs/content/0")?;
    token.get("logprob")?.as_f64()?;
    let alternatives = token.get("top_logprobs").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    Some(u8::try_from(alternatives).unwrap_or(u8::MAX))
}

/// Where conversations are answered.
const CHAT: &str = "/v1/chat/completions";

/// 64 by 64 white dots: less than that some models do not take.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PMQ0AAAwDoPo33UrYvQQckD4XAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAYHLAMpT0sIcNbcEAAAAAElFTkSuQmCC";

/// The body of a success.
async fn ask(client: &Client, path: &str, body: &serde_json::Value) -> Result<Option<Vec<u8>>, Undiscovered> {
    match client.post(path, body.to_string().as_bytes()).await {
        Ok(answered) if answered.is_ok() => Ok(Some(answered.body)),
        Ok(_) | Err(Fault::Protocol(_)) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}
