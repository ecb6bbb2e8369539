//! `keep_alive` of a request, in the forms that Ollama takes: seconds as a number, or a duration as Go writes it.
//!
//! Rules: ORCH-MODEL-15

use std::time::Duration;

use orchestrator_core::KeepAlive;
use serde_json::Value;

use super::answer::shown;
use crate::backpressure::Refusal;

/// A longer stay is one without end.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The units of a duration, the longer names first.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
];

/// Reads the field, where the request has it.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn read(value: Option<&Value>) -> Result<Option<KeepAlive>, Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => seconds_of(text),
        _ => None,
    };
    let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) else {
        return Err(Refusal::Invalid(format!(
            "`keep_alive` is {}, which is no duration: use seconds (300), a text with units (`5m`, `1h30m`), 0 to unload the \
             model when it is idle, or a negative number to keep it loaded",
            shown(value.to_string().as_bytes())
        )));
    };
    if seconds < 0.0 {
        return Ok(Some(KeepAlive::Forever));
    }
    let stay = Duration::try_from_secs_f64(seconds).ok().filter(|stay| *stay <= LONGEST);
    Ok(Some(stay.map_or(KeepAlive::Forever, KeepAlive::For)))
}

/// Seconds of a text: a number, or numbers with units behind each other.
fn seconds_of(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty()).then_some(sign * seconds)
}

#[cfg(test)]
mod tests;
