//! Grammars of our own in those of llama.cpp's chat layer. It knows how a model frames answers and calls; its converter
//! of schemas loses what it does not know. So it gets a constant in the place of each schema, and the constant is
//! replaced in its grammar.
//!
//! Rules: ORCH-ENG-28

use constrained_decoding::gbnf;
use constrained_decoding::schema::{Notation, Unsupported, property_to_gbnf, to_gbnf};
use generation::{Tool, Tools};
use serde_json::{Map, Value, json};

/// What stands for the schema of an answer.
pub const ANSWER: &str = "schema-of-the-answer";

/// How llama.cpp's grammar of a format that it found out allows an answer within a fence, beside one without.
pub const FENCED: &str = "\"```json\" space response-format space \"```\" | ";

/// The schema that stands for that of an answer.
pub fn answer() -> Value {
    json!({ "const": ANSWER })
}

/// How a format writes the arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// As one JSON object.
    Whole,
    /// Each by itself.
    Each,
}

/// A constant that is a text, as a grammar has it.
pub fn text(constant: &str) -> String {
    format!("\"\\\"{constant}\\\"\"")
}

fn of_tool(at: usize) -> String {
    format!("schema-of-tool-{at}")
}

/// What stands for a parameter: a number, since a format may write any text in its own way.
fn of_parameter(tool: usize, at: usize) -> i64 {
    let (tool, at) = (i64::try_from(tool).unwrap_or(0), i64::try_from(at).unwrap_or(0));
    7_305_000_000_000_000 + tool * 10_000 + at
}

fn required(schema: &Value) -> Value {
    schema.get("required").filter(|names| names.is_array()).cloned().unwrap_or_else(|| json!([]))
}

/// What is wrong with a strict tool in a format that leaves no place for schemas.
pub fn without_place(tools: &Tools, tool: &Tool) -> String {
    let place = place(tools, tool);
    format!("{place}: the calls of this model cannot be held to a schema in its format: leave out `strict`")
}

/// The names of the parameters of a schema.
fn names(schema: &Value) -> impl Iterator<Item = &String> {
    schema["properties"].as_object().into_iter().flat_map(Map::keys)
}

/// `functions`, as the chat layer takes them, with stand-ins for their schemas.
pub fn stood_in(functions: &[Value], schemas: &[Value], arguments: Arguments) -> Vec<Value> {
    let mut functions = functions.to_vec();
    for (tool, (function, schema)) in functions.iter_mut().zip(schemas).enumerate() {
        let parameters = match arguments {
            Arguments::Whole => json!({ "type": "object", "properties": {}, "const": of_tool(tool) }),
            Arguments::Each => {
                let of =
                    |(at, name): (usize, &String)| (name.clone(), json!({ "const": of_parameter(tool, at) }));
                let properties: Map<String, Value> = names(schema).enumerate().map(of).collect();
                json!({ "type": "object", "properties": properties, "required": required(schema) })
            }
        };
        function["function"]["parameters"] = parameters;
    }
    functions
}

/// `functions` whose parameters are a text or something else: what a parser of calls has to know.
pub fn told_apart(functions: &[Value], schemas: &[Value]) -> Vec<Value> {
    let mut functions = functions.to_vec();
    for (function, schema) in functions.iter_mut().zip(schemas) {
        let of = |name: &String| {
            let kind = if is_text(&schema["properties"][name]) { "string" } else { "integer" };
            (name.clone(), json!({ "type": kind }))
        };
        let properties: Map<String, Value> = names(schema).map(of).collect();
        let parameters = json!({ "type": "object", "properties": properties, "required": required(schema) });
        function["function"]["parameters"] = parameters;
    }
    functions
}

/// Whether a parameter is written as a text.
fn is_text(schema: &Value) -> bool {
    let listed = schema.get("enum").and_then(Value::as_array);
    tool_calls::may_be_text(schema)
        || schema.get("const").is_some_and(Value::is_string)
        || listed.is_some_and(|values| values.iter().any(Value::is_string))
}

/// A keyword that says something of all arguments together, beside those that every format keeps to.
fn of_all(schema: &Value) -> Option<&String> {
    const OF_EACH: [&str; 10] = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "title",
        "description",
        "default",
        "$schema",
        "$defs",
        "definitions",
    ];
    schema.as_object()?.keys().find(|key| !OF_EACH.contains(&key.as_str()) && !key.starts_with("x-"))
}

