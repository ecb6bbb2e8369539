//! Regular expressions of JSON schemas (`pattern`) as llama.cpp's converter takes them. It knows no classes like `\d`, no
//! pattern without `^` and `$`, and lets `.` and `[^a]` be what ends a JSON string; what it does not know it drops, and
//! takes any string. Here such a pattern is written in what it knows, or refused.
//!
//! Rules: ORCH-ENG-28

/// What no character of a JSON string may be without an escape, as a part of a class.
const NOT_IN_STRINGS: &str = r#""\\\x00-\x1F"#;

const DIGITS: &str = "0-9";
const LETTERS: &str = "A-Za-z0-9_";
const SPACES: &str = " ";

/// The pattern in what the converter knows, of the same strings.
///
/// # Errors
/// What of it cannot be kept.
pub fn portable(pattern: &str) -> Result<String, String> {
    let (starts, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (ends, body) = match rest.strip_suffix('$') {
        Some(body) if !ends_in_escape(body) => (true, body),
        _ => (false, rest),
    };
    let body = translated(body)?;
    let any = format!("[^{NOT_IN_STRINGS}]*");
    Ok(match (starts, ends) {
        (true, true) => format!("^{body}$"),
        (true, false) => format!("^({body}){any}$"),
        (false, true) => format!("^{any}({body})$"),
        (false, false) => format!("^{any}({body}){any}$"),
    })
}

/// Whether an odd number of backslashes is at the end.
fn ends_in_escape(text: &str) -> bool {
    (text.len() - text.trim_end_matches('\\').len()) % 2 == 1
}

fn translated(body: &str) -> Result<String, String> {
    let mut out = String::with_capacity(body.len() * 2);
    let mut letters = body.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.push_str(&escape(letters.next())?),
            '[' => class(&mut letters, &mut out)?,
            '.' => out.push_str(&format!("[^{NOT_IN_STRINGS}]")),
            '"' => out.push_str(r#"\\""#),
            '(' if letters.next_if_eq(&'?').is_some() => match letters.next() {
                Some(':') => out.push('('),
                Some(kind) => return Err(format!("`(?{kind}` is not supported")),
                None => return Err("it ends in `(?`".to_owned()),
            },
            '^' | '$' => return Err(format!("`{letter}` in the middle is not supported")),
            '*' | '+' | '?' | '}' => {
                out.push(letter);
                // How much is taken first makes no difference to which strings there are.
                letters.next_if_eq(&'?');
            }
            letter if letter.is_control() => {
                return Err("it holds a control character".to_owned());
            }
            letter => out.push(letter),
        }
    }
    Ok(out)
}

/// An escape outside of a class.
fn escape(letter: Option<char>) -> Result<String, String> {
    Ok(match letter {
        Some('d') => format!("[{DIGITS}]"),
        Some('w') => format!("[{LETTERS}]"),
        Some('s') => format!("[{SPACES}]"),
        Some('D') => format!("[^{DIGITS}{NOT_IN_STRINGS}]"),
        Some('W') => format!("[^{LETTERS}{NOT_IN_STRINGS}]"),
        Some('S') => format!("[^{SPACES}{NOT_IN_STRINGS}]"),
        // Both are written with an escape in a string.
        Some('\\') => r"\\\\".to_owned(),
        Some('"') => r#"\\""#.to_owned(),
        Some(letter) if letter.is_ascii_alphanumeric() => return Err(unknown(letter)),
        Some(letter) if "^$.[]()|{}*+?".contains(letter) => format!("\\{letter}"),
        Some(letter) => letter.to_string(),
        None => return Err("it ends in a `\\`".to_owned()),
    })
}

/// A class, behind its `[`.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    let excludes = letters.next_if_eq(&'^').is_some();
    if excludes {
        out.push('^');
        out.push_str(NOT_IN_STRINGS);
    }
    loop {
        let quoted = |what: &str| Err(format!("{what} in `[…]` is not supported"));
        match letters.next() {
            None => return Err("a `[` has no `]`".to_owned()),
            Some(']') => break,
            Some('"') if excludes => {}
            Some('"') => return quoted("a quote"),
            Some('\\') => match letters.next() {
                Some('d') => out.push_str(DIGITS),
                Some('w') => out.push_str(LETTERS),
                Some('s') => out.push_str(SPACES),
                Some('-') => out.push_str(r"\-"),
                Some(letter @ ('[' | ']')) => out.extend(['\\', letter]),
                Some('^') => out.push_str(r"\x5E"),
                Some('\\' | '"') if excludes => {}
                Some('\\') => return quoted("a backslash"),
                Some('"') => return quoted("a quote"),
                Some(letter) if letter.is_ascii_alphanumeric() => return Err(unknown(letter)),
                Some(letter) => out.push(letter),
                None => return Err("a `[` has no `]`".to_owned()),
            },
            Some('[') => out.push_str(r"\["),
            Some(letter) => out.push(letter),
        }
    }
    out.push(']');
    Ok(())
}

fn unknown(letter: char) -> String {
    format!("`\\{letter}` is not supported")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ORCH-ENG-28
    #[test]
    fn what_the_converter_does_not_know_is_written_in_what_it_does() {
        let any = format!("[^{NOT_IN_STRINGS}]");
        for (pattern, expected) in [
            (r"^\d{4}-\d{2}$", "^[0-9]{4}-[0-9]{2}$".to_owned()),
            (r"^[\w.-]+@\w+\.\w{2,}$", r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_]+\.[A-Za-z0-9_]{2,}$".to_owned()),
            ("abc", format!("^{any}*(abc){any}*$")),
            ("^abc", format!("^(abc){any}*$")),
            (r"abc\$", format!(r"^{any}*(abc\$){any}*$")),
            ("^.+?$", format!("^{any}+$")),
            (r"^(?:a|b)\/c\-d$", "^(a|b)/c-d$".to_owned()),
            (r#"^[^a"]"\\$"#, format!(r#"^[^{NOT_IN_STRINGS}a]\\"\\\\$"#)),
        ] {
            assert_eq!(portable(pattern), Ok(expected), "{pattern}");
        }
    }

    /// ORCH-ENG-28
    #[test]
    fn what_cannot_be_kept_is_named() {
        for (pattern, words) in [
            (r"^(?=a)b$", "`(?=`"),
            (r"^\p{L}+$", r"`\p`"),
            (r"^a\b$", r"`\b`"),
            (r"^a$|^b$", "`$` in the middle"),
            ("^[a$", "has no `]`"),
            (r#"^["']$"#, "a quote in"),
        ] {
            let why = portable(pattern).expect_err(pattern);
            assert!(why.contains(words), "{pattern}: {why}");
        }
    }
}
