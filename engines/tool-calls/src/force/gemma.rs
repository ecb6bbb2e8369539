//! A JSON schema as a grammar of Gemma's notation. What of a schema it does not know it leaves open: the
//! arguments are then of the right form, and what they hold is for the tool to check.

use serde_json::Value;

use super::{literal, text_of};
use crate::gemma::QUOTE;

/// The deepest schema that is followed; what is deeper may be any value.
const MAX_DEPTH: usize = 16;

/// Rules with `prefix`, the first of them `root`.
pub fn rules(schema: &Value, prefix: &str) -> String {
    let mut rules = Rules { prefix, lines: Vec::new() };
    let quote = literal(QUOTE);
    let word = "[a-zA-Z_] [a-zA-Z0-9_-]*";
    rules.add("letters", "([^<] | \"<\" [^e])*");
    rules.add("text", &format!("{quote} {prefix}letters {quote}"));
    rules.add("number", "\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?");
    rules.add("integer", "\"-\"? (\"0\" | [1-9] [0-9]{0,15})");
    rules.add("boolean", "\"true\" | \"false\"");
    rules.add("null", "\"null\"");
    rules.add("member", &format!("{word} \":\" {prefix}value"));
    rules.add("object", &format!("\"{{\" ({prefix}member (\",\" {prefix}member)*)? \"}}\""));
    rules.add("array", &format!("\"[\" ({prefix}value (\",\" {prefix}value)*)? \"]\""));
    let any = ["text", "number", "boolean", "null", "object", "array"].map(|name| format!("{prefix}{name}"));
    rules.add("value", &any.join(" | "));
    let root = rules.of(schema, MAX_DEPTH);
    rules.add("root", &root);
    rules.lines.join("\n")
}

struct Rules<'a> {
    prefix: &'a str,
    lines: Vec<String>,
}

impl Rules<'_> {
    fn add(&mut self, name: &str, body: &str) {
        self.lines.push(format!("{}{name} ::= {body}", self.prefix));
    }

    /// What a value of `schema` looks like.
    fn of(&mut self, schema: &Value, depth: usize) -> String {
        let prefix = self.prefix;
        let Some(depth) = depth.checked_sub(1) else { return format!("{prefix}value") };
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let values: Vec<String> = values.iter().map(constant).collect();
            return format!("({})", values.join(" | "));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => match schema.get("properties").and_then(Value::as_object) {
                Some(properties) if !properties.is_empty() => self.object(schema, properties, depth),
                _ => format!("{prefix}object"),
            },
            Some("array") => match schema.get("items") {
                Some(items) => {
                    let item = self.of(items, depth);
                    format!("(\"[\" ({item} (\",\" {item})*)? \"]\")")
                }
                None => format!("{prefix}array"),
            },
            Some("string") => {
                let quote = literal(QUOTE);
                format!("({quote} {} {quote})", text_of(schema, &format!("{prefix}letters")))
            }
            Some(name @ ("number" | "integer" | "boolean" | "null")) => format!("{prefix}{name}"),
            _ => format!("{prefix}value"),
        }
    }

    /// The required members in their order, then any of the others in theirs.
    fn object(
        &mut self,
        schema: &Value,
        properties: &serde_json::Map<String, Value>,
        depth: usize,
    ) -> String {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let (mut musts, mut mays) = (Vec::new(), Vec::new());
        for (key, schema) in properties {
            let member = format!("{} {}", literal(&format!("{key}:")), self.of(schema, depth));
            if required.contains(&key.as_str()) { &mut musts } else { &mut mays }.push(member);
        }
        let others =
            |mays: &[String]| mays.iter().map(|member| format!(" (\",\" {member})?")).collect::<String>();
        let members = if musts.is_empty() {
            let firsts: Vec<String> =
                (0..mays.len()).map(|at| format!("{}{}", mays[at], others(&mays[at + 1..]))).collect();
            format!("({})?", firsts.join(" | "))
        } else {
            format!("{}{}", musts.join(" \",\" "), others(&mays))
        };
        format!("(\"{{\" {members} \"}}\")")
    }
}

fn constant(value: &Value) -> String {
    match value {
        Value::String(text) => literal(&format!("{QUOTE}{text}{QUOTE}")),
        other => literal(&other.to_string()),
    }
}
