//! The request of a completion. What the server cannot be asked for is refused by name.
//!
//! Rules: ORCH-ENG-14

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine_http::{
    Call, ChatMessage, ChatTools, Fault, Reading, chat_messages, no_infill, refuse, refuse_private_cache,
    refuse_uncommon, with_extra_body,
};
use generation::{Constraint, GenerateRequest, Input, KvHint, ReasoningOptions, Sampling, TextBias};
use orchestrator_core::TokenCount;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::backend::{Flavor, OpenAi};
use crate::sampling::{CommonSampling, LlamaServerSampling};
use crate::stream::OpenAiAnswer;

/// The name of the engine in refusals.
const SERVER: &str = "this server";

/// The bias that bans a token: the least the API knows.
const LEAST_BIAS: f32 = -100.0;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<ChatMessage<'a>>>,
    #[serde(flatten)]
    tools: ChatTools<'a>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(flatten)]
    most: Option<MaxTokens>,
    /// What is absent is the server's own, or its model's.
    #[serde(flatten)]
    sampling: CommonSampling,
    seed: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: BTreeMap<String, f32>,
    #[serde(flatten)]
    beyond: Beyond<'a>,
    #[serde(flatten)]
    logprobs: Option<Logprobs>,
}

/// How probable the tokens are to be told, as each endpoint is asked for it.
#[derive(Serialize)]
#[serde(untagged)]
enum Logprobs {
    Chat {
        logprobs: bool,
        top_logprobs: u8,
    },
    Prompt {
        logprobs: u8,
    },
    /// `llama-server`: none are told where none are asked for.
    LlamaServer {
        n_probs: u8,
    },
}

impl Logprobs {
    fn new(most: u8, flavor: Flavor, is_prompt: bool) -> Self {
        match (flavor, is_prompt) {
            (Flavor::LlamaServer, true) => Self::LlamaServer { n_probs: most.max(1) },
            (Flavor::LlamaServer, false) => Self::Chat { logprobs: true, top_logprobs: most.max(1) },
            (_, true) => Self::Prompt { logprobs: most },
            (_, false) => Self::Chat { logprobs: true, top_logprobs: most },
        }
    }
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// A limit of the answer; `null` lifts the few tokens that vLLM gives a prompt by default.
#[derive(Serialize)]
struct MaxTokens {
    max_tokens: Option<u32>,
}

/// What only some servers know.
#[derive(Default, Serialize)]
struct Beyond<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    /// `llama-server`'s own.
    #[serde(flatten)]
    sampling: Option<LlamaServerSampling<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_outputs: Option<StructuredOutputs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guided_grammar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ebnf: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    /// vLLM: what nobody else says keeps the cache of this task to itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_salt: Option<String>,
    /// `llama-server`: reasoning is sent apart, also where the template begins it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template_kwargs: Option<TemplateArguments>,
    /// `llama-server`'s name of the budget of reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget_tokens: Option<u32>,
    /// vLLM's.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_token_budget: Option<u32>,
    /// Whether the answer continues the last message; servers begin a new one otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_generation_prompt: Option<bool>,
    /// `llama-server`: an event for each batch of the prompt, the heartbeat of a task that has no token yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    return_progress: Option<bool>,
}

/// Arguments that chat templates know.
#[derive(Serialize)]
struct TemplateArguments {
    enable_thinking: bool,
}

#[derive(Serialize)]
struct StructuredOutputs<'a> {
    grammar: &'a str,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    schema: &'a RawValue,
    strict: bool,
}

impl<'a> Beyond<'a> {
    /// How the model reasons, and whether it continues the last message.
    fn reason(&mut self, flavor: Flavor, job: &'a GenerateRequest) {
        if !matches!(*job.input, Input::Messages(_)) {
            return;
        }
        let ReasoningOptions { enabled, effort, budget } = &job.reasoning;
        self.reasoning_effort = effort.as_deref();
        match flavor {
            Flavor::Other => {}
            Flavor::LlamaServer | Flavor::Vllm { .. } | Flavor::Sglang => {
                self.chat_template_kwargs =
                    enabled.map(|enable_thinking| TemplateArguments { enable_thinking });
            }
        }
        let budget = budget.map(|budget| budget.0);
        match flavor {
            Flavor::LlamaServer => self.thinking_budget_tokens = budget,
            Flavor::Vllm { .. } => self.thinking_token_budget = budget,
            Flavor::Sglang | Flavor::Other => {}
        }
        // `llama-server` continues by itself.
        if job.continue_final_message && flavor != Flavor::LlamaServer {
            self.continue_final_message = Some(true);
            self.add_generation_prompt = Some(false);
        }
    }
}

