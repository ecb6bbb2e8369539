//! The backend: one `llama-server` and what was learned of it.

use std::sync::Arc;

use engine_api::{EngineKind, Measured, ReplicaSpec, SessionKv, TextAnswer, TextQuery};
use engine_http::{
    Call, Client, Discovered, Fault, HttpBackend, HttpEngineConfig, Undiscovered, measured_by_estimate,
    refuse_private_cache,
};
use engine_openai::{OpenAi, whole};
use futures_core::future::BoxFuture;
use generation::{GenerateRequest, Input, Message, ReasoningOptions, Workload};
use orchestrator_core::{SessionId, TokenCount};

use crate::prompts::{self, Prompts, Shown, TokenizeRequest};
use crate::sessions::Sessions;
use crate::stream::LlamaAnswer;
use crate::{discovery, request};

/// One `llama-server`.
#[derive(Debug)]
pub(crate) struct LlamaServer {
    /// The model's name, where the server was asked for one of several.
    pub(crate) model: Option<String>,
    pub(crate) has_template: bool,
    /// Tokens of context of each slot.
    pub(crate) ctx: TokenCount,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) prompts: Prompts,
    /// How it is asked where it speaks as the others do.
    pub(crate) chat: OpenAi,
}

/// Which endpoint answers a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// `/completion`, with a prompt that was rendered before.
    Completion,
    /// `/v1/chat/completions`, where it reads calls out of answers and pictures out of conversations, and whose
    /// fields are its own affair.
    Chat,
}

impl HttpBackend for LlamaServer {
    const KIND: EngineKind = EngineKind::Llamacpp;
    const NAME: &'static str = "llama-server";
    type Answer = LlamaAnswer;

    fn discover<'a>(
        client: &'a Client,
        config: &'a HttpEngineConfig,
        spec: &'a ReplicaSpec,
    ) -> BoxFuture<'a, Result<Discovered<Self>, Undiscovered>> {
        Box::pin(discovery::discover(client, config, spec))
    }

    fn takes_template_kwargs(&self) -> bool {
        true
    }

    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn prepare(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Call<LlamaAnswer>, Fault>> {
        Box::pin(async move {
            let model = self.model.as_deref().unwrap_or_default();
            match job.workload {
                Workload::Embedding => return whole::embedding(model, &job),
                Workload::Rerank => return whole::rerank(model, &job),
                Workload::Completion => {}
            }
            refuse_private_cache("`llama-server`", &job)?;
            if endpoint(&job) == Endpoint::Chat {
                let most = self.most_tokens_of_chat(&client, &job).await?;
                return request::chat(&self, &job, most);
            }
            let prompt = match &*job.input {
                Input::Prompt(prompt) => prompt.clone(),
                Input::Messages(messages) => match self.prompts.take(messages) {
                    Some(prompt) => prompt,
                    None => self.render(&client, messages, Shown::of(&job)).await?,
                },
                Input::Infill(infill) => infill.typed.clone(),
                Input::Inputs(_) => {
                    let text = "`inputs` are to be embedded; a completion takes `prompt` or `messages`";
                    return Err(Fault::Refused(text.to_owned()));
                }
            };
            let most = self.most_tokens(&client, &job, &prompt).await?;
            request::completion(&self, &job, &prompt, most)
        })
    }

    fn session_kv(&self, session: SessionId) -> Option<SessionKv> {
        self.sessions.kv(session)
    }

    /// Its slot is given to others as if nobody had used it; the cells themselves are reused by whoever
    /// comes next.
    fn evict_session(&self, session: SessionId) {
        self.sessions.forget(session);
    }

    fn measure(
        self: Arc<Self>,
        client: Client,
        job: Arc<GenerateRequest>,
    ) -> BoxFuture<'static, Result<Measured, Fault>> {
        Box::pin(async move {
            let one = |count: TokenCount| Measured { tokens: count, longest: count };
            if job.workload == Workload::Completion {
                refuse_private_cache("`llama-server`", &job)?;
            }
            match &*job.input {
                Input::Prompt(prompt) => prompts::count(&client, prompt).await.map(one),
                // The server cuts what does not fit.
                Input::Infill(_) => Ok(measured_by_estimate(&job.input)),
                Input::Messages(messages) => {
                    let prompt = self.render(&client, messages, Shown::of(&job)).await?;
                    let count = prompts::count(&client, &prompt).await?;
                    if endpoint(&job) == Endpoint::Completion {
                        self.prompts.keep(messages, prompt);
                    }
                    Ok(one(count))
                }
                Input::Inputs(inputs) => {
                    let mut measured = one(TokenCount(0));
                    for input in inputs {
                        let tokens = prompts::count(&client, input).await?;
                        measured.tokens = TokenCount(measured.tokens.0.saturating_add(tokens.0));
                        measured.longest = measured.longest.max(tokens);
                    }
                    Ok(measured)
                }
            }
        })
    }

    fn text(
        self: Arc<Self>,
        client: Client,
        query: TextQuery,
    ) -> BoxFuture<'static, Result<TextAnswer, Fault>> {
        Box::pin(async move { self.answer(&client, query).await })
    }
}

