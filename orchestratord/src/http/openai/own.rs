//! Fields that the contract does not know, and an attached engine that speaks the same endpoint may. They go to it
//! as they came, with the task; an engine that takes none refuses the first of them by its name.

use adapter_api::OwnFields;
use serde_json::{Map, Value};

use super::chat::CHAT_FIELDS;
use super::completions::COMPLETION_FIELDS;
use crate::backpressure::Refusal;
use crate::http::problem::not_a_field;

/// Fields of engines that would take an answer out of the daemon's hands, and what to send instead.
const OURS: [(&str, &str); 9] = [
    ("n_predict", "use `max_tokens`"),
    ("max_new_tokens", "use `max_tokens`"),
    ("n_cmpl", "use `n`"),
    ("n_probs", "use `logprobs`"),
    ("post_sampling_probs", "leave it out"),
    ("return_tokens", "leave it out"),
    ("response_fields", "leave it out"),
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
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(beyond: Value) -> Result<Option<OwnFields>, String> {
        let Value::Object(beyond) = beyond else { panic!("an object") };
        fields(beyond, CHAT_FIELDS).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_nobody_knows_goes_on_with_what_is_said_where_no_engine_takes_it() {
        assert_eq!(asked(json!({})), Ok(None));
        let own =
            asked(json!({"tempreature": 1, "top_a": {"b": [1.5, null]}})).expect("taken").expect("some");
        assert_eq!(own.fields, r#"{"tempreature":1,"top_a":{"b":[1.5,null]}}"#);
        assert_eq!(own.refusal, "`tempreature` is not a field: did you mean `temperature`?");
    }

    #[test]
    fn what_is_the_daemons_own_affair_or_of_another_endpoint_is_refused_by_name() {
        for (name, words) in [
            ("n_predict", "`n_predict` is set by the daemon alone: use `max_tokens`"),
            ("response_fields", "`response_fields` is set by the daemon alone"),
            ("prompt", "`prompt` is not a field"),
            ("echo", "`echo` is not a field"),
        ] {
            let refused = asked(json!({name: 1, "aaa": 1})).expect_err("refused");
            assert!(refused.starts_with(words), "{refused}");
        }
    }
}