/// The request of `job`, with at most `most` tokens of an answer.
///
/// # Errors
/// [`Fault::Refused`] naming what the server cannot be asked for.
pub fn completion(
    server: &OpenAi,
    job: &GenerateRequest,
    most: Option<TokenCount>,
) -> Result<Call<OpenAiAnswer>, Fault> {
    let (path, prompt, messages) = match &*job.input {
        Input::Prompt(prompt) => ("/v1/completions", Some(prompt.as_str()), None),
        Input::Messages(messages) => ("/v1/chat/completions", None, Some(chat_messages(messages))),
        Input::Infill(_) => return Err(no_infill()),
        Input::Inputs(_) => {
            let text = "`inputs` are to be embedded; a completion takes `prompt` or `messages`";
            return Err(Fault::Refused(text.to_owned()));
        }
    };
    let tools = match server.flavor {
        Flavor::LlamaServer => ChatTools::of_words(&job.tools)?,
        _ => ChatTools::new(&job.tools)?,
    };
    let sampling = &job.sampling;
    let mut beyond = beyond(server, sampling, prompt.is_some())?;
    // Where the caller is told the server's own fields, this one would be among them unasked.
    if server.flavor == Flavor::LlamaServer && !job.include_extra {
        beyond.return_progress = Some(true);
    }
    beyond.reason(server.flavor, job);
    match server.flavor {
        Flavor::Vllm { .. } if job.kv == KvHint::None => beyond.cache_salt = Some(job.task.to_string()),
        Flavor::Vllm { .. } => {}
        _ => refuse_private_cache(SERVER, job)?,
    }
    let most = match (most, server.flavor) {
        (Some(most), _) => Some(MaxTokens { max_tokens: Some(most.0) }),
        (None, Flavor::Vllm { .. }) => Some(MaxTokens { max_tokens: None }),
        // It cuts the number down to the room there is.
        (None, Flavor::Sglang) => Some(MaxTokens { max_tokens: Some(server.ctx.0) }),
        (None, Flavor::LlamaServer | Flavor::Other) => None,
    };
    let body = Body {
        model: &server.model,
        prompt,
        messages,
        tools,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        most,
        sampling: CommonSampling::new(&sampling.params, server.flavor),
        seed: match server.flavor {
            Flavor::LlamaServer => llama_server_seed(job.seed).into(),
            // The API's seeds are signed.
            _ => job.seed & (u64::MAX >> 1),
        },
        stop: &sampling.stop,
        logit_bias: sampling
            .logit_bias
            .iter()
            .map(|entry| (entry.token.to_string(), entry.bias.clamp(LEAST_BIAS, -LEAST_BIAS)))
            // `llama-server` alone gets here with texts, and takes them as names.
            .chain(
                sampling
                    .text_bias
                    .iter()
                    .map(|entry| (entry.text.clone(), entry.bias.clamp(LEAST_BIAS, -LEAST_BIAS))),
            )
            .collect(),
        beyond,
        logprobs: job.logprobs.map(|most| Logprobs::new(most, server.flavor, prompt.is_some())),
    };
    let body = serde_json::to_vec(&body).map_err(|error| Fault::Refused(error.to_string()))?;
    let body = with_extra_body(body, job.extra_body.as_ref())?;
    Ok(Call { path: Cow::Borrowed(path), body, reading: Reading::Stream(OpenAiAnswer::to(job)) })
}

/// A seed of 32 bits. The largest one is the server's word for a random seed.
#[must_use]
pub fn llama_server_seed(seed: u64) -> u32 {
    let folded = u32::try_from((seed ^ (seed >> 32)) & u64::from(u32::MAX)).unwrap_or_default();
    if folded == u32::MAX { 0 } else { folded }
}

fn beyond<'a>(server: &OpenAi, sampling: &'a Sampling, is_prompt: bool) -> Result<Beyond<'a>, Fault> {
    let mut beyond = Beyond::default();
    uncommon(server, sampling, &mut beyond)?;
    if server.flavor == Flavor::LlamaServer && !is_prompt {
        beyond.reasoning_format = Some("deepseek");
    }
    match &sampling.constraint {
        None => {}
        Some(Constraint::JsonSchema(_)) if is_prompt && server.flavor == Flavor::Other => {
            let instead = "send `messages`, with which it knows it";
            return Err(refuse(SERVER, "sampling.json_schema", "set on a `prompt`", instead));
        }
        Some(Constraint::JsonSchema(schema)) => {
            let schema = serde_json::from_str(schema)
                .map_err(|error| Fault::Refused(format!("`sampling.json_schema` is not JSON: {error}")))?;
            let json_schema = JsonSchema { name: "answer", schema, strict: true };
            beyond.response_format = Some(ResponseFormat { r#type: "json_schema", json_schema });
        }
        Some(Constraint::Grammar(grammar)) => match server.flavor {
            Flavor::Vllm { structured_outputs: true } => {
                beyond.structured_outputs = Some(StructuredOutputs { grammar });
            }
            Flavor::Vllm { structured_outputs: false } => beyond.guided_grammar = Some(grammar),
            Flavor::Sglang => beyond.ebnf = Some(grammar),
            Flavor::LlamaServer => beyond.grammar = Some(grammar),
            Flavor::Other => {
                return Err(refuse(
                    SERVER,
                    "sampling.grammar",
                    "set",
                    "use `sampling.json_schema` with `messages`",
                ));
            }
        },
    }
    Ok(beyond)
}

/// What not every server knows: `llama-server` all of it, the others the penalties of the API, vLLM and `SGLang` a
/// repetition penalty that looks at all tokens.
fn uncommon<'a>(server: &OpenAi, sampling: &'a Sampling, beyond: &mut Beyond<'a>) -> Result<(), Fault> {
    let params = &sampling.params;
    if server.flavor == Flavor::LlamaServer {
        beyond.sampling = Some(LlamaServerSampling::new(params, server.ctx));
        return Ok(());
    }
    if let Some(TextBias { text, .. }) = sampling.text_bias.first() {
        let instead = "name tokens by their numbers";
        return Err(refuse(SERVER, "sampling.logit_bias", format!("of the text `{text}`"), instead));
    }
    refuse_uncommon(SERVER, params, &["presence_penalty", "frequency_penalty"])?;
    let Some((penalty, last_n)) = params.repetition() else { return Ok(()) };
    match (server.flavor, last_n) {
        (Flavor::Other, _) => {
            Err(refuse(SERVER, "sampling.repeat_penalty", penalty, "leave it out, or set it to 1"))
        }
        (_, Some(last_n)) if last_n < server.ctx.0 => {
            let instead = format!("it looks at all tokens; set it to at least {}", server.ctx);
            Err(refuse(SERVER, "sampling.repeat_last_n", last_n, &instead))
        }
        _ => {
            beyond.repetition_penalty = Some(penalty);
            Ok(())
        }
    }
}
