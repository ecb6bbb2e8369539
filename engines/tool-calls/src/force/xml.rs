//! A JSON schema as a grammar of parameters that stand there as they are: a text up to the mark behind it,
//! anything else as JSON by its own schema.

use serde_json::{Map, Value};

use super::{literal, prefixed, text_of};
use crate::xml::is_text;

/// Rules with `prefix`, the first of them `root`.
///
/// # Errors
/// What `to_gbnf` says of a parameter's schema.
pub fn rules(
    schema: &Value,
    prefix: &str,
    to_gbnf: &mut impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut lines = vec![format!("{prefix}text ::= ([^<] | \"<\" [^/] | \"</\" [^pf])*")];
    let required = schema.get("required").and_then(Value::as_array);
    let mut root = String::new();
    for (at, (key, property)) in
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().enumerate()
    {
        let value = match texts_of(property) {
            Some(texts) => texts,
            None if is_text(property) && !has_form(property) => text_of(property, &format!("{prefix}text")),
            None if is_text(property) => {
                let own = format!("{prefix}p{at}-");
                let grammar = to_gbnf(&with_definitions(property, schema).to_string());
                let grammar = grammar.and_then(|grammar| unquoted(&grammar));
                lines.push(prefixed(&grammar.map_err(|why| format!("`{key}` {why}"))?, &own));
                format!("{own}root")
            }
            None => {
                let own = format!("{prefix}p{at}-");
                let grammar = to_gbnf(&with_definitions(property, schema).to_string());
                lines.push(prefixed(&grammar.map_err(|why| format!("`{key}` {why}"))?, &own));
                format!("{own}root")
            }
        };
        let (open, close) = (literal(&format!("<parameter={key}>\n")), literal("\n</parameter>\n"));
        let must = required.is_some_and(|required| required.iter().any(|name| name == key));
        root.push_str(&format!("({open} {value} {close}){} ", if must { "" } else { "?" }));
    }
    lines.push(format!("{prefix}root ::= {root}\"\""));
    Ok(lines.join("\n"))
}

/// Whether a text must have a form of its own.
fn has_form(schema: &Value) -> bool {
    ["pattern", "format"].iter().any(|key| schema.get(key).is_some())
}

/// The grammar of a JSON string as that of a text without quotes.
fn unquoted(grammar: &str) -> Result<String, String> {
    const QUOTE: &str = "\"\\\"\"";
    let bare = |line: &str| {
        let rule = line.strip_prefix("root ::= ")?.trim_end().trim_end_matches("space").trim_end();
        let inner = rule.strip_prefix(QUOTE)?.strip_suffix(QUOTE)?;
        (!inner.contains(QUOTE)).then(|| format!("root ::= {}", inner.trim()))
    };
    let mut lines: Vec<String> = grammar.lines().map(str::to_owned).collect();
    let root = lines.iter_mut().find_map(|line| bare(line).map(|bare| *line = bare));
    root.map(|()| lines.join("\n")).ok_or_else(|| {
        "has a form that a forced call cannot be held to in this model's format: leave out `pattern` or `format`"
            .to_owned()
    })
}

/// The texts of which it is one, where they are listed.
fn texts_of(schema: &Value) -> Option<String> {
    if let Some(text) = schema.get("const").and_then(Value::as_str) {
        return Some(literal(text));
    }
    let texts: Option<Vec<&str>> = schema.get("enum")?.as_array()?.iter().map(Value::as_str).collect();
    let texts: Vec<String> = texts?.into_iter().map(literal).collect();
    (!texts.is_empty()).then(|| format!("({})", texts.join(" | ")))
}

/// The schema of one parameter with what it may refer to.
fn with_definitions(property: &Value, schema: &Value) -> Value {
    let Value::Object(property) = property else { return property.clone() };
    let mut whole: Map<String, Value> = property.clone();
    for key in ["$defs", "definitions"] {
        if let Some(definitions) = schema.get(key) {
            whole.entry(key).or_insert_with(|| definitions.clone());
        }
    }
    Value::Object(whole)
}
