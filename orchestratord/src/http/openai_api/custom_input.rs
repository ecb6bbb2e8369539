//! The input of a custom tool: a text, which the model writes as the one argument of a function.
//!
//! Rules: ORCH-OAI-23

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

/// The argument.
pub(super) const INPUT: &str = "input";

/// The arguments of the function that a custom tool is offered as.
pub(super) fn custom_arguments(input: &str) -> String {
    json!({INPUT: input}).to_string()
}

/// The input that the model gave.
pub(super) fn custom_input(arguments: &str) -> String {
    let mut reader = CustomInput::default();
    reader.push(arguments);
    reader.finish().1
}

/// The input of arguments that are whole. Those of another form are the model's fault, and its client sees them as they
/// are.
fn whole_input(arguments: &str) -> String {
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    match serde_json::from_str::<Arguments>(arguments) {
        Ok(Arguments { input }) => input,
        Err(_) => arguments.to_owned(),
    }
}

/// Reads the input while its arguments are written.
///
/// ```text
/// Before ── `{"input": "` ──► Within ── `"` ──► Past
///    └── anything else ─────────┴── no JSON ──────▲
/// ```
#[derive(Clone, Debug, Default)]
pub(super) struct CustomInput {
    arguments: String,
    /// Bytes of the arguments that have been read.
    read: usize,
    state: State,
    /// The input so far.
    told: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Within,
    Past,
}

impl CustomInput {
    /// Takes more of the arguments, and gives what is new of the input.
    pub(super) fn push(&mut self, more: &str) -> String {
        self.arguments.push_str(more);
        if self.state == State::Before {
            self.begin();
        }
        let mut new = String::new();
        while self.state == State::Within && self.step(&mut new) {}
        self.told.push_str(&new);
        new
    }

    /// What is missing of the input at the end of the arguments, and the whole of it.
    pub(super) fn finish(self) -> (String, String) {
        let is_whole = serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok();
        // Arguments that were cut off end where the input was cut off.
        let whole =
            if !is_whole && !self.told.is_empty() { self.told.clone() } else { whole_input(&self.arguments) };
        match whole.strip_prefix(&self.told) {
            Some(rest) => (rest.to_owned(), whole),
            None => (String::new(), self.told),
        }
    }

    /// Passes the beginning, once it is there.
    fn begin(&mut self) {
        let name = format!("\"{INPUT}\"");
        let mut rest = self.arguments.as_str();
        for mark in ["{", name.as_str(), ":", "\""] {
            rest = rest.trim_start();
            match rest.strip_prefix(mark) {
                Some(behind) => rest = behind,
                None if mark.starts_with(rest) => return,
                None => {
                    self.state = State::Past;
                    return;
                }
            }
        }
        self.read = self.arguments.len() - rest.len();
        self.state = State::Within;
    }

    /// Reads text without escapes, or one escape. Says whether there may be more to read.
    fn step(&mut self, new: &mut String) -> bool {
        let rest = &self.arguments[self.read..];
        let plain = rest.find(['"', '\\']).unwrap_or(rest.len());
        new.push_str(&rest[..plain]);
        self.read += plain;
        let escape = &rest[plain..];
        if escape.is_empty() {
            return false;
        }
        if escape.starts_with('"') {
            self.state = State::Past;
            return false;
        }
        let Some(length) = escape_bytes(escape) else { return false };
        match serde_json::from_str::<String>(&format!("\"{}\"", &escape[..length])) {
            Ok(text) => new.push_str(&text),
            Err(_) => self.state = State::Past,
        }
        self.read += length;
        true
    }
}

/// The bytes of the escape that `text` begins with, once all of it is there.
fn escape_bytes(text: &str) -> Option<usize> {
    let unit = |at: usize| text.get(at..at + 6).filter(|unit| unit.starts_with("\\u"));
    let length = match text.as_bytes().get(1)? {
        b'u' => {
            let first = text.get(2..6)?;
            let is_high = u16::from_str_radix(first, 16).is_ok_and(|unit| (0xD800..0xDC00).contains(&unit));
            let waits = text.len() < 12 && "\\u".starts_with(text.get(6..8.min(text.len())).unwrap_or("-"));
            match (is_high, unit(6)) {
                (true, Some(_)) => 12,
                (true, None) if waits => return None,
                _ => 6,
            }
        }
        // The letter behind it may be of several bytes, which is then an error of its own.
        _ => 1 + text[1..].chars().next()?.len_utf8(),
    };
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-OAI-23
    #[test]
    fn an_input_comes_out_piece_by_piece_as_it_is_whole() {
        for input in ["", "plain", "two\nlines \"quoted\" \\ back", "é🙂\u{7}\t", "*** Begin Patch\n+a\n"]
        {
            for escaped in [custom_arguments(input), ascii(input)] {
                for size in [1, 2, 3, 7, 100] {
                    let mut reader = CustomInput::default();
                    let mut told = String::new();
                    let chars: Vec<char> = escaped.chars().collect();
                    for piece in chars.chunks(size) {
                        told.push_str(&reader.push(&piece.iter().collect::<String>()));
                    }
                    let (rest, whole) = reader.finish();
                    assert_eq!(
                        (told + &rest, whole.as_str()),
                        (input.to_owned(), input),
                        "{escaped} in {size}"
                    );
                }
            }
        }
    }

    /// The arguments with every character that is not of ASCII escaped.
    fn ascii(input: &str) -> String {
        let units = custom_arguments(input).encode_utf16().collect::<Vec<_>>();
        let of_unit = |unit: &u16| match u8::try_from(*unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        };
        units.iter().map(of_unit).collect()
    }

    #[test]
    fn arguments_of_another_form_are_told_as_they_are() {
        for arguments in ["{\"text\": \"x\"}", "[1]", "no JSON", "{\"input\": 7}"] {
            let mut reader = CustomInput::default();
            let told = reader.push(arguments);
            let (rest, whole) = reader.finish();
            assert_eq!((told + &rest, whole.as_str()), (arguments.to_owned(), arguments));
        }
        let mut cut = CustomInput::default();
        assert_eq!(cut.push("{\"input\": \"half a lin"), "half a lin");
        assert_eq!(cut.finish(), (String::new(), "half a lin".to_owned()));
    }
}
