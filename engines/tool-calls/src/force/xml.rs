//! A call's arguments as parameters: a text up to the mark behind it, anything else as JSON.

use constrained_decoding::schema::{BareTexts, Elements, Fault, Unsupported, elements_to_gbnf};
use serde_json::Value;

use crate::xml::{END, PARAMETER, PARAMETER_END, may_be};

const ELEMENTS: Elements = Elements { open: PARAMETER, between: ">\n", close: "\n</parameter>\n" };

/// The grammar of arguments of `schema`.
///
/// # Errors
/// What of the schema cannot be kept.
pub fn elements(schema: &Value, unsupported: Unsupported) -> Result<String, Fault> {
    // What is read as a text is written as one.
    let is_text = |name: &str| may_be(schema.get("properties").and_then(|it| it.get(name)), "string");
    let texts = BareTexts { ends: &[PARAMETER_END, END], are_bare: &is_text };
    elements_to_gbnf(schema, ELEMENTS, texts, unsupported)
}
