//! What an event says beside what is read here: fields of the engine's own. One that is null says nothing: vLLM has some
//! around every token.
//!
//! Rules: ORCH-OAI-16

use std::collections::BTreeMap;
use std::sync::Arc;

use generation::ExtraFields;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What is the daemon's to say, or is read and said by it.
const CHUNK: [&str; 8] = ["id", "object", "created", "model", "choices", "usage", "service_tier", "error"];
const CHOICE: [&str; 6] = ["index", "delta", "text", "message", "finish_reason", "logprobs"];
const DELTA: [&str; 5] = ["role", "content", "reasoning_content", "reasoning", "tool_calls"];

type Fields<'e> = BTreeMap<String, &'e RawValue>;

/// The other fields of an event; nothing where it has none.
pub(super) fn fields(event: &[u8]) -> Option<Arc<ExtraFields>> {
    let chunk: Fields<'_> = serde_json::from_slice(event).ok()?;
    let choices: Vec<Fields<'_>> = inside(&chunk, "choices").unwrap_or_default();
    let choice = choices.into_iter().next().unwrap_or_default();
    let delta: Fields<'_> = inside(&choice, "delta").unwrap_or_default();
    let extra = ExtraFields {
        chunk: beyond(chunk, &CHUNK),
        choice: beyond(choice, &CHOICE),
        delta: beyond(delta, &DELTA),
    };
    (!extra.is_empty()).then(|| Arc::new(extra))
}

fn inside<'e, T: serde::Deserialize<'e>>(fields: &Fields<'e>, name: &str) -> Option<T> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

fn beyond(fields: Fields<'_>, known: &[&str]) -> Map<String, Value> {
    let others =
        fields.into_iter().filter(|(name, value)| value.get() != "null" && !known.contains(&name.as_str()));
    others.filter_map(|(name, value)| Some((name, serde_json::from_str(value.get()).ok()?))).collect()
}
