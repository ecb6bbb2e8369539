//! How tokens are chosen: what the request says, before what its profile says. What neither says is left to the pool,
//! the model and the engine.
//!
//! Rules: ORCH-TASK-5, ORCH-TASK-10

use std::collections::{BTreeMap, BTreeSet};

use api_types as wire;
use api_types::limits::logit_bias::{BIAS, TEXT_CHARS};
use api_types::limits::{sampling as limits, task_request};
use config_schema::SamplerProfile;
use generation::{Constraint, LogitBias, Sampling, SamplingParams, TextBias};

use super::check::{above, chars, count, no_nul, within};
use super::{invalid, shown};
use crate::backpressure::Refusal;
use crate::pool_defaults::sampling_of;

/// The profile that is always there: the defaults of the contract, whatever the pool or the model has.
const DEFAULT_PROFILE: &str = "1";

/// The bias that bans a token instead of making it unlikely.
const BAN: f32 = *BIAS.start();

/// The sampling of the data plane, as it is asked for.
///
/// # Errors
/// [`Refusal::Invalid`] for two constraints at once.
pub(super) fn of_wire(asked: wire::Sampling) -> Result<Sampling, Refusal> {
    let (logit_bias, text_bias) = biases_of_wire(asked.logit_bias.unwrap_or_default())?;
    Ok(Sampling {
        params: SamplingParams {
            temperature: asked.temperature,
            top_p: asked.top_p,
            top_k: asked.top_k,
            min_p: asked.min_p,
            repeat_penalty: asked.repeat_penalty,
            repeat_last_n: asked.repeat_last_n,
            presence_penalty: asked.presence_penalty,
            frequency_penalty: asked.frequency_penalty,
            typical_p: asked.typical_p,
            xtc_probability: asked.xtc_probability,
            xtc_threshold: asked.xtc_threshold,
            dry_multiplier: asked.dry_multiplier,
            dry_base: asked.dry_base,
            dry_allowed_length: asked.dry_allowed_length,
            dry_penalty_last_n: asked.dry_penalty_last_n,
            dry_sequence_breakers: asked.dry_sequence_breakers,
        },
        stop: asked.stop.unwrap_or_default(),
        logit_bias,
        text_bias,
        constraint: constraint(
            ("sampling.grammar", "sampling.json_schema"),
            asked.grammar,
            asked.json_schema,
        )?,
    })
}

/// The biases of tokens and those of texts.
fn biases_of_wire(asked: Vec<wire::LogitBias>) -> Result<(Vec<LogitBias>, Vec<TextBias>), Refusal> {
    let (mut of_tokens, mut of_texts) = (Vec::new(), Vec::new());
    for (i, wire::LogitBias { token, text, bias }) in asked.into_iter().enumerate() {
        match (token, text) {
            (Some(token), None) => of_tokens.push(LogitBias { token, bias }),
            (None, Some(text)) => of_texts.push(TextBias { text, bias }),
            (None, None) | (Some(_), Some(_)) => {
                return Err(invalid(&format!(
                    "`sampling.logit_bias[{i}]` needs `token` or `text`: send exactly one of them"
                )));
            }
        }
    }
    Ok((of_tokens, of_texts))
}

/// What the profile of this name says.
///
/// # Errors
/// [`Refusal::Invalid`] for one that is not there, with those that are.
pub(super) fn profile(
    name: &str,
    profiles: &BTreeMap<String, SamplerProfile>,
) -> Result<SamplingParams, Refusal> {
    checked(name)?;
    match profiles.get(name) {
        Some(profile) => Ok(sampling_of(profile)),
        None if name == DEFAULT_PROFILE => Ok(SamplingParams::BUILTIN),
        None => Err(unknown_profile(name, profiles)),
    }
}

/// Checks what is asked for, whichever plane asks, and makes bans of the least biases.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn check(sampling: &mut Sampling) -> Result<(), Refusal> {
    let params = &sampling.params;
    within("sampling.temperature", params.temperature, limits::TEMPERATURE)?;
    above("sampling.top_p", params.top_p, limits::TOP_P_ABOVE, limits::TOP_P_MOST)?;
    within("sampling.top_k", params.top_k, limits::TOP_K)?;
    within("sampling.min_p", params.min_p, limits::MIN_P)?;
    above(
        "sampling.repeat_penalty",
        params.repeat_penalty,
        limits::REPEAT_PENALTY_ABOVE,
        limits::REPEAT_PENALTY_MOST,
    )?;
    within("sampling.repeat_last_n", params.repeat_last_n, limits::REPEAT_LAST_N)?;
    check_uncommon(params)?;
    check_stops(&sampling.stop)?;
    check_biases(&mut sampling.logit_bias)?;
    check_text_biases(&mut sampling.text_bias)?;
    match &sampling.constraint {
        Some(Constraint::Grammar(grammar)) => {
            chars("sampling.grammar", grammar, limits::GRAMMAR_CHARS)?;
            no_nul(|| "sampling.grammar", grammar)
        }
        Some(Constraint::JsonSchema(text)) if text.len() > JSON_SCHEMA_BYTES => Err(invalid(&format!(
            "`sampling.json_schema` has {} bytes as JSON: at most {JSON_SCHEMA_BYTES} are taken",
            text.len()
        ))),
        Some(Constraint::JsonSchema(_)) | None => Ok(()),
    }
}

