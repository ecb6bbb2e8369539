//! The way the coders of Qwen write a call: `<function=name><parameter=key>value</parameter></function>`. Values
//! stand there as they are, so that only the tool's schema tells a text from a number.

use serde_json::{Map, Value};

use crate::json::{Cursor, Stop};

/// The end of what is read here.
pub const END: &str = "</function>";

const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

/// What stands between the marks of a call: the name, and the arguments as JSON. `schema_of` has the schema of
/// a tool's arguments.
pub fn call<'a>(
    cursor: &mut Cursor<'_>,
    schema_of: impl Fn(&str) -> Option<&'a Value>,
) -> Result<(String, String), Stop> {
    cursor.skip_white();
    cursor.mark("<function=")?;
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
        let rest = cursor.rest();
        // A model may forget to close one.
        let ends = [PARAMETER_END, END].map(|mark| rest.find(mark));
        let len = ends.into_iter().flatten().min().ok_or(Stop::More)?;
        let text = &rest[..len];
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

/// A text where the schema says so, and JSON where it reads as that.
fn value(text: &str, schema: Option<&Value>) -> Value {
    if schema.is_some_and(is_text) {
        return Value::from(text);
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// Whether a schema is one of texts.
pub fn is_text(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "string")
}
