//! The backend: one server and what was learned of it.

use std::sync::Arc;

use engine_api::{EngineKind, Measured, ReplicaSpec};
use engine_http::{
    Call, Client, Discovered, Fault, HttpBackend, HttpEngineConfig, Stopped, Undiscovered, chat_messages,
    measured_by_estimate, no_infill,
};
use futures_core::future::BoxFuture;
use generation::{GenerateRequest, Input};
use orchestrator_core::TokenCount;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::stream::TgiAnswer;
use crate::{discovery, request};

/// The status of a server too old for a path.
const NOT_FOUND: u16 = 404;

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Tgi {
    /// Tokens of prompt and answer together.
    pub(crate) ctx: TokenCount,
}

#[derive(Deserialize)]
struct ChatTokens {
    tokenize_response: Vec<IgnoredAny>,
}

impl HttpBackend for Tgi {
    const KIND: EngineKind = EngineKind::Tgi;
    const NAME: &'static str = "text-generation-inference";
    type Answer = Stopped<TgiAnswer>;

    fn discover<'a>(
        client: &'a Client,
        config: &'a HttpEngineConfig,
        spec: &'a ReplicaSpec,
    ) -> BoxFuture<'a, Result<Discovered<Self>, Undiscovered>> {
        Box::pin(discovery::discover(client, config, spec))
    }

    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn prepare(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Call<Self::Answer>, Fault>> {
        Box::pin(async move {
            let most = self.most_tokens(&client, &job).await?;
            request::completion(&self, &job, most)
        })
    }

    fn measure(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Measured, Fault>> {
        Box::pin(async move {
            request::completion(&self, &job, job.max_tokens.unwrap_or(TokenCount(1)))?;
            measure(&client, &job.input).await
        })
    }
}

impl Tgi {
    /// The most tokens of the answer. The server gives few by default and refuses more than there is room
    /// for, so that the room is counted where no limit is asked for.
    async fn most_tokens(&self, client: &Client, job: &GenerateRequest) -> Result<TokenCount, Fault> {
        let ctx = job.ctx.unwrap_or(self.ctx);
        if let (Some(most), true) = (job.max_tokens, ctx >= self.ctx) {
            return Ok(most);
        }
        let prompt = measure(client, &job.input).await?.tokens;
        if prompt >= ctx {
            return Err(Fault::Refused(format!(
                "the prompt takes {prompt} tokens and the context holds {ctx}: nothing is left for an answer"
            )));
        }
        let room = TokenCount(ctx.0 - prompt.0);
        Ok(job.max_tokens.map_or(room, |most| most.min(room)))
    }
}

async fn measure(client: &Client, input: &Input) -> Result<Measured, Fault> {
    let (path, body) = match input {
        Input::Prompt(prompt) => ("/tokenize", json!({ "inputs": prompt })),
        Input::Messages(messages) => {
            ("/chat_tokenize", json!({ "model": "tgi", "messages": chat_messages(messages) }))
        }
        Input::Infill(_) => return Err(no_infill()),
        Input::Inputs(_) => {
            return Err(Fault::Refused(
                "`inputs` are to be embedded, which this engine does not offer".into(),
            ));
        }
    };
    let answered = client.post(path, body.to_string().as_bytes()).await?;
    if answered.status == NOT_FOUND {
        return Ok(measured_by_estimate(input));
    }
    if !answered.is_ok() {
        return Err(client.fault_of(&answered));
    }
    let tokens = match input {
        Input::Messages(_) => serde_json::from_slice(&answered.body)
            .map(|ChatTokens { tokenize_response }| tokenize_response.len()),
        Input::Prompt(_) | Input::Inputs(_) | Input::Infill(_) => {
            serde_json::from_slice::<Vec<IgnoredAny>>(&answered.body).map(|tokens| tokens.len())
        }
    };
    let tokens = tokens.map_err(|error| {
        Fault::Protocol(format!("`{path}` of {} makes no sense: {error}", client.server()))
    })?;
    let tokens = TokenCount(u32::try_from(tokens).unwrap_or(u32::MAX));
    Ok(Measured { tokens, longest: tokens })
}