/// `functions` with nothing in their schemas but the types of parameters: what llama.cpp takes in any case.
pub fn simple(functions: &[Value], schemas: &[Value]) -> Vec<Value> {
    let mut functions = functions.to_vec();
    for (function, schema) in functions.iter_mut().zip(schemas) {
        let of = |name: &String| {
            let kind = schema["properties"][name].get("type").filter(|kind| is_type(kind));
            (name.clone(), kind.map_or_else(|| json!({}), |kind| json!({ "type": kind })))
        };
        let properties: Map<String, Value> = names(schema).map(of).collect();
        function["function"]["parameters"] = json!({ "type": "object", "properties": properties });
    }
    functions
}

fn is_type(kind: &Value) -> bool {
    ["string", "number", "integer", "boolean", "null", "array", "object"].iter().any(|known| kind == known)
}

/// The schemas of the arguments of `tools`.
///
/// # Errors
/// The tool whose schema is none.
pub fn schemas(tools: &Tools, shown: &[Tool]) -> Result<Vec<Value>, String> {
    let schema = |tool: &Tool| {
        tool_calls::schema_of(tool.parameters.as_deref())
            .map_err(|why| format!("{} {why}", place(tools, tool)))
    };
    shown.iter().map(schema).collect()
}

/// Tools whose calls are held, and the schemas of their arguments.
pub struct Held<'a> {
    /// All that the task has.
    pub tools: &'a Tools,
    /// Those that may be called.
    pub shown: &'a [Tool],
    /// Their schemas.
    pub schemas: &'a [Value],
}

/// `grammar`, made of stand-ins, with the schemas of tools in their places; nothing where they are not in it.
///
/// # Errors
/// The tool, the place in its schema, and what there cannot be kept.
pub fn with_schemas(
    mut grammar: String,
    held: &Held<'_>,
    arguments: Arguments,
    unsupported: impl Fn(&Tool) -> Unsupported,
) -> Result<Option<String>, String> {
    let Held { tools, shown, schemas } = *held;
    for (at, (tool, schema)) in shown.iter().zip(schemas).enumerate() {
        let refused = |fault| format!("{} {fault}", place(tools, tool));
        // What cannot be kept is said in any format.
        let whole = to_gbnf(schema, Notation::Json, unsupported(tool)).map_err(refused)?;
        match arguments {
            Arguments::Whole => {
                let Some(replaced) =
                    gbnf::replaced(&grammar, &text(&of_tool(at)), &whole, &format!("t{at}-"))
                else {
                    return Ok(None);
                };
                grammar = replaced;
            }
            Arguments::Each => {
                if let Some(key) = of_all(schema)
                    && unsupported(tool) == Unsupported::Reject
                {
                    let place = place(tools, tool);
                    return Err(format!(
                        "{place} at `#`: `{key}` is not supported in the format of this model's calls"
                    ));
                }
                for (number, name) in names(schema).enumerate() {
                    let number_of = format!("\"{}\"", of_parameter(at, number));
                    // A format may say beside a value whether it is a text.
                    let as_json = gbnf::text_before(&grammar, &number_of)
                        .is_some_and(|it| it.contains("string=\\\"false"));
                    let value = if is_text(&schema["properties"][name]) && !as_json {
                        let Some(end) = gbnf::literal_behind(&grammar, &number_of) else { return Ok(None) };
                        property_to_gbnf(schema, name, Some(&[end.trim_start()]), unsupported(tool))
                    } else {
                        property_to_gbnf(schema, name, None, unsupported(tool))
                    };
                    let value = value.map_err(refused)?;
                    let prefix = format!("t{at}-{number}-");
                    let Some(replaced) = gbnf::replaced(&grammar, &number_of, &value, &prefix) else {
                        return Ok(None);
                    };
                    grammar = replaced;
                }
            }
        }
    }
    Ok(Some(grammar))
}

/// The field of a tool's schema.
fn place(tools: &Tools, tool: &Tool) -> String {
    let at = tools.offered.iter().position(|offered| offered.name == tool.name).unwrap_or_default();
    format!("`tools[{at}].parameters` (`{}`)", tool.name)
}
