//! How tokens are chosen: what the request says, before what its profile says, before the defaults.

use std::collections::{BTreeMap, BTreeSet};

use adapter_api::{Constraint, LogitBias, Sampling};
use api_types as wire;
use config_schema::SamplerProfile;

use super::check::{above_zero, at_most_chars, count, no_nul, not_empty, within};
use super::{invalid, shown};
use crate::backpressure::Refusal;

/// Limits and defaults of `sampling`, as `contracts/openapi/data.yaml` states them.
mod limits {
    use std::ops::RangeInclusive;

    pub(super) const TEMPERATURE: RangeInclusive<f32> = 0.0..=5.0;
    pub(super) const TOP_P_MOST: f32 = 1.0;
    pub(super) const TOP_K: RangeInclusive<u32> = 0..=1_000_000;
    pub(super) const MIN_P: RangeInclusive<f32> = 0.0..=1.0;
    pub(super) const REPEAT_PENALTY_MOST: f32 = 10.0;
    pub(super) const REPEAT_LAST_N: RangeInclusive<u32> = 0..=65_536;
    pub(super) const STOPS: RangeInclusive<usize> = 0..=16;
    pub(super) const STOP_CHARS: usize = 256;
    pub(super) const GRAMMAR_CHARS: usize = 65_536;
    pub(super) const LOGIT_BIASES: RangeInclusive<usize> = 0..=1024;
    pub(super) const BIAS: RangeInclusive<f32> = -100.0..=100.0;
    pub(super) const PROFILE_CHARS: usize = 64;
}

/// The profile that is always there: the defaults of the contract.
const DEFAULT_PROFILE: &str = "1";

/// The bias that bans a token instead of making it unlikely.
const BAN: f32 = *limits::BIAS.start();

/// The values of profile [`DEFAULT_PROFILE`].
const DEFAULTS: Defaults = Defaults {
    temperature: 0.8,
    top_p: 0.95,
    top_k: 40,
    min_p: 0.05,
    repeat_penalty: 1.0,
    repeat_last_n: 64,
};

struct Defaults {
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    repeat_penalty: f32,
    repeat_last_n: u32,
}

/// Checks what the request says and fills in the rest.
pub(super) fn resolve(
    asked: wire::Sampling,
    profile: Option<&str>,
    profiles: &BTreeMap<String, SamplerProfile>,
) -> Result<Sampling, Refusal> {
    let nothing = SamplerProfile::default();
    let profile = match profile {
        None => &nothing,
        Some(name) => match profiles.get(name) {
            Some(profile) => profile,
            None if name == DEFAULT_PROFILE => &nothing,
            None => return Err(unknown_profile(name, profiles)),
        },
    };
    let temperature = within("sampling.temperature", asked.temperature, limits::TEMPERATURE)?;
    let top_p = above_zero("sampling.top_p", asked.top_p, limits::TOP_P_MOST)?;
    let top_k = within("sampling.top_k", asked.top_k, limits::TOP_K)?;
    let min_p = within("sampling.min_p", asked.min_p, limits::MIN_P)?;
    let penalty = above_zero("sampling.repeat_penalty", asked.repeat_penalty, limits::REPEAT_PENALTY_MOST)?;
    let last_n = within("sampling.repeat_last_n", asked.repeat_last_n, limits::REPEAT_LAST_N)?;
    Ok(Sampling {
        temperature: temperature.or(profile.temperature).unwrap_or(DEFAULTS.temperature),
        top_p: top_p.or(profile.top_p).unwrap_or(DEFAULTS.top_p),
        top_k: top_k.or(profile.top_k).unwrap_or(DEFAULTS.top_k),
        min_p: min_p.or(profile.min_p).unwrap_or(DEFAULTS.min_p),
        repeat_penalty: penalty.or(profile.repeat_penalty).unwrap_or(DEFAULTS.repeat_penalty),
        repeat_last_n: last_n.or(profile.repeat_last_n).unwrap_or(DEFAULTS.repeat_last_n),
        stop: stops(asked.stop.unwrap_or_default())?,
        logit_bias: biases(asked.logit_bias.unwrap_or_default())?,
        constraint: constraint(asked.grammar, asked.json_schema)?,
    })
}

fn unknown_profile(name: &str, profiles: &BTreeMap<String, SamplerProfile>) -> Refusal {
    let known = std::iter::once(DEFAULT_PROFILE).chain(profiles.keys().map(String::as_str));
    let mut known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    known.dedup();
    let name =
        if name.chars().count() <= limits::PROFILE_CHARS { name.to_owned() } else { shown(name.as_bytes()) };
    invalid(&format!("`sampler_profile_version` is `{name}`: the config has {}", known.join(", ")))
}

fn stops(stops: Vec<String>) -> Result<Vec<String>, Refusal> {
    count("sampling.stop", stops.len(), limits::STOPS)?;
    for (i, stop) in stops.iter().enumerate() {
        let field = format!("sampling.stop[{i}]");
        not_empty(&field, stop)?;
        at_most_chars(&field, stop, limits::STOP_CHARS)?;
        no_nul(&field, stop)?;
    }
    Ok(stops)
}

fn biases(biases: Vec<wire::LogitBias>) -> Result<Vec<LogitBias>, Refusal> {
    count("sampling.logit_bias", biases.len(), limits::LOGIT_BIASES)?;
    let mut seen = BTreeSet::new();
    let mut resolved = Vec::with_capacity(biases.len());
    for (i, wire::LogitBias { token, bias }) in biases.into_iter().enumerate() {
        within(&format!("sampling.logit_bias[{i}].token"), Some(token), 0..=i32::MAX)?;
        within(&format!("sampling.logit_bias[{i}].bias"), Some(bias), limits::BIAS)?;
        if !seen.insert(token) {
            return Err(invalid(&format!(
                "`sampling.logit_bias[{i}].token` is {token}, which is there already: name each token once"
            )));
        }
        resolved.push(LogitBias { token, bias: if bias <= BAN { f32::NEG_INFINITY } else { bias } });
    }
    Ok(resolved)
}

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
            not_empty("sampling.grammar", &grammar)?;
            at_most_chars("sampling.grammar", &grammar, limits::GRAMMAR_CHARS)?;
            no_nul("sampling.grammar", &grammar)?;
            Ok(Some(Constraint::Grammar(grammar)))
        }
        (None, Some(schema)) => {
            let text = serde_json::to_string(&schema).expect("what was read as JSON can be written as JSON");
            Ok(Some(Constraint::JsonSchema(text)))
        }
    }
}
