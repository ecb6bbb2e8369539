//! Fields that the contract does not know, or that only attached engines serve. They go to one that speaks the same
//! endpoint as they came, with the task; an engine that takes none refuses the first of them by its name.
//!
//! Rules: ORCH-ENG-16, ORCH-OAI-15

use generation::ExtraBody;
use serde_json::{Map, Value};

use super::chat::CHAT_FIELDS;
use super::completions::COMPLETION_FIELDS;
use super::fields::Unserved;
use crate::backpressure::Refusal;
use crate::http::answer::shown;
use crate::http::problem::not_a_field;

/// Fields of engines that would take an answer out of the daemon's hands, and what to send instead.
const RESERVED_FIELDS: [(&str, &str); 10] = [
    ("n_predict", "use `max_tokens`"),
    ("max_new_tokens", "use `max_tokens`"),
    ("n_cmpl", "use `n`"),
    ("n_probs", "use `logprobs`"),
    ("post_sampling_probs", "leave it out"),
    ("return_tokens", "leave it out"),
    ("response_fields", "leave it out"),
    ("return_progress", "leave it out, and read `: ping` in the stream"),
    ("use_beam_search", "leave it out"),
    ("truncate_prompt_tokens", "shorten the prompt"),
];

/// The arguments of a model's chat template: `llama-server` and vLLM call them so.
const TEMPLATE: &str = "chat_template_kwargs";

/// What an engine is told of the fields in `beyond`, which an endpoint with the fields `known` does not know, and of
/// those that are `unserved` here and ask for something.
///
/// # Errors
/// [`Refusal::Invalid`] for one that is the daemon's own affair, or a field of another endpoint.
pub(super) fn fields(
    mut beyond: Map<String, Value>,
    known: &[&str],
    unserved: &[Unserved<'_>],
) -> Result<Option<ExtraBody>, Refusal> {
    for name in beyond.keys() {
        if let Some((_, instead)) = RESERVED_FIELDS.iter().find(|(ours, _)| ours == name) {
            return Err(Refusal::Invalid(format!("`{name}` is set by the daemon alone: {instead}")));
        }
        if CHAT_FIELDS.iter().chain(COMPLETION_FIELDS).any(|of_another| of_another == name) {
            return Err(Refusal::Invalid(not_a_field(name, known)));
        }
    }
    if beyond.get(TEMPLATE).is_some_and(Value::is_null) {
        beyond.remove(TEMPLATE);
    }
    let other = beyond.keys().find(|name| *name != TEMPLATE).or_else(|| beyond.keys().next());
    let other = other.map(|first| not_a_field(first, known));
    let mut refusal = None;
    for unserved in unserved {
        if let (Some(words), Some(value)) = (unserved.refusal(), unserved.value) {
            refusal.get_or_insert(words);
            beyond.insert(unserved.field.to_owned(), value.clone());
        }
    }
    let refusal = refusal.or(other);
    let template = match (beyond.get(TEMPLATE), beyond.len()) {
        (Some(Value::Object(arguments)), 1) => Some(Value::Object(arguments.clone()).to_string()),
        (Some(Value::Object(_)) | None, _) => None,
        (Some(other), _) => {
            let other = other.to_string();
            return Err(Refusal::Invalid(format!(
                "`{TEMPLATE}` is {}: an object with the template's own arguments would be right",
                shown(other.as_bytes())
            )));
        }
    };
    Ok(refusal.map(|refusal| ExtraBody { fields: Value::Object(beyond).to_string(), template, refusal }))
}

#[cfg(test)]
mod tests;