impl LlamaServer {
    async fn answer(&self, client: &Client, query: TextQuery) -> Result<TextAnswer, Fault> {
        match query {
            TextQuery::Tokenize { text, add_special, parse_special } => {
                let request =
                    TokenizeRequest { content: &text, add_special, parse_special, with_pieces: true };
                prompts::tokenize(client, &request).await.map(TextAnswer::Tokens)
            }
            TextQuery::Detokenize(tokens) => prompts::detokenize(client, &tokens).await.map(TextAnswer::Text),
            TextQuery::ApplyTemplate(job) => match &*job.input {
                Input::Messages(messages) => {
                    self.render(client, messages, Shown::of(&job)).await.map(TextAnswer::Text)
                }
                _ => Err(Fault::Refused("`messages` is missing".to_owned())),
            },
        }
    }

    async fn render(&self, client: &Client, messages: &[Message], shown: Shown<'_>) -> Result<String, Fault> {
        if messages.is_empty() {
            return Err(Fault::Refused("`messages` is empty: it must hold at least one message".to_owned()));
        }
        if !self.has_template {
            let text = "`messages`: the model of this `llama-server` has no chat template; send a `prompt`";
            return Err(Fault::Refused(text.to_owned()));
        }
        prompts::render(client, messages, shown).await
    }

    /// As [`Self::most_tokens`], of a conversation that the server renders itself. Its pictures are not counted
    /// before they are read.
    async fn most_tokens_of_chat(
        &self,
        client: &Client,
        job: &GenerateRequest,
    ) -> Result<Option<TokenCount>, Fault> {
        match &*job.input {
            Input::Messages(messages) if job.ctx.is_some_and(|ctx| ctx < self.ctx) => {
                let prompt = self.render(client, messages, Shown::of(job)).await?;
                self.most_tokens(client, job, &prompt).await
            }
            _ => Ok(job.max_tokens),
        }
    }

    /// The most tokens of the answer: what is asked for, within the room that `ctx` leaves.
    async fn most_tokens(
        &self,
        client: &Client,
        job: &GenerateRequest,
        prompt: &str,
    ) -> Result<Option<TokenCount>, Fault> {
        let Some(ctx) = job.ctx.filter(|ctx| *ctx < self.ctx) else { return Ok(job.max_tokens) };
        let tokens = prompts::count(client, prompt).await?;
        if tokens >= ctx {
            return Err(Fault::Refused(format!(
                "the prompt takes {tokens} tokens and `ctx` is {ctx}: nothing is left for an answer"
            )));
        }
        let room = TokenCount(ctx.0 - tokens.0);
        Ok(Some(job.max_tokens.map_or(room, |most| most.min(room))))
    }
}

fn endpoint(job: &GenerateRequest) -> Endpoint {
    let Input::Messages(messages) = &*job.input else { return Endpoint::Completion };
    let shows_more = job.extra_body.is_some()
        || job.reasoning != ReasoningOptions::default()
        || job.continue_final_message
        || messages.iter().any(|message| message.reasoning.is_some())
        || job.tools.are_shown()
        || messages.iter().any(|message| !message.images.is_empty());
    if shows_more { Endpoint::Chat } else { Endpoint::Completion }
}