/// Penalties and what leaves out or punishes tokens beyond them.
fn check_uncommon(params: &SamplingParams) -> Result<(), Refusal> {
    within("sampling.presence_penalty", params.presence_penalty, limits::PRESENCE_PENALTY)?;
    within("sampling.frequency_penalty", params.frequency_penalty, limits::FREQUENCY_PENALTY)?;
    above("sampling.typical_p", params.typical_p, limits::TYPICAL_P_ABOVE, limits::TYPICAL_P_MOST)?;
    within("sampling.xtc_probability", params.xtc_probability, limits::XTC_PROBABILITY)?;
    within("sampling.xtc_threshold", params.xtc_threshold, limits::XTC_THRESHOLD)?;
    within("sampling.dry_multiplier", params.dry_multiplier, limits::DRY_MULTIPLIER)?;
    within("sampling.dry_base", params.dry_base, limits::DRY_BASE)?;
    within("sampling.dry_allowed_length", params.dry_allowed_length, limits::DRY_ALLOWED_LENGTH)?;
    within("sampling.dry_penalty_last_n", params.dry_penalty_last_n, limits::DRY_PENALTY_LAST_N)?;
    let breakers = params.dry_sequence_breakers.as_deref().unwrap_or_default();
    count("sampling.dry_sequence_breakers", breakers.len(), limits::DRY_SEQUENCE_BREAKERS_ITEMS)?;
    for (i, text) in breakers.iter().enumerate() {
        let field = format!("sampling.dry_sequence_breakers[{i}]");
        chars(&field, text, limits::DRY_SEQUENCE_BREAKERS_ITEM_CHARS)?;
        no_nul(|| &field, text)?;
    }
    Ok(())
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

fn check_stops(stops: &[String]) -> Result<(), Refusal> {
    count("sampling.stop", stops.len(), limits::STOP_ITEMS)?;
    for (i, stop) in stops.iter().enumerate() {
        let field = format!("sampling.stop[{i}]");
        chars(&field, stop, limits::STOP_ITEM_CHARS)?;
        no_nul(|| &field, stop)?;
    }
    Ok(())
}

fn check_biases(biases: &mut [LogitBias]) -> Result<(), Refusal> {
    count("sampling.logit_bias", biases.len(), limits::LOGIT_BIAS_ITEMS)?;
    let mut seen = BTreeSet::new();
    for (i, LogitBias { token, bias }) in biases.iter_mut().enumerate() {
        within(&format!("sampling.logit_bias[{i}].token"), Some(*token), 0..=i32::MAX)?;
        within(&format!("sampling.logit_bias[{i}].bias"), Some(*bias), BIAS)?;
        if !seen.insert(*token) {
            return Err(invalid(&format!(
                "`sampling.logit_bias[{i}].token` is {token}, which is there already: name each token once"
            )));
        }
        if *bias <= BAN {
            *bias = f32::NEG_INFINITY;
        }
    }
    Ok(())
}

fn check_text_biases(biases: &mut [TextBias]) -> Result<(), Refusal> {
    count("sampling.logit_bias", biases.len(), limits::LOGIT_BIAS_ITEMS)?;
    for TextBias { text, bias } in biases.iter_mut() {
        let field = format!("sampling.logit_bias[{}]", shown(text.as_bytes()));
        chars(&field, text, TEXT_CHARS)?;
        no_nul(|| &field, text)?;
        within(&field, Some(*bias), BIAS)?;
        if *bias <= BAN {
            *bias = f32::NEG_INFINITY;
        }
    }
    Ok(())
}

/// Bytes of the largest schema, as JSON: what the engine takes. A task keeps it while it waits.
const JSON_SCHEMA_BYTES: usize = 128 * 1024;

/// The form that an answer must have, where one is asked for in these fields.
///
/// # Errors
/// [`Refusal::Invalid`] for two at once.
pub(in crate::http) fn constraint(
    (of_grammar, of_schema): (&str, &str),
    grammar: Option<String>,
    json_schema: Option<serde_json::Map<String, serde_json::Value>>,
) -> Result<Option<Constraint>, Refusal> {
    match (grammar, json_schema) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid(&format!(
            "`{of_grammar}` and `{of_schema}` are there together: send at most one of them"
        ))),
        (Some(grammar), None) => Ok(Some(Constraint::Grammar(grammar))),
        (None, Some(schema)) => {
            let text = serde_json::to_string(&schema).expect("what was read as JSON can be written as JSON");
            Ok(Some(Constraint::JsonSchema(text)))
        }
    }
}
