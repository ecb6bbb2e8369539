//! The environment variable of every option with what the schema says of it: the manual page's list.
//!
//! Rules: ORCH-INST-7

use serde_json::Value as Json;

use crate::env::{PREFIX, names, path_of};
use crate::shape::{Shape, schema};
use crate::tree::Step;

/// An option as the environment sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// `LLAMA_ORCH_LISTEN`. An entry of a list has the number 0 in it, a named one the word `NAME`.
    pub name: String,
    /// The option's path in the file: `pools[0].model`.
    pub path: String,
    /// What it is, in Markdown on one line.
    pub about: String,
    /// What holds when nobody sets it, where that is one value.
    pub default: Option<String>,
}

/// The variable of every option, in the order of their names.
#[must_use]
pub fn variables() -> Vec<Variable> {
    let (root, shape) = (schema(), Shape::of_file());
    let mut all: Vec<Variable> = names(&shape, None, PREFIX)
        .into_iter()
        .map(|name| {
            let path = path_of(&shape, &name).expect("the name of an option leads to it");
            let option = at(&root, &root, &path.0).expect("the schema has every option");
            // An entry under a name of the user's own has no words but those of the whole.
            let whole = path.0.split_last().and_then(|(_, above)| at(&root, &root, above));
            let about = about(option, &root).or_else(|| about(whole?, &root)).unwrap_or_default();
            Variable { name, path: path.to_string(), about, default: default(option) }
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn at<'a>(schema: &'a Json, root: &'a Json, path: &[Step]) -> Option<&'a Json> {
    let Some((step, rest)) = path.split_first() else { return Some(schema) };
    let schema = followed(schema, root);
    let next = match step {
        Step::Key(key) => {
            schema.get("properties").and_then(|fields| fields.get(key)).or(schema.get("additionalProperties"))
        }
        Step::Index(_) => schema.get("items"),
    };
    at(next?, root, rest)
}

fn followed<'a>(schema: &'a Json, root: &'a Json) -> &'a Json {
    let target = schema.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// An option's own words, with those of its type where it has none.
fn about(option: &Json, root: &Json) -> Option<String> {
    let words = |schema: &Json| schema["description"].as_str().map(str::to_owned);
    let text = words(option).or_else(|| words(followed(option, root)))?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn default(option: &Json) -> Option<String> {
    match option.get("default")? {
        Json::String(text) => Some(text.clone()),
        value @ (Json::Bool(_) | Json::Number(_)) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
