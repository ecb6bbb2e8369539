//! How tokens are chosen: what the request says, before what its profile says, before the defaults.
//!
//! Rules: ORCH-TASK-5, ORCH-TASK-10

use std::collections::{BTreeMap, BTreeSet};

use api_types as wire;
use api_types::limits::logit_bias::BIAS;
use api_types::limits::{sampling as limits, task_request};
use config_schema::SamplerProfile;
use generation::{Constraint, LogitBias, Sampling};

use super::check::{above, chars, count, no_nul, within};
use super::{invalid, shown};
use crate::backpressure::Refusal;

/// The profile that is always there: the defaults of the contract.
const DEFAULT_PROFILE: &str = "1";

/// The bias that bans a token instead of making it unlikely.
const BAN: f32 = *BIAS.start();

/// Checks what the request says and fills in the rest.
pub(super) fn resolve(
    asked: wire::Sampling,
    profile: Option<&str>,
    profiles: &BTreeMap<String, SamplerProfile>,
) -> Result<Sampling, Refusal> {
    let nothing = SamplerProfile::default();
    let profile = match profile {
        None => &nothing,
        Some(name) => match checked(name).map(|()| profiles.get(name))? {
            Some(profile) => profile,
            None if name == DEFAULT_PROFILE => &nothing,
            None => return Err(unknown_profile(name, profiles)),
        },
    };
    let temperature = within("sampling.temperature", asked.temperature, limits::TEMPERATURE)?;
    let top_p = above("sampling.top_p", asked.top_p, limits::TOP_P_ABOVE, limits::TOP_P_MOST)?;
    let top_k = within("sampling.top_k", asked.top_k, limits::TOP_K)?;
    let min_p = within("sampling.min_p", asked.min_p, limits::MIN_P)?;
    let penalty = above(
        "sampling.repeat_penalty",
        asked.repeat_penalty,
        limits::REPEAT_PENALTY_ABOVE,
        limits::REPEAT_PENALTY_MOST,
    )?;
    let last_n = within("sampling.repeat_last_n", asked.repeat_last_n, limits::REPEAT_LAST_N)?;
    Ok(Sampling {
        temperature: temperature.or(profile.temperature).unwrap_or(limits::TEMPERATURE_DEFAULT),
        top_p: top_p.or(profile.top_p).unwrap_or(limits::TOP_P_DEFAULT),
        top_k: top_k.or(profile.top_k).unwrap_or(limits::TOP_K_DEFAULT),
        min_p: min_p.or(profile.min_p).unwrap_or(limits::MIN_P_DEFAULT),
        repeat_penalty: penalty.or(profile.repeat_penalty).unwrap_or(limits::REPEAT_PENALTY_DEFAULT),
        repeat_last_n: last_n.or(profile.repeat_last_n).unwrap_or(limits::REPEAT_LAST_N_DEFAULT),
        stop: stops(asked.stop.unwrap_or_default())?,
        logit_bias: biases(asked.logit_bias.unwrap_or_default())?,
        constraint: constraint(asked.grammar, asked.json_schema)?,
    })
}

fn checked(profile: &str) -> Result<(), Refusal> {
    chars("sampler_profile_version", profile, task_request::SAMPLER_PROFILE_VERSION_CHARS)
}

fn unknown_profile(name: &str, profiles: &BTreeMap<String, SamplerProfile>) -> Refusal {
    let known = std::iter::once(DEFAULT_PROFILE).chain(profiles.keys().map(String::as_str));
    let mut known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    known.dedup();
    let name = shown(name.as_bytes());
    invalid(&format!("`sampler_profile_version` is `{name}`: the config has {}", known.join(", ")))
}

fn stops(stops: Vec<String>) -> Result<Vec<String>, Refusal> {
    count("sampling.stop", stops.len(), limits::STOP_ITEMS)?;
    for (i, stop) in stops.iter().enumerate() {
        let field = format!("sampling.stop[{i}]");
        chars(&field, stop, limits::STOP_ITEM_CHARS)?;
        no_nul(|| &field, stop)?;
    }
    Ok(stops)
}

fn biases(biases: Vec<wire::LogitBias>) -> Result<Vec<LogitBias>, Refusal> {
    count("sampling.logit_bias", biases.len(), limits::LOGIT_BIAS_ITEMS)?;
    let mut seen = BTreeSet::new();
    let mut resolved = Vec::with_capacity(biases.len());
    for (i, wire::LogitBias { token, bias }) in biases.into_iter().enumerate() {
        within(&format!("sampling.logit_bias[{i}].token"), Some(token), 0..=i32::MAX)?;
        within(&format!("sampling.logit_bias[{i}].bias"), Some(bias), BIAS)?;
        if !seen.insert(token) {
            return Err(invalid(&format!(
                "`sampling.logit_bias[{i}].token` is {token}, which is there already: name each token once"
            )));
        }
        resolved.push(LogitBias { token, bias: if bias <= BAN { f32::NEG_INFINITY } else { bias } });
    }
    Ok(resolved)
}

/// Bytes of the largest schema, as JSON: what the engine takes. A task keeps it while it waits.
const JSON_SCHEMA_BYTES: usize = 128 * 1024;

fn constraint(
    grammar: Option<String>,
    json_schema: Option<serde_json::Map<String, serde_json::Value>>,
) -> Result<Option<Constraint>, Refusal> {
    match (grammar, json_schema) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid(
            "`sampling.grammar` and `sampling.json_schema` are there together: send at most one of them",
        )),
        (Some(grammar), None) => {
            chars("sampling.grammar", &grammar, limits::GRAMMAR_CHARS)?;
            no_nul(|| "sampling.grammar", &grammar)?;
            Ok(Some(Constraint::Grammar(grammar)))
        }
        (None, Some(schema)) => {
            let text = serde_json::to_string(&schema).expect("what was read as JSON can be written as JSON");
            if text.len() > JSON_SCHEMA_BYTES {
                return Err(invalid(&format!(
                    "`sampling.json_schema` has {} bytes as JSON: at most {JSON_SCHEMA_BYTES} are taken",
                    text.len()
                )));
            }
            Ok(Some(Constraint::JsonSchema(text)))
        }
    }
}
