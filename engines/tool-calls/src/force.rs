//! A grammar (GBNF) that leaves a model nothing but calls: the frame of its family, the names of the tools,
//! and arguments held to each tool's schema.
//!
//! Rules: ORCH-ENG-10

use generation::{ToolChoice, Tools};
use serde_json::Value;

use crate::ToolFormat;

mod gemma;
mod xml;

/// The first rule of the grammar.
pub const ROOT: &str = "root";

/// Calls in one answer where it may hold several: an end for a model that finds none.
const MAX_CALLS: usize = 8;

/// The grammar of an answer that calls one of `tools`. Where there is an `otherwise`, a grammar of its own
/// with a rule `root`, the answer may be that instead. `to_gbnf` turns a JSON schema into such a grammar.
///
/// # Errors
/// The tool whose schema is wrong, and how.
pub fn force(
    format: ToolFormat,
    tools: &Tools,
    otherwise: Option<&str>,
    mut to_gbnf: impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut rules = Vec::new();
    let mut calls = Vec::new();
    for (at, tool) in tools.offered.iter().enumerate() {
        if matches!(&tools.choice, ToolChoice::Named(name) if *name != tool.name) {
            continue;
        }
        let schema = schema_of(tool.parameters.as_deref())
            .map_err(|why| format!("`tools[{at}].parameters` (`{}`) {why}", tool.name))?;
        let prefix = format!("t{at}-");
        let arguments = match format {
            ToolFormat::Gemma => Ok(gemma::rules(&schema, &prefix)),
            ToolFormat::QwenXml => xml::rules(&schema, &prefix, &mut to_gbnf),
            _ => to_gbnf(&schema.to_string()).map(|grammar| prefixed(&grammar, &prefix)),
        };
        rules.push(arguments.map_err(|why| format!("`tools[{at}].parameters` (`{}`): {why}", tool.name))?);
        let (before, after) = frame(format, &tool.name);
        rules.push(format!("call-{at} ::= {} {prefix}root {}", literal(&before), literal(after)));
        calls.push(format!("call-{at}"));
    }
    rules.push(format!("call ::= {}", calls.join(" | ")));
    let single = tools.single || matches!(tools.choice, ToolChoice::Named(_));
    rules.push(format!("calls ::= {}", list(format, if single { 1 } else { MAX_CALLS })));
    match otherwise {
        None => rules.push(format!("{ROOT} ::= calls")),
        Some(grammar) => {
            rules.push(prefixed(grammar, "answer-"));
            rules.push(format!("{ROOT} ::= calls | answer-root"));
        }
    }
    Ok(rules.join("\n"))
}

/// The grammar of a text that is in either of two.
#[must_use]
pub fn either(one: &str, other: &str) -> String {
    let (one, other) = (prefixed(one, "a-"), prefixed(other, "b-"));
    format!("{ROOT} ::= a-{ROOT} | b-{ROOT}\n{one}\n{other}")
}

/// What stands around the arguments of one call.
fn frame(format: ToolFormat, name: &str) -> (String, &'static str) {
    match format {
        ToolFormat::Hermes => {
            (format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": "), "}\n</tool_call>")
        }
        ToolFormat::QwenXml => (format!("<tool_call>\n<function={name}>\n"), "</function>\n</tool_call>"),
        ToolFormat::Gemma => (format!("<start_function_call>call:{name}"), "<end_function_call>"),
    }
}

/// Up to `most` calls.
fn list(format: ToolFormat, most: usize) -> String {
    let more = |between: &str| match most - 1 {
        0 => String::new(),
        more => format!(" ({between} call){{0,{more}}}"),
    };
    match format {
        ToolFormat::Hermes | ToolFormat::QwenXml => format!("call{}", more(&literal("\n"))),
        ToolFormat::Gemma => format!("call{}", more("")),
    }
}

/// The schema of a tool's arguments, which are an object whatever else it says.
fn schema_of(text: Option<&str>) -> Result<Value, &'static str> {
    let Some(text) = text else { return Ok(serde_json::json!({ "type": "object", "properties": {} })) };
    let schema = serde_json::from_str::<Value>(text);
    let Ok(Value::Object(mut schema)) = schema else {
        return Err("is not a JSON schema: it should be an object");
    };
    let says_already = ["type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum"];
    if !says_already.iter().any(|key| schema.contains_key(*key)) {
        schema.insert("type".to_owned(), Value::from("object"));
    }
    Ok(Value::Object(schema))
}

/// The longest text whose letters a grammar counts.
const COUNTED: u64 = 1000;

/// A text of the lengths that its schema allows, where `uncounted` is the rule of one that may be of any. One
/// that is counted holds no `<`: what follows a `<` tells whether it ends the text, and a grammar that has to
/// look at two letters cannot count them as one.
fn text_of(schema: &Value, uncounted: &str) -> String {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64).filter(|bound| *bound <= COUNTED);
    match (bound("minLength").unwrap_or(0), bound("maxLength")) {
        (least, Some(most)) => format!("[^<]{{{},{most}}}", least.min(most)),
        (0, None) => uncounted.to_owned(),
        (least, None) => format!("[^<]{{{least}}} {uncounted}"),
    }
}

/// A text as GBNF writes it.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// The grammar with `prefix` before the name of each rule, so that several grammars can stand together.
fn prefixed(grammar: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(grammar.len() * 2);
    let mut letters = grammar.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '[' | '#' => {
                let end = match letter {
                    '[' => ']',
                    '#' => '\n',
                    quote => quote,
                };
                out.push(letter);
                while let Some(letter) = letters.next() {
                    out.push(letter);
                    if letter == '\\' {
                        out.extend(letters.next());
                    } else if letter == end {
                        break;
                    }
                }
            }
            letter if letter.is_ascii_alphabetic() => {
                out.push_str(prefix);
                out.push(letter);
                let goes_on = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
                while let Some(letter) = letters.next_if(goes_on) {
                    out.push(letter);
                }
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests;
