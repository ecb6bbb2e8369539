//! Gemma's way to write a call: `call:name{key:<escape>text<escape>,n:1}`, which is nearly JSON, and its
//! translation.

use serde_json::{Map, Value};

use crate::json::{Cursor, Stop};

/// Stands around a text.
pub const QUOTE: &str = "<escape>";

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// What stands between the marks of a call: the name, and the arguments as JSON.
pub fn call(cursor: &mut Cursor<'_>) -> Result<(String, String), Stop> {
    cursor.skip_white();
    cursor.mark("call:")?;
    let len = cursor.rest().find('{').ok_or(Stop::More)?;
    let name = cursor.rest()[..len].trim().to_owned();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(Stop::Not);
    }
    cursor.at += len;
    let arguments = object(cursor, MAX_DEPTH)?;
    Ok((name, Value::Object(arguments).to_string()))
}

fn object(cursor: &mut Cursor<'_>, depth: usize) -> Result<Map<String, Value>, Stop> {
    let depth = depth.checked_sub(1).ok_or(Stop::Not)?;
    cursor.byte(b'{')?;
    let mut members = Map::new();
    if cursor.next()? == b'}' {
        cursor.at += 1;
        return Ok(members);
    }
    loop {
        cursor.skip_white();
        let key = if cursor.rest().starts_with(QUOTE) {
            quoted(cursor)?
        } else {
            let len = cursor.rest().find([':', '}']).ok_or(Stop::More)?;
            let key = cursor.rest()[..len].trim().to_owned();
            cursor.at += len;
            key
        };
        cursor.byte(b':')?;
        members.insert(key, value(cursor, depth)?);
        let next = cursor.next()?;
        cursor.at += 1;
        match next {
            b',' => {}
            b'}' => return Ok(members),
            _ => return Err(Stop::Not),
        }
    }
}

fn value(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, Stop> {
    match cursor.next()? {
        b'{' => object(cursor, depth).map(Value::Object),
        b'[' => list(cursor, depth),
        _ if cursor.rest().starts_with(QUOTE) => quoted(cursor).map(Value::String),
        _ => {
            let len = cursor.rest().find([',', '}', ']']).ok_or(Stop::More)?;
            let text = cursor.rest()[..len].trim();
            cursor.at += len;
            // A text without its quotes is a text.
            Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
        }
    }
}

fn list(cursor: &mut Cursor<'_>, depth: usize) -> Result<Value, Stop> {
    let depth = depth.checked_sub(1).ok_or(Stop::Not)?;
    cursor.byte(b'[')?;
    let mut entries = Vec::new();
    if cursor.next()? == b']' {
        cursor.at += 1;
        return Ok(Value::Array(entries));
    }
    loop {
        entries.push(value(cursor, depth)?);
        let next = cursor.next()?;
        cursor.at += 1;
        match next {
            b',' => {}
            b']' => return Ok(Value::Array(entries)),
            _ => return Err(Stop::Not),
        }
    }
}

fn quoted(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    cursor.mark(QUOTE)?;
    let len = cursor.rest().find(QUOTE).ok_or(Stop::More)?;
    let text = cursor.rest()[..len].to_owned();
    cursor.at += len + QUOTE.len();
    Ok(text)
}
