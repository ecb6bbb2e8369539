//! What is wrong with a job, by field, before its input is read.

use engine_api::admission::check_offer;
use generation::{Constraint, GenerateRequest, Input, Sampling, Tools, Workload};
use serde_json::Value;

use crate::grammar;
use crate::load::Loaded;

/// Finds what is wrong with a job before its input is read.
pub(super) fn check(loaded: &Loaded, job: &GenerateRequest) -> Result<(), String> {
    check_offer(job, &loaded.facts)?;
    match (&*job.input, job.workload) {
        (Input::Prompt(_) | Input::Messages(_) | Input::Infill(_), Workload::Completion) => {}
        (Input::Inputs(_), Workload::Completion) => {
            return Err("`inputs` are to be embedded; a completion takes `prompt` or `messages`".into());
        }
        (Input::Inputs(inputs), Workload::Rerank) if inputs.len() < 2 => {
            return Err("`inputs` of a rerank are the query and at least one document".into());
        }
        (Input::Inputs(_), Workload::Embedding | Workload::Rerank) => return Ok(()),
        _ => return Err(format!("`workload` `{}` takes `inputs`", job.workload.as_str())),
    }
    check_sampling(&job.sampling, loaded)?;
    check_constraint(job)
}

/// Finds what is wrong with the format that the answer must have.
fn check_constraint(job: &GenerateRequest) -> Result<(), String> {
    let shown = job.tools.are_shown();
    if shown && !matches!(*job.input, Input::Messages(_)) {
        return Err(
            "`tools` are shown to the model by its chat template: send `messages` with them".to_owned()
        );
    }
    if shown && matches!(job.sampling.constraint, Some(Constraint::Grammar(_))) {
        return Err(
            "`sampling.grammar` holds the whole answer and leaves no room for calls of `tools`: send \
                    either"
                .to_owned(),
        );
    }
    if shown {
        check_arguments(&job.tools)?;
    }
    let strict = job.tools.offered.iter().any(|tool| tool.strict);
    if job.tools.are_forced() || shown && (strict || job.sampling.constraint.is_some()) {
        grammar::check_size(&job.tools)?;
    }
    Ok(())
}

/// Finds a tool whose arguments are no object.
fn check_arguments(tools: &Tools) -> Result<(), String> {
    for (at, function) in tool_calls::plain::functions(&tools.offered)?.iter().enumerate() {
        let function = &function["function"];
        let is_object = match &function["parameters"]["type"] {
            Value::Null => true,
            Value::String(kind) => kind == "object",
            Value::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
            _ => false,
        };
        if !is_object {
            let (name, kind) =
                (function["name"].as_str().unwrap_or_default(), &function["parameters"]["type"]);
            return Err(format!(
                "`tools[{at}].parameters` (`{name}`) is a schema of `type` {kind}: the arguments of a call are an `object`"
            ));
        }
    }
    Ok(())
}

fn check_sampling(how: &Sampling, loaded: &Loaded) -> Result<(), String> {
    let within = |field: &str, value: Option<f32>, low: f32, high: f32| match value {
        Some(value) if !(value >= low && value <= high) => {
            Err(format!("`sampling.{field}` is {value}; {low} to {high} would be right"))
        }
        _ => Ok(()),
    };
    let params = &how.params;
    for (field, value, least, most) in [
        ("temperature", params.temperature, 0.0, 100.0),
        ("top_p", params.top_p, 0.0, 1.0),
        ("min_p", params.min_p, 0.0, 1.0),
        ("typical_p", params.typical_p, 0.0, 1.0),
        ("repeat_penalty", params.repeat_penalty, 0.01, 100.0),
        ("presence_penalty", params.presence_penalty, -100.0, 100.0),
        ("frequency_penalty", params.frequency_penalty, -100.0, 100.0),
        ("xtc_probability", params.xtc_probability, 0.0, 1.0),
        ("xtc_threshold", params.xtc_threshold, 0.0, 1.0),
        ("dry_multiplier", params.dry_multiplier, 0.0, 100.0),
        ("dry_base", params.dry_base, 1.0, 100.0),
    ] {
        within(field, value, least, most)?;
    }
    if let Some(at) = how.stop.iter().position(String::is_empty) {
        return Err(format!("`sampling.stop[{at}]` is empty: it must hold at least one character"));
    }
    for bias in &how.logit_bias {
        if !loaded.vocabulary.contains(bias.token) {
            let last = loaded.vocabulary.len() - 1;
            return Err(format!(
                "`sampling.logit_bias` names the token {}; this model has 0 to {last}",
                bias.token
            ));
        }
        if bias.bias.is_nan() {
            return Err(format!("`sampling.logit_bias` of the token {} is not a number", bias.token));
        }
    }
    Ok(())
}
