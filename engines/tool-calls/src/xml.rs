//! The way the coders of Qwen write a call: `<function=name><parameter=key>value</parameter></function>`. Values
//! stand there as they are, so that only the tool's schema tells a text from a number.

use serde_json::{Map, Value};

use crate::json::{Cursor, Stop};

/// The end of what is read here.
pub const END: &str = "</function>";

/// What a parameter begins with.
pub const PARAMETER: &str = "<parameter=";
/// What it ends with.
pub const PARAMETER_END: &str = "</parameter>";

/// The beginning of a function, with which models begin a call that forget the mark before it.
pub const FUNCTION: &str = "<function=";

/// What stands between the marks of a call: the name, and the arguments as JSON. `schema_of` has the schema of
/// a tool's arguments. The beginning of the function is there, or has been read as the `opening` of the call.
pub fn call<'a>(
    cursor: &mut Cursor<'_>,
    opening: &str,
    schema_of: impl Fn(&str) -> Option<&'a Value>,
) -> Result<(String, String), Stop> {
    if opening != FUNCTION {
        cursor.skip_white();
        cursor.mark(FUNCTION)?;
    }
    let name = name(cursor)?;
    let schema = schema_of(&name);
    let mut arguments = Map::new();
    loop {
        cursor.skip_white();
        match cursor.mark(END) {
            Ok(()) => return Ok((name, Value::Object(arguments).to_string())),
            Err(Stop::More) => return Err(Stop::More),
            Err(Stop::Not) => cursor.mark(PARAMETER)?,
        }
        let key = self::name(cursor)?;
        let len = value_len(cursor.rest())?;
        let text = &cursor.rest()[..len];
        cursor.at += len;
        // Closed by its own mark, or by that of the function, which stays.
        let _ = cursor.mark(PARAMETER_END);
        let text = text.strip_prefix('\n').unwrap_or(text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        let value = value(text, schema.and_then(|schema| schema.get("properties")?.get(&key)));
        arguments.insert(key, value);
    }
}

fn name(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    let len = cursor.rest().find('>').ok_or(Stop::More)?;
    let name = cursor.rest()[..len].trim().to_owned();
    cursor.at += len + 1;
    if name.is_empty() || name.contains(['<', '\n']) { Err(Stop::Not) } else { Ok(name) }
}

/// Bytes of a value, which ends at its mark where another parameter or the end of the function follows: the value may
/// hold the same mark. A model may forget to close one.
fn value_len(rest: &str) -> Result<usize, Stop> {
    for (at, mark) in rest.match_indices(PARAMETER_END) {
        let mut behind = Cursor { text: rest, at: at + mark.len() };
        behind.skip_white();
        match [PARAMETER, END].map(|next| behind.mark(next)) {
            [Ok(()), _] | [_, Ok(())] => return Ok(at),
            [Err(Stop::More), _] | [_, Err(Stop::More)] => return Err(Stop::More),
            [Err(Stop::Not), Err(Stop::Not)] => {}
        }
    }
    rest.find(END).ok_or(Stop::More)
}

/// The value of a type that the schema allows: a text, where it may be one.
fn value(text: &str, schema: Option<&Value>) -> Value {
    let may_be = |kind: &str| may_be(schema, kind);
    match text.trim().to_ascii_lowercase().as_str() {
        "null" | "none" if may_be("null") => Value::Null,
        _ if may_be("string") => Value::from(text),
        "true" if may_be("boolean") => Value::Bool(true),
        "false" if may_be("boolean") => Value::Bool(false),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    }
}

/// Whether a schema names texts among its values, which is how llama.cpp tells them as well.
#[must_use]
pub fn may_be_text(schema: &Value) -> bool {
    allows(schema, "string")
}

/// Whether a value may be of the type `kind`.
pub fn may_be(schema: Option<&Value>, kind: &str) -> bool {
    schema.is_some_and(|schema| allows(schema, kind))
}

/// Whether a schema names `kind` as a type of its values.
fn allows(schema: &Value, kind: &str) -> bool {
    let named = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|named| named == kind),
        Some(named) => named == kind,
        None => false,
    };
    let any_of = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    named || any_of.into_iter().any(|option| allows(option, kind))
}
