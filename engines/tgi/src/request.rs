//! The request of a completion. What the server cannot be asked for is refused by name.

use std::borrow::Cow;

use engine_http::{
    Call, ChatMessage, Fault, Reading, Stopped, chat_messages, no_infill, refuse, refuse_private_cache,
    refuse_uncommon,
};
use generation::{Constraint, GenerateRequest, Input, Sampling, SamplingParams};
use orchestrator_core::TokenCount;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::backend::Tgi;
use crate::stream::TgiAnswer;

/// The name of the engine in refusals.
const TGI: &str = "Text Generation Inference";

#[derive(Serialize)]
struct Generate<'a> {
    inputs: &'a str,
    parameters: Parameters<'a>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the server's fields")]
struct Parameters<'a> {
    details: bool,
    return_full_text: bool,
    do_sample: bool,
    max_new_tokens: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typical_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<Grammar<'a>>,
    #[serde(flatten)]
    both: Both,
}

#[derive(Serialize)]
struct Chat<'a> {
    model: &'static str,
    messages: Vec<ChatMessage<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Grammar<'a>>,
    #[serde(flatten)]
    both: Both,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What is said alike for prompts and conversations. Limits that change nothing are left out: the server
/// refuses them (`top_p` of 1, `temperature` of 0).
#[derive(Serialize)]
struct Both {
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
}

#[derive(Serialize)]
struct Grammar<'a> {
    r#type: &'static str,
    value: &'a RawValue,
}

/// The request of `job`, with at most `most` tokens of an answer.
pub(crate) fn completion(
    server: &Tgi,
    job: &GenerateRequest,
    most: TokenCount,
) -> Result<Call<Stopped<TgiAnswer>>, Fault> {
    refuse_private_cache(TGI, job)?;
    let sampling = &job.sampling;
    check(sampling)?;
    let params = &sampling.params;
    // Left to itself, the server would always take the most probable token.
    let temperature = params.temperature.or(SamplingParams::BUILTIN.temperature);
    let temperature = temperature.filter(|temperature| *temperature > 0.0);
    let samples = temperature.is_some();
    let both = Both {
        seed: job.seed,
        temperature,
        top_p: params.top_p.filter(|top_p| samples && *top_p < 1.0),
        repetition_penalty: penalty(server, params)?,
        frequency_penalty: params.frequency_penalty.filter(|penalty| *penalty != 0.0),
    };
    let grammar = grammar(sampling)?;
    let (path, body, answer) = match &*job.input {
        Input::Prompt(inputs) => {
            let parameters = Parameters {
                details: true,
                return_full_text: false,
                do_sample: samples,
                max_new_tokens: most.0,
                stop: &sampling.stop,
                top_k: params.top_k.filter(|count| samples && *count > 0),
                typical_p: params.typical_p.filter(|share| samples && *share < 1.0),
                grammar,
                both,
            };
            ("/generate_stream", serde_json::to_vec(&Generate { inputs, parameters }), TgiAnswer::Generate)
        }
        Input::Messages(messages) => {
            if let Some((field, value)) = only_of_prompts(params).filter(|_| samples) {
                let instead = "leave it out, or send a `prompt`";
                return Err(refuse(TGI, field, format!("{value} with `messages`"), instead));
            }
            let chat = Chat {
                model: "tgi",
                messages: chat_messages(messages),
                stream: true,
                stream_options: StreamOptions { include_usage: true },
                max_tokens: most.0,
                stop: &sampling.stop,
                response_format: grammar,
                both,
            };
            ("/v1/chat/completions", serde_json::to_vec(&chat), TgiAnswer::chat())
        }
        Input::Infill(_) => return Err(no_infill()),
        Input::Inputs(_) => {
            let text = "`inputs` are to be embedded; a completion takes `prompt` or `messages`";
            return Err(Fault::Refused(text.to_owned()));
        }
    };
    let body = body.map_err(|error| Fault::Refused(error.to_string()))?;
    let reading = Reading::Stream(Stopped::new(answer, &sampling.stop));
    Ok(Call { path: Cow::Borrowed(path), body, reading })
}

fn check(sampling: &Sampling) -> Result<(), Fault> {
    let params = &sampling.params;
    if let Some(min_p) = params.min_p.filter(|min_p| *min_p > 0.0 && params.temperature != Some(0.0)) {
        return Err(refuse(TGI, "sampling.min_p", min_p, "leave it out, or set it to 0"));
    }
    if !sampling.logit_bias.is_empty() || !sampling.text_bias.is_empty() {
        return Err(refuse(TGI, "sampling.logit_bias", "set", "leave it out"));
    }
    refuse_uncommon(TGI, params, &["frequency_penalty", "typical_p"])
}

/// What it knows for a prompt and not for a conversation.
fn only_of_prompts(params: &SamplingParams) -> Option<(&'static str, f64)> {
    let top_k = params.top_k.filter(|count| *count > 0).map(|count| ("sampling.top_k", f64::from(count)));
    let typical_p = || params.typical_p.filter(|share| *share < 1.0);
    top_k.or_else(|| typical_p().map(|share| ("sampling.typical_p", f64::from(share))))
}

/// It looks at all tokens.
fn penalty(server: &Tgi, params: &SamplingParams) -> Result<Option<f32>, Fault> {
    match params.repetition() {
        Some((_, Some(last_n))) if last_n < server.ctx.0 => {
            let instead = format!("it looks at all tokens; set it to at least {}", server.ctx);
            Err(refuse(TGI, "sampling.repeat_last_n", last_n, &instead))
        }
        repetition => Ok(repetition.map(|(penalty, _)| penalty)),
    }
}

fn grammar(sampling: &Sampling) -> Result<Option<Grammar<'_>>, Fault> {
    match &sampling.constraint {
        None => Ok(None),
        Some(Constraint::Grammar(_)) => {
            Err(refuse(TGI, "sampling.grammar", "set", "use `sampling.json_schema`"))
        }
        Some(Constraint::JsonSchema(schema)) => {
            let value = serde_json::from_str(schema)
                .map_err(|error| Fault::Refused(format!("`sampling.json_schema` is not JSON: {error}")))?;
            Ok(Some(Grammar { r#type: "json", value }))
        }
    }
}
