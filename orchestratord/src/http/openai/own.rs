//! Fields that the contract does not know, and an attached engine that speaks the same endpoint may. They go to it
//! as they came, with the task; an engine that takes none refuses the first of them by its name.

use adapter_api::OwnFields;
use serde_json::{Map, Value};

use super::chat::CHAT_FIELDS;
use super::completions::COMPLETION_FIELDS;
use crate::backpressure::Refusal;
use crate::http::problem::not_a_field;

/// Fields of engines that would take an answer out of the daemon's hands, and what to send instead.
const OURS: [(&str, &str); 10] = [
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

/// What an engine is told of the fields in `beyond`, which an endpoint with the fields `known` does not know.
///
/// # Errors
/// [`Refusal::Invalid`] for one that is the daemon's own affair, or a field of another endpoint.
pub(super) fn fields(beyond: Map<String, Value>, known: &[&str]) -> Result<Option<OwnFields>, Refusal> {
    let Some(first) = beyond.keys().next() else { return Ok(None) };
    let refusal = not_a_field(first, known);
    for name in beyond.keys() {
        if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == name) {
            return Err(Refusal::Invalid(format!("`{name}` is set by the daemon alone: {instead}")));
        }
        if CHAT_FIELDS.iter().chain(COMPLETION_FIELDS).any(|of_another| of_another == name) {
            return Err(Refusal::Invalid(not_a_field(name, known)));
        }
    }
    Ok(Some(OwnFields { fields: Value::Object(beyond).to_string(), refusal }))
}

#[cfg(test)]
mod tests;
