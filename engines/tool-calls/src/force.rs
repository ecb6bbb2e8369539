//! A grammar (GBNF) that leaves a model nothing but calls: the frame of its family, the names of the tools,
//! and arguments held to each tool's schema.
//!
//! Rules: ORCH-ENG-10

use constrained_decoding::gbnf::prefixed;
use constrained_decoding::schema::{Notation, Unsupported, to_gbnf};
use generation::{Tool, ToolChoice, Tools};
use serde_json::Value;

use crate::ToolFormat;
use crate::gemma::QUOTE;

mod xml;

/// The first rule of the grammar.
pub const ROOT: &str = "root";

/// Calls in one answer where it may hold several: an end for a model that finds none.
const MAX_CALLS: usize = 8;

/// The grammar of an answer that calls one of `tools`. Where there is an `otherwise`, a grammar of its own
/// with a rule `root`, the answer may be that instead. The schema of a tool that is forced or strict is a promise; that
/// of any other is left wider where it cannot be kept.
///
/// # Errors
/// The tool whose schema is wrong, and how.
pub fn force(format: ToolFormat, tools: &Tools, otherwise: Option<&str>) -> Result<String, String> {
    let mut rules = Vec::new();
    let mut calls = Vec::new();
    for (at, tool) in tools.offered.iter().enumerate() {
        if matches!(&tools.choice, ToolChoice::Named(name) if *name != tool.name) {
            continue;
        }
        let place = format!("`tools[{at}].parameters` (`{}`)", tool.name);
        let schema = schema_of(tool.parameters.as_deref()).map_err(|why| format!("{place} {why}"))?;
        let unsupported = promise(tools, tool);
        let arguments = match format {
            ToolFormat::Hermes => to_gbnf(&schema, Notation::Json, unsupported),
            ToolFormat::Gemma => to_gbnf(&schema, Notation::Marked { quote: QUOTE }, unsupported),
            ToolFormat::QwenXml => xml::elements(&schema, unsupported),
        };
        let arguments = arguments.map_err(|fault| format!("{place} {fault}"))?;
        let prefix = format!("t{at}-");
        rules.push(prefixed(&arguments, &prefix));
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

/// What is done with a keyword that cannot be kept: nobody relies on the schema of a tool that is only offered.
#[must_use]
pub fn promise(tools: &Tools, tool: &Tool) -> Unsupported {
    if tools.are_forced() || tool.strict { Unsupported::Reject } else { Unsupported::Widen }
}

/// The schema of a tool's arguments, which are an object whatever else it says.
///
/// # Errors
/// What it is instead of a schema.
pub fn schema_of(text: Option<&str>) -> Result<Value, &'static str> {
    let Some(text) = text else { return Ok(serde_json::json!({ "type": "object", "properties": {} })) };
    let Ok(Value::Object(mut schema)) = serde_json::from_str::<Value>(text) else {
        return Err("is not a JSON schema: it should be an object");
    };
    schema.insert("type".to_owned(), Value::from("object"));
    Ok(Value::Object(schema))
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

#[cfg(test)]
mod tests;
