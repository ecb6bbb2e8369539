//! Sampling that an engine may not know: what is asked for and cannot be had is refused by name.
//!
//! Rules: ORCH-ENG-4

use generation::{GenerateRequest, KvHint, SamplingParams};

use crate::fault::Fault;

/// Refuses what of `params` would change the answer and is neither common nor `served` by `engine`.
///
/// # Errors
/// [`Fault::Refused`] naming the field.
pub fn refuse_uncommon(engine: &str, params: &SamplingParams, served: &[&str]) -> Result<(), Fault> {
    match params.uncommon().into_iter().find(|(name, _)| !served.contains(name)) {
        Some((name, value)) => Err(refuse(engine, &format!("sampling.{name}"), value, "leave it out")),
        None => Ok(()),
    }
}

/// The refusal of `field` with `value`, which `engine` cannot be asked for, and what would be right.
#[must_use]
pub fn refuse(engine: &str, field: &str, value: impl std::fmt::Display, instead: &str) -> Fault {
    Fault::Refused(format!("`{field}` is {value}, which {engine} cannot be asked for: {instead}"))
}

/// What an engine says of a gap that it does not fill. Its abilities keep such jobs away from it.
#[must_use]
pub fn no_infill() -> Fault {
    Fault::Refused(
        "`suffix` asks for the text of a gap, which this engine does not fill: leave it out".to_owned(),
    )
}

/// Refuses a job that is to share no cache with others, for an engine that cannot be asked for it.
///
/// # Errors
/// [`Fault::Refused`] naming the field.
pub fn refuse_private_cache(engine: &str, job: &GenerateRequest) -> Result<(), Fault> {
    match job.kv {
        KvHint::Reuse => Ok(()),
        KvHint::None => Err(refuse(engine, "kv_hint", "`none`", "leave it out")),
    }
}

#[cfg(test)]
mod tests;
