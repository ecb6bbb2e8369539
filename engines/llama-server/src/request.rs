//! The request of a completion: `POST /completion`, or `POST /v1/chat/completions` where the server is to read
//! calls and pictures itself.
//!
//! Rules: ORCH-ENG-15

use std::borrow::Cow;

use engine_http::{Call, Fault, Reading, with_extra_body};
use engine_openai::sampling::{CommonSampling, LlamaServerSampling};
use engine_openai::{Flavor, request as openai};
use generation::{Constraint, GenerateRequest, Infill, InfillFile, Input, reasoning};
use orchestrator_core::TokenCount;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::backend::LlamaServer;
use crate::stream::LlamaAnswer;

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the server's fields")]
struct Body<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    stream: bool,
    return_tokens: bool,
    /// An event for each batch of the prompt: the heartbeat of a task that has no token yet. Versions before it was
    /// there ignore it.
    return_progress: bool,
    cache_prompt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_slot: Option<i32>,
    /// -1 is no limit.
    n_predict: i64,
    /// What is absent is the server's own, or its model's.
    #[serde(flatten)]
    sampling: CommonSampling,
    #[serde(flatten)]
    own_sampling: LlamaServerSampling<'a>,
    seed: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logit_bias: Vec<(Target<'a>, Bias)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a RawValue>,
    /// 0 tells no probabilities at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    n_probs: Option<u8>,
}

/// What a bias is of.
#[derive(Serialize)]
#[serde(untagged)]
enum Target<'a> {
    Token(i32),
    Text(&'a str),
}

/// An addition to a logit; `false` bans the token.
#[derive(Serialize)]
#[serde(untagged)]
enum Bias {
    Added(f32),
    Banned(bool),
}

/// The texts around a gap, in the words of `/infill`.
#[derive(Serialize)]
struct Gap<'a> {
    input_prefix: &'a str,
    input_suffix: &'a str,
    input_extra: Vec<OtherFile<'a>>,
}

#[derive(Serialize)]
struct OtherFile<'a> {
    filename: &'a str,
    text: &'a str,
}

impl<'a> Gap<'a> {
    fn of(infill: &'a Infill) -> Self {
        let file = |InfillFile { name, text }: &'a InfillFile| OtherFile { filename: name, text };
        Self {
            input_prefix: &infill.prefix,
            input_suffix: &infill.suffix,
            input_extra: infill.files.iter().map(file).collect(),
        }
    }
}

#[derive(Serialize)]
struct WithGap<'a> {
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(flatten)]
    gap: Option<Gap<'a>>,
}

/// The request of `job`, whose prompt is `prompt`, with at most `most` tokens of an answer.
pub(crate) fn completion(
    server: &LlamaServer,
    job: &GenerateRequest,
    prompt: &str,
    most: Option<TokenCount>,
) -> Result<Call<LlamaAnswer>, Fault> {
    let sampling = &job.sampling;
    let (grammar, json_schema) = match &sampling.constraint {
        None => (None, None),
        Some(Constraint::Grammar(grammar)) => (Some(grammar.as_str()), None),
        Some(Constraint::JsonSchema(schema)) => {
            let schema = serde_json::from_str(schema)
                .map_err(|error| Fault::Refused(format!("`sampling.json_schema` is not JSON: {error}")))?;
            (None, Some(schema))
        }
    };
    let stay = server.sessions.begin(job.session, prompt);
    let body = Body {
        prompt,
        model: server.model.as_deref(),
        stream: true,
        return_tokens: true,
        return_progress: true,
        cache_prompt: true,
        id_slot: stay.slot(),
        n_predict: most.map_or(-1, |most| i64::from(most.0)),
        sampling: CommonSampling::new(&sampling.params, Flavor::LlamaServer),
        own_sampling: LlamaServerSampling::new(&sampling.params, server.chat.ctx),
        seed: openai::llama_server_seed(job.seed),
        stop: &sampling.stop,
        logit_bias: sampling
            .logit_bias
            .iter()
            .map(|entry| (Target::Token(entry.token), bias(entry.bias)))
            .chain(sampling.text_bias.iter().map(|entry| (Target::Text(&entry.text), bias(entry.bias))))
            .collect(),
        grammar,
        json_schema,
        n_probs: job.logprobs.map(|most| most.max(1)),
    };
    let (path, gap) = match &*job.input {
        Input::Infill(infill) => ("/infill", Some(Gap::of(infill))),
        _ => ("/completion", None),
    };
    let body = WithGap { body, gap };
    let body = serde_json::to_vec(&body).map_err(|error| Fault::Refused(error.to_string()))?;
    let body = with_extra_body(body, job.extra_body.as_ref())?;
    // An answer that must have a form has no reasoning.
    let may_reason = matches!(*job.input, Input::Messages(_)) && sampling.constraint.is_none();
    let prefilled = may_reason && reasoning::is_prefilled(prompt);
    Ok(Call {
        path: Cow::Borrowed(path),
        body,
        reading: Reading::Stream(LlamaAnswer::of_completion(stay, job, prefilled)),
    })
}

/// The request of `job` where the server renders the conversation itself, with at most `most` tokens of an
/// answer. Which slot it takes is left to the server: it does not say it here.
pub(crate) fn chat(
    server: &LlamaServer,
    job: &GenerateRequest,
    most: Option<TokenCount>,
) -> Result<Call<LlamaAnswer>, Fault> {
    let Call { path, body, reading } = openai::completion(&server.chat, job, most)?;
    let stay = server.sessions.begin(None, "");
    let reading = match reading {
        Reading::Stream(answer) => Reading::Stream(LlamaAnswer::Chat { answer, _stay: stay }),
        Reading::Whole(read) => Reading::Whole(read),
    };
    Ok(Call { path, body, reading })
}

fn bias(bias: f32) -> Bias {
    if bias == f32::NEG_INFINITY { Bias::Banned(false) } else { Bias::Added(bias) }
}
