//! The backend: one server and what was learned of it.

use std::sync::Arc;

use engine_api::{EngineKind, Measured, ReplicaSpec};
use engine_http::{Call, Client, Discovered, Fault, HttpBackend, HttpEngineConfig, Undiscovered, refuse};
use futures_core::future::BoxFuture;
use generation::{GenerateRequest, Input, Workload};
use orchestrator_core::TokenCount;

use crate::stream::OpenAiAnswer;
use crate::{counting, discovery, request, whole};

/// Who serves the API, as far as it matters for what may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// vLLM; `structured_outputs` where it is new enough, `guided_grammar` before.
    Vllm {
        /// Whether it is new enough for them.
        structured_outputs: bool,
    },
    /// `SGLang`.
    Sglang,
    /// `llama-server`.
    LlamaServer,
    /// Somebody else.
    Other,
}

/// How a server counts tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// `POST /tokenize` gives a count.
    Exact,
    /// It does not.
    Estimate,
}

/// One server that speaks the OpenAI API.
#[derive(Clone, Debug)]
pub struct OpenAi {
    /// What the server calls its model.
    pub model: String,
    /// Who it is.
    pub flavor: Flavor,
    /// How it counts.
    pub counting: Counting,
    /// Tokens of context of each sequence.
    pub ctx: TokenCount,
    /// The path that answers 200 as long as it is well.
    pub health_path: &'static str,
}

impl HttpBackend for OpenAi {
    const KIND: EngineKind = EngineKind::Vllm;
    const NAME: &'static str = "openai-http";
    type Answer = OpenAiAnswer;

    fn discover<'a>(
        client: &'a Client,
        config: &'a HttpEngineConfig,
        spec: &'a ReplicaSpec,
    ) -> BoxFuture<'a, Result<Discovered<Self>, Undiscovered>> {
        Box::pin(discovery::discover(client, config, spec))
    }

    fn takes_template_kwargs(&self) -> bool {
        self.flavor != Flavor::Other
    }

    fn health_path(&self) -> &str {
        self.health_path
    }

    fn prepare(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Call<OpenAiAnswer>, Fault>> {
        Box::pin(async move {
            match job.workload {
                Workload::Completion => {
                    let most = self.most_tokens(&client, &job).await?;
                    request::completion(&self, &job, most)
                }
                Workload::Embedding => whole::embedding(&self.model, &job),
                Workload::Rerank => whole::rerank(&self.model, &job),
            }
        })
    }

    fn measure(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Measured, Fault>> {
        Box::pin(async move {
            if let Input::Prompt(_) | Input::Messages(_) = &*job.input {
                request::completion(&self, &job, job.max_tokens)?;
            }
            counting::measure(&self, &client, &job).await
        })
    }
}

impl OpenAi {
    /// The most tokens of the answer: what is asked for, within the room that `ctx` leaves.
    async fn most_tokens(&self, client: &Client, job: &GenerateRequest) -> Result<Option<TokenCount>, Fault> {
        let Some(ctx) = job.ctx.filter(|ctx| *ctx < self.ctx) else { return Ok(job.max_tokens) };
        if self.counting == Counting::Estimate {
            let instead = "it does not count tokens; leave `ctx` out and set `max_tokens`";
            return Err(refuse("this server", "ctx", ctx, instead));
        }
        let prompt = counting::measure(self, client, job).await?.longest;
        if prompt >= ctx {
            return Err(Fault::Refused(format!(
                "the prompt takes {prompt} tokens and `ctx` is {ctx}: nothing is left for an answer"
            )));
        }
        let room = TokenCount(ctx.0 - prompt.0);
        Ok(Some(job.max_tokens.map_or(room, |most| most.min(room))))
    }
}
