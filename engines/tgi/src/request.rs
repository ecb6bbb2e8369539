//! The request of a completion. What the server cannot be asked for is refused by name.

use std::borrow::Cow;

use engine_http::{
    Call, ChatMessage, Fault, Reading, Stopped, asks_for_min_p, asks_for_top_k, chat_messages, refuse,
    refuse_private_cache,
};
use generation::{Constraint, GenerateRequest, Input, Sampling};
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
    let samples = sampling.temperature > 0.0;
    let both = Both {
        seed: job.seed,
        temperature: samples.then_some(sampling.temperature),
        top_p: (samples && sampling.top_p < 1.0).then_some(sampling.top_p),
        repetition_penalty: penalty(server, sampling)?,
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
                top_k: (samples && sampling.top_k > 0).then_some(sampling.top_k),
                grammar,
                both,
            };
            ("/generate_stream", serde_json::to_vec(&Generate { inputs, parameters }), TgiAnswer::Generate)
        }
        Input::Messages(_) if samples && asks_for_top_k(sampling.top_k) => {
            let instead = "leave it out, or send a `prompt`";
            return Err(refuse(
                TGI,
                "sampling.top_k",
                format!("{} with `messages`", sampling.top_k),
                instead,
            ));
        }
        Input::Messages(messages) => {
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
    if sampling.temperature > 0.0 && asks_for_min_p(sampling.min_p) {
        return Err(refuse(TGI, "sampling.min_p", sampling.min_p, "leave it out, or set it to 0"));
    }
    if !sampling.logit_bias.is_empty() {
        return Err(refuse(TGI, "sampling.logit_bias", "set", "leave it out"));
    }
    Ok(())
}

/// It looks at all tokens.
fn penalty(server: &Tgi, sampling: &Sampling) -> Result<Option<f32>, Fault> {
    let &Sampling { repeat_penalty: penalty, repeat_last_n: last_n, .. } = sampling;
    if last_n == 0 || (penalty - 1.0).abs() < f32::EPSILON {
        return Ok(None);
    }
    if last_n < server.ctx.0 {
        let instead = format!("it looks at all tokens; set it to at least {}", server.ctx);
        return Err(refuse(TGI, "sampling.repeat_last_n", last_n, &instead));
    }
    Ok(Some(penalty))
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
