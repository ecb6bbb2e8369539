//! How each format opens a call and closes it.
//!
//! Rules: ORCH-ENG-11

use std::collections::HashMap;

use serde_json::Value;

use crate::ToolFormat;
use crate::gemma;
use crate::json::{Cursor, Stop};
use crate::xml;

const GEMMA_END: &str = "<end_function_call>";

/// The longest text from the opening of a call to its arguments, and the longest call that names its tool
/// after them: both are read again with each piece that comes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How what follows an opening reads.
pub enum Head {
    /// Not enough of it is there.
    More,
    /// It is no call.
    Not,
    /// A call whose arguments begin after `consumed` bytes.
    Begins { name: String, consumed: usize },
    /// A call, complete in `consumed` bytes.
    Whole { name: String, arguments: String, consumed: usize },
}

/// How what follows the arguments of a call reads.
pub enum Tail {
    /// Not enough of it is there.
    More,
    /// The call is closed after so many bytes.
    Closed(usize),
}

/// The marks before a call, any of which may stand there.
pub fn openings(format: ToolFormat) -> &'static [&'static str] {
    match format {
        ToolFormat::Hermes => &["<tool_call>"],
        ToolFormat::QwenXml => &["<tool_call>", xml::FUNCTION],
        ToolFormat::Gemma => &["<start_function_call>"],
    }
}

/// The mark behind a call.
fn closing(format: ToolFormat) -> &'static str {
    match format {
        ToolFormat::Hermes | ToolFormat::QwenXml => "</tool_call>",
        ToolFormat::Gemma => GEMMA_END,
    }
}

/// Reads what follows an `opening`. `searched` is where the last look at it ended.
pub fn head(
    (format, opening): (ToolFormat, &str),
    text: &str,
    searched: &mut usize,
    ended: bool,
    tools: &HashMap<String, Value>,
) -> Head {
    if format != ToolFormat::Hermes {
        return whole((format, opening), text, searched, ended, tools);
    }
    match json_head(Cursor::new(text)) {
        Ok(head) => head,
        Err(Stop::More) if text.len() <= MAX_HEAD_BYTES => Head::More,
        Err(_) => Head::Not,
    }
}

/// Arguments that are no JSON are read when all of the call is there.
fn whole(
    (format, opening): (ToolFormat, &str),
    text: &str,
    searched: &mut usize,
    ended: bool,
    tools: &HashMap<String, Value>,
) -> Head {
    let mark = if format == ToolFormat::Gemma { GEMMA_END } else { xml::END };
    let from = searched.saturating_sub(mark.len());
    let from = (0..=from).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    *searched = text.len();
    if !text[from..].contains(mark) && !ended {
        return Head::More;
    }
    let mut cursor = Cursor::new(text);
    let call = match format {
        ToolFormat::Gemma => gemma::call(&mut cursor),
        _ => xml::call(&mut cursor, opening, |name| tools.get(name)),
    };
    match call {
        Ok((name, arguments)) => Head::Whole { name, arguments, consumed: cursor.at },
        // The mark stood inside a text.
        Err(Stop::More) if !ended => Head::More,
        Err(_) => Head::Not,
    }
}

/// `{"name": …, "arguments": …}`, the arguments by either of the names that models use.
fn json_head(mut cursor: Cursor<'_>) -> Result<Head, Stop> {
    cursor.byte(b'{')?;
    let (mut name, mut arguments) = (None, None);
    if cursor.next()? == b'}' {
        return Err(Stop::Not);
    }
    loop {
        cursor.skip_white();
        let key = cursor.string()?;
        cursor.byte(b':')?;
        let first = cursor.next()?;
        match key.as_str() {
            "name" => name = Some(cursor.string()?),
            "arguments" | "parameters" => {
                if first == b'{'
                    && let Some(name) = name
                {
                    return Ok(Head::Begins { name, consumed: cursor.at });
                }
                let value = cursor.value()?;
                arguments = Some(match first {
                    b'{' => value.to_owned(),
                    // JSON in a string, as the API itself writes it.
                    b'"' => serde_json::from_str(value).map_err(|_| Stop::Not)?,
                    _ => return Err(Stop::Not),
                });
            }
            "type" | "id" => {
                cursor.value()?;
            }
            _ => return Err(Stop::Not),
        }
        let next = cursor.next()?;
        match (next, name.take()) {
            // The `}` is left to the tail.
            (b'}', Some(name)) => {
                let arguments = arguments.unwrap_or_else(|| "{}".to_owned());
                return Ok(Head::Whole { name, arguments, consumed: cursor.at });
            }
            (b',', before) => name = before,
            _ => return Err(Stop::Not),
        }
        cursor.at += 1;
    }
}

/// Reads what follows the arguments of a call: the rest of its object and of its frame. What is not there is
/// not missed.
pub fn tail(format: ToolFormat, text: &str, ended: bool) -> Tail {
    let mut cursor = Cursor::new(text);
    let object = if format == ToolFormat::Hermes { rest_of_object(&mut cursor) } else { Ok(()) };
    match object.and_then(|()| close(&mut cursor, format)) {
        Ok(tail) => tail,
        // What came so far belongs to the frame; there is no more of it.
        Err(Stop::More) if ended => Tail::Closed(text.len()),
        Err(Stop::More) if text.len() <= MAX_HEAD_BYTES => Tail::More,
        Err(_) => Tail::Closed(cursor.at),
    }
}

/// The members behind the arguments, and the `}`.
fn rest_of_object(cursor: &mut Cursor<'_>) -> Result<(), Stop> {
    let mut ahead = *cursor;
    loop {
        match ahead.next()? {
            b'}' => {
                ahead.at += 1;
                *cursor = ahead;
                return Ok(());
            }
            b',' => {
                ahead.at += 1;
                ahead.skip_white();
                let member = ahead.string().and_then(|_| {
                    ahead.byte(b':')?;
                    ahead.value()
                });
                match member {
                    Ok(_) => {}
                    Err(Stop::More) => return Err(Stop::More),
                    Err(Stop::Not) => return Ok(()),
                }
            }
            _ => return Ok(()),
        }
    }
}

fn close(cursor: &mut Cursor<'_>, format: ToolFormat) -> Result<Tail, Stop> {
    let mut ahead = *cursor;
    ahead.skip_white();
    match ahead.mark(closing(format)) {
        Ok(()) => Ok(Tail::Closed(ahead.at)),
        Err(Stop::More) => Err(Stop::More),
        Err(Stop::Not) => Ok(Tail::Closed(cursor.at)),
    }
}
