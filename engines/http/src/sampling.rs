//! Sampling that an engine may not know. What is asked for and cannot be had is refused by name; the values
//! that stand in a request that asks for nothing are no wish, and leave the choice to the engine.
//!
//! Rules: ORCH-ENG-4

use generation::{GenerateRequest, KvHint};

use crate::fault::Fault;

/// `top_k` of a request that does not ask for one.
pub const DEFAULT_TOP_K: u32 = 40;

/// `min_p` of a request that does not ask for one.
pub const DEFAULT_MIN_P: f32 = 0.05;

/// Whether a `top_k` is a wish.
#[must_use]
pub fn asks_for_top_k(top_k: u32) -> bool {
    top_k != 0 && top_k != DEFAULT_TOP_K
}

/// Whether a `min_p` is a wish.
#[must_use]
pub fn asks_for_min_p(min_p: f32) -> bool {
    min_p != 0.0 && (min_p - DEFAULT_MIN_P).abs() > f32::EPSILON
}

/// The refusal of `field` with `value`, which `engine` cannot be asked for, and what would be right.
#[must_use]
pub fn refuse(engine: &str, field: &str, value: impl std::fmt::Display, instead: &str) -> Fault {
    Fault::Refused(format!("`{field}` is {value}, which {engine} cannot be asked for: {instead}"))
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
