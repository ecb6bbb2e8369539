//! The checks that fields share, each with a message that names the field, its value and what would be
//! right.
//!
//! Rules: ORCH-TASK-3, ORCH-TASK-5, ORCH-TASK-8

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::shown;
use crate::backpressure::Refusal;

/// A number within its limits. One that is not a number at all is within none.
pub(in crate::http) fn within<N>(
    field: &str,
    value: Option<N>,
    limits: RangeInclusive<N>,
) -> Result<Option<N>, Refusal>
where
    N: PartialOrd + Display + Copy,
{
    match value {
        Some(value) if !limits.contains(&value) => {
            Err(Refusal::Invalid(format!("`{field}` is {value}: use {} to {}", limits.start(), limits.end())))
        }
        fine => Ok(fine),
    }
}

/// A number more than `floor`, up to `most`.
pub(super) fn above(field: &str, value: Option<f32>, floor: f32, most: f32) -> Result<Option<f32>, Refusal> {
    match value {
        Some(value) if !(value > floor && value <= most) => {
            Err(Refusal::Invalid(format!("`{field}` is {value}: use more than {floor}, up to {most}")))
        }
        fine => Ok(fine),
    }
}

/// A list that is neither empty nor too long.
pub(in crate::http) fn count(field: &str, len: usize, limits: RangeInclusive<usize>) -> Result<(), Refusal> {
    if limits.contains(&len) {
        return Ok(());
    }
    let (least, most) = limits.into_inner();
    Err(Refusal::Invalid(if len < least {
        format!("`{field}` is empty: send at least {least}")
    } else {
        format!("`{field}` has {len} entries: send at most {most}")
    }))
}

/// A text with something in it.
pub(in crate::http) fn not_empty(field: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::Invalid(format!("`{field}` is empty: send at least one character")));
    }
    Ok(())
}

/// A text that is neither empty nor too long, in characters.
pub(in crate::http) fn chars(field: &str, text: &str, limits: RangeInclusive<usize>) -> Result<(), Refusal> {
    let most = *limits.end();
    // Bytes are no fewer than characters, and known at once.
    if text.len() > most {
        let chars = text.chars().count();
        if chars > most {
            return Err(Refusal::Invalid(format!(
                "`{field}` has {chars} characters (`{}`): use at most {most}",
                shown(text.as_bytes())
            )));
        }
    }
    if *limits.start() > 0 { not_empty(field, text) } else { Ok(()) }
}

/// A text without NUL characters: engines take text that ends at one. The field is named only where there is one.
pub(in crate::http) fn no_nul<F: Display>(field: impl FnOnce() -> F, text: &str) -> Result<(), Refusal> {
    match text.bytes().position(|byte| byte == 0) {
        None => Ok(()),
        Some(at) => {
            Err(Refusal::Invalid(format!("`{}` holds a NUL character at byte {at}: leave it out", field())))
        }
    }
}
