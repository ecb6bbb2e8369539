//! The request of a completion: for the vLLM back end its sampling parameters as one JSON text, for
//! TensorRT-LLM an input for each. What the model does not take is refused by name.

use std::borrow::Cow;

use engine_http::{
    Call, Fault, Reading, Stopped, estimated_tokens, no_infill, refuse, refuse_private_cache, refuse_uncommon,
};
use generation::{GenerateRequest, Input, SamplingParams};
use serde_json::{Map, Value, json};

use crate::backend::Triton;
use crate::stream::TritonAnswer;

/// The input that tells the vLLM back end.
const SAMPLING_PARAMETERS: &str = "sampling_parameters";

/// Tokens that are always left for an answer whose prompt can only be guessed at.
const LEAST_ANSWER: u32 = 16;

/// The prompt of an input.
pub(crate) fn prompt_of(input: &Input) -> Result<&str, Fault> {
    match input {
        Input::Prompt(prompt) => Ok(prompt),
        Input::Messages(_) => {
            let text = "`messages`: Triton knows no chat template; send a `prompt`";
            Err(Fault::Refused(text.to_owned()))
        }
        Input::Infill(_) => Err(no_infill()),
        Input::Inputs(_) => {
            Err(Fault::Refused("`inputs` are to be embedded, which this engine does not offer".to_owned()))
        }
    }
}

/// The request of `job`.
pub(crate) fn completion(
    server: &Triton,
    job: &GenerateRequest,
) -> Result<Call<Stopped<TritonAnswer>>, Fault> {
    refuse_private_cache("Triton", job)?;
    let prompt = prompt_of(&job.input)?;
    let sampling = &job.sampling;
    if job.ctx.is_some_and(|ctx| ctx < server.ctx) {
        let instead = "it does not count tokens; leave `ctx` out and set `max_tokens`";
        return Err(refuse("Triton", "ctx", job.ctx.unwrap_or_default(), instead));
    }
    if !sampling.logit_bias.is_empty() || !sampling.text_bias.is_empty() {
        return Err(refuse("Triton", "sampling.logit_bias", "set", "leave it out"));
    }
    refuse_uncommon("Triton", &sampling.params, &[])?;
    if sampling.constraint.is_some() {
        let text = "`sampling.grammar` and `sampling.json_schema` cannot be asked of Triton: leave them out";
        return Err(Fault::Refused(text.to_owned()));
    }
    let mut body = if server.inputs.contains(SAMPLING_PARAMETERS) {
        for_vllm(server, job)?
    } else {
        for_tensorrt(server, job)?
    };
    body.insert("text_input".to_owned(), prompt.into());
    body.insert("stream".to_owned(), true.into());
    let body = Value::Object(body).to_string().into_bytes();
    let path = Cow::Owned(format!("/v2/models/{}/generate_stream", server.model));
    Ok(Call { path, body, reading: Reading::Stream(Stopped::new(TritonAnswer::default(), &sampling.stop)) })
}

/// It takes any number of tokens and ends at its own context.
fn for_vllm(server: &Triton, job: &GenerateRequest) -> Result<Map<String, Value>, Fault> {
    let sampling = &job.sampling;
    let params = &sampling.params;
    let mut wanted = json!({
        "max_tokens": job.max_tokens.unwrap_or(server.ctx),
        "seed": job.seed & (u64::MAX >> 1),
    });
    if let Some(temperature) = params.temperature {
        wanted["temperature"] = temperature.into();
    }
    if let Some(top_p) = params.top_p {
        wanted["top_p"] = top_p.into();
    }
    if let Some(top_k) = params.top_k.filter(|count| *count > 0) {
        wanted["top_k"] = top_k.into();
    }
    if let Some(min_p) = params.min_p.filter(|least| *least > 0.0) {
        wanted["min_p"] = min_p.into();
    }
    if let Some(penalty) = penalty(server, params)? {
        wanted["repetition_penalty"] = penalty.into();
    }
    if !sampling.stop.is_empty() {
        wanted["stop"] = json!(sampling.stop);
    }
    let mut body = Map::new();
    body.insert(SAMPLING_PARAMETERS.to_owned(), wanted.to_string().into());
    for flag in ["return_finish_reason", "return_num_input_tokens", "return_num_output_tokens"] {
        if server.inputs.contains(flag) {
            body.insert(flag.to_owned(), true.into());
        }
    }
    body.insert("exclude_input_in_output".to_owned(), true.into());
    Ok(body)
}

/// It refuses more tokens than there is room for: without a limit, the room is estimated.
fn for_tensorrt(server: &Triton, job: &GenerateRequest) -> Result<Map<String, Value>, Fault> {
    let sampling = &job.sampling;
    let guessed = estimated_tokens(&job.input).0.saturating_mul(2);
    let room = server.ctx.0.saturating_sub(guessed).max(LEAST_ANSWER);
    let mut body = Map::new();
    body.insert("max_tokens".to_owned(), job.max_tokens.map_or(room, |most| most.0).into());
    body.insert("bad_words".to_owned(), "".into());
    let stop = if sampling.stop.is_empty() { "".into() } else { json!(sampling.stop) };
    body.insert("stop_words".to_owned(), stop);
    let seed = if server.inputs.contains("random_seed") { "random_seed" } else { "seed" };
    // Left to itself, the engine would always take the most probable token.
    let params = &sampling.params.or(&SamplingParams {
        temperature: SamplingParams::BUILTIN.temperature,
        ..SamplingParams::default()
    });
    let samples = params.temperature != Some(0.0);
    // Greedy is the best token alone; a temperature of 0 is none.
    let (temperature, top_k) =
        if samples { (params.temperature, params.top_k) } else { (Some(1.0), Some(1)) };
    let penalty = penalty(server, params)?;
    let top_p = params.top_p.map(|top_p| (top_p, samples && top_p < 1.0));
    let min_p = params.min_p.map(|min_p| (min_p, samples && min_p > 0.0));
    let wishes: [(&str, Option<(Value, bool)>); 6] = [
        (
            "temperature",
            temperature.map(|value| (value.into(), samples && sampling.params.temperature.is_some())),
        ),
        ("top_k", top_k.map(|value| (value.into(), true))),
        ("top_p", top_p.map(|(value, is_wish)| (value.into(), is_wish))),
        ("min_p", min_p.map(|(value, is_wish)| (value.into(), is_wish))),
        ("repetition_penalty", penalty.map(|value| (value.into(), true))),
        (seed, Some((job.seed.into(), false))),
    ];
    let wishes =
        wishes.into_iter().filter_map(|(name, wish)| wish.map(|(value, is_wish)| (name, value, is_wish)));
    for (name, value, is_wish) in wishes {
        if server.inputs.contains(name) {
            body.insert(name.to_owned(), value);
        } else if is_wish {
            let field = format!("sampling.{name}");
            return Err(refuse("this model", &field, value, "it has no such input; leave it out"));
        }
    }
    if server.inputs.contains("exclude_input_in_output") {
        body.insert("exclude_input_in_output".to_owned(), true.into());
    }
    Ok(body)
}

/// Both back ends look at all tokens.
fn penalty(server: &Triton, params: &SamplingParams) -> Result<Option<f32>, Fault> {
    match params.repetition() {
        Some((_, Some(last_n))) if last_n < server.ctx.0 => {
            let instead = format!("it looks at all tokens; set it to at least {}", server.ctx);
            Err(refuse("Triton", "sampling.repeat_last_n", last_n, &instead))
        }
        repetition => Ok(repetition.map(|(penalty, _)| penalty)),
    }
}
