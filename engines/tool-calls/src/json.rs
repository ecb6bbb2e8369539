//! Reading JSON that may not be complete yet. A cursor over what is there tells "not enough" from "not
//! JSON"; [`Span`] follows one object through any number of pieces.

/// Why a cursor went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What is there may become it.
    More,
    /// It cannot become it.
    Not,
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn skip_white(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The next byte that is no white space, which stays there.
    pub fn next(&mut self) -> Result<u8, Stop> {
        self.skip_white();
        self.peek().ok_or(Stop::More)
    }

    /// Goes past `mark`.
    pub fn mark(&mut self, mark: &str) -> Result<(), Stop> {
        if self.rest().starts_with(mark) {
            self.at += mark.len();
            return Ok(());
        }
        Err(if mark.starts_with(self.rest()) { Stop::More } else { Stop::Not })
    }

    /// Goes past white space and one byte.
    pub fn byte(&mut self, byte: u8) -> Result<(), Stop> {
        if self.next()? != byte {
            return Err(Stop::Not);
        }
        self.at += 1;
        Ok(())
    }

    /// A string, unescaped.
    pub fn string(&mut self) -> Result<String, Stop> {
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(&self.text[start..self.at]).map_err(|_| Stop::Not)
    }

    fn skip_string(&mut self) -> Result<(), Stop> {
        if self.peek().ok_or(Stop::More)? != b'"' {
            return Err(Stop::Not);
        }
        let mut escaped = false;
        for (at, byte) in self.text.bytes().enumerate().skip(self.at + 1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = at + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(Stop::More)
    }

    /// Any value; its text. A number or word at the very end of the text may go on.
    pub fn value(&mut self) -> Result<&'a str, Stop> {
        let first = self.next()?;
        let start = self.at;
        match first {
            b'"' => self.skip_string()?,
            b'{' | b'[' => {
                let mut span = Span::default();
                match span.feed(self.rest()) {
                    Fed::Whole(len) => self.at += len,
                    Fed::Open => return Err(Stop::More),
                    Fed::Broken(_) => return Err(Stop::Not),
                }
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let len = self.rest().bytes().take_while(|byte| plain(byte)).count();
                if len == self.rest().len() {
                    return Err(Stop::More);
                }
                self.at += len;
            }
            _ => return Err(Stop::Not),
        }
        Ok(&self.text[start..self.at])
    }
}

/// An object or a list as it grows, followed by its brackets and strings alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// How far a [`Span`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// It goes on behind what was fed.
    Open,
    /// It ends after so many bytes of what was fed.
    Whole(usize),
    /// What stands at this byte cannot be in it.
    Broken(usize),
}

impl Span {
    /// Goes on with `text`.
    pub fn feed(&mut self, text: &str) -> Fed {
        for (at, byte) in text.bytes().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Fed::Whole(at + 1);
                    }
                }
                b' ' | b'\t' | b'\r' | b'\n' | b':' | b',' | b'+' | b'-' | b'.' => {}
                _ if byte.is_ascii_alphanumeric() => {}
                _ => return Fed::Broken(at),
            }
        }
        Fed::Open
    }
}
