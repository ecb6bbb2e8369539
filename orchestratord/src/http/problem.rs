//! JSON into a type, and what is wrong with it in words for whoever wrote it: which field, what it is, and
//! what would be right. The facts come from serde, whose own words speak of Rust.
//!
//! Rules: ORCH-TASK-4

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::shown;
use crate::backpressure::Refusal;

/// What is said of a field that is none.
pub(super) const NOT_A_FIELD: &str = "is not a field";

/// What is said of a field that has to be there.
pub(super) const IS_MISSING: &str = "is missing";

/// How unlike a known name may be to be suggested (Jaro–Winkler, 1 is the same).
const ALIKE: f64 = 0.8;

/// Reads `bytes` as JSON.
///
/// # Errors
/// [`Refusal::Invalid`] with the field or the place, and what would be right.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::Invalid(format!("the body is not UTF-8: byte {at} is {:#04x}", bytes[at]))
    })?;
    match text.trim_ascii_start().chars().next() {
        Some('{') => {}
        // Without this, an array of values in the order of the fields would be read as a request.
        Some(first) => {
            return Err(Refusal::Invalid(format!("the body begins with `{first}`: send a JSON object")));
        }
        None => return Err(Refusal::Invalid("the body is empty: send a JSON object".to_owned())),
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Refusal::Invalid(describe(&error.path().to_string(), error.inner())))?;
    json.end().map_err(|error| Refusal::Invalid(format!("something follows the JSON object: {error}")))?;
    Ok(value)
}

/// Reads a part of a request that was read as JSON before: the one at `field`.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_part<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => field.to_owned(),
            path if path.starts_with('[') => format!("{field}{path}"),
            path => format!("{field}.{path}"),
        };
        Refusal::Invalid(describe(&path, error.inner()))
    })
}

fn describe(parent: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    // What was read before has no place.
    let place = match error.line() {
        0 => String::new(),
        line => format!(" (line {line}, column {})", error.column()),
    };
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&suffix).unwrap_or(&text);
    let field = if parent == "." { "the body".to_owned() } else { format!("`{}`", shown(parent.as_bytes())) };
    // To serde a number too large for its type is a fault of the JSON; to its writer it is one of the value.
    if text == "number out of range" {
        return format!("{field} is too large a number: use one nearer to zero{place}");
    }
    if !error.is_data() {
        return format!("the body is not JSON: {text}{place}");
    }
    let within = |name: &str| match parent.trim_end_matches('?').trim_end_matches('.') {
        "" => format!("`{name}`"),
        parent => format!("`{parent}.{name}`"),
    };
    let told = if let Some((name, known)) = named(text, "unknown field ") {
        // The path may or may not end in the field itself.
        let path = if parent.ends_with(name) { field } else { within(&shown(name.as_bytes())) };
        format!("{path} {NOT_A_FIELD}{}", instead(name, known))
    } else if let Some((name, known)) = named(text, "unknown variant ") {
        format!("{field} is `{}`{}", shown(name.as_bytes()), instead(name, known))
    } else if let Some((name, _)) = named(text, "missing field ") {
        format!("{} {IS_MISSING}", within(name))
    } else if let Some((name, _)) = named(text, "duplicate field ") {
        format!("{} is there more than once: send it once", within(name))
    } else if let Some((is, right)) = mismatch(text) {
        format!("{field} is {}: use {}", shown(is.as_bytes()), in_words(right))
    } else {
        format!("{field}: {}", shown(text.as_bytes()))
    };
    format!("{told}{place}")
}

/// What is said of a field that is none, with the one among `known` that may have been meant.
pub(super) fn not_a_field(name: &str, known: &[&str]) -> String {
    format!("`{}` {NOT_A_FIELD}{}", shown(name.as_bytes()), instead(name, known.to_vec()))
}

/// The name in backticks after `what`, and the names that would have been right.
fn named<'t>(text: &'t str, what: &str) -> Option<(&'t str, Vec<&'t str>)> {
    let rest = text.strip_prefix(what)?.strip_prefix('`')?;
    // What was sent may itself hold a backtick, the known names do not.
    let (name, known) = match rest.rfind("`, ") {
        Some(_) => rest.split_once("`, expected ").or_else(|| rest.split_once("`, there are"))?,
        None => (rest.strip_suffix('`')?, ""),
    };
    Some((name, known.split('`').skip(1).step_by(2).collect()))
}

fn instead(name: &str, known: Vec<&str>) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let mut text = match nearest {
        Some((_, nearest)) => return format!(": did you mean `{nearest}`?"),
        None if known.is_empty() => return String::new(),
        None => ": use ".to_owned(),
    };
    for (i, known) in known.iter().enumerate() {
        let before = if i == 0 { "" } else { ", " };
        write!(text, "{before}`{known}`").expect("a string takes everything");
    }
    text
}

/// `invalid type: X, expected Y` as X and Y.
fn mismatch(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "))?;
    let at = rest.rfind(", expected ")?;
    Some((&rest[..at], &rest[at + ", expected ".len()..]))
}

/// What serde expects, for people who do not write Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number from 0 to 18446744073709551615",
        "i64" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        "a boolean" => "`true` or `false`",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests;
