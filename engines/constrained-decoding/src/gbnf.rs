//! Parses GBNF, llama.cpp's notation of grammars, into a tree. What llama.cpp's own parser accepts it accepts,
//! but for repetitions whose lower bound is above the upper one, on which that parser never ends.
//!
//! Rules: ORCH-WORKER-5

use std::collections::HashMap;

/// Repetitions of one item that are counted. A larger upper bound is no bound, as in llama.cpp; a larger lower
/// one is an error.
pub const MAX_REPEATS: u32 = 2000;

/// The deepest nesting of brackets: the parser works by recursion.
const MAX_DEPTH: usize = 128;

/// A grammar as a tree: what each rule stands for, by its number.
#[derive(Debug)]
pub struct Tree {
    /// The rules.
    pub rules: Vec<Node>,
    /// The number of the rule named `root`.
    pub root: usize,
}

/// A part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// One after the other.
    Sequence(Vec<Node>),
    /// One of them.
    Choice(Vec<Node>),
    /// A character.
    Char(CharSet),
    /// A token, whatever its text; any other one when negated.
    Token {
        /// Which.
        id: i32,
        /// Whether it is any but this one.
        negated: bool,
    },
    /// Another rule.
    Rule(usize),
    /// `least` to `most` times.
    Repeat {
        /// What.
        item: Box<Node>,
        /// At least.
        least: u32,
        /// At most; without a bound when absent.
        most: Option<u32>,
    },
}

/// Ranges of code points.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CharSet {
    /// Inclusive, in the order written.
    pub ranges: Vec<(u32, u32)>,
    /// Whether it is every character outside of them.
    pub negated: bool,
}

impl CharSet {
    fn one(code: u32) -> Self {
        Self { ranges: vec![(code, code)], negated: false }
    }

    /// Whether `code` is in it.
    #[must_use]
    pub fn contains(&self, code: u32) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&code)) != self.negated
    }

    /// Whether any of `low..=high` is in it.
    #[must_use]
    pub fn touches(&self, low: u32, high: u32) -> bool {
        if self.negated {
            // As llama.cpp does: a range that meets one of the excluded ones counts as excluded.
            !self.ranges.iter().any(|(from, to)| *from <= high && low <= *to)
        } else {
            self.ranges.iter().any(|(from, to)| *from <= high && low <= *to)
        }
    }
}

/// Parses `text`. `token_named` finds the token that `<name>` stands for.
///
/// # Errors
/// What is wrong, and on which line.
pub fn parse(text: &str, token_named: &dyn Fn(&str) -> Option<i32>) -> Result<Tree, String> {
    let mut parser = Parser { text, at: 0, depth: 0, names: HashMap::new(), rules: Vec::new(), token_named };
    parser.grammar().map_err(|why| {
        let line = text.as_bytes()[..parser.at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        format!("{why} (line {})", line + 1)
    })?;
    let names = parser.names;
    let undefined = names.iter().find(|(_, at)| parser.rules[**at].is_none());
    if let Some((name, _)) = undefined {
        return Err(format!("rule `{name}` is not defined"));
    }
    let root = *names.get("root").ok_or("there is no rule named `root` (`root ::= …`)")?;
    Ok(Tree { rules: parser.rules.into_iter().flatten().collect(), root })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    names: HashMap<&'a str, usize>,
    rules: Vec<Option<Node>>,
    token_named: &'a dyn Fn(&str) -> Option<i32>,
}

/// Whether a rule goes on in the next line: inside of brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Many,
}

impl<'a> Parser<'a> {
    fn grammar(&mut self) -> Result<(), String> {
        self.space(Lines::Many);
        while self.peek().is_some() {
            let name = self.name()?;
            self.space(Lines::One);
            if !self.eat("::=") {
                return Err(format!("`::=` is missing behind the rule name `{name}`"));
            }
            self.space(Lines::Many);
            let rule = self.number_of(name);
            let body = self.choice(Lines::One)?;
            self.rules[rule] = Some(body);
            match self.peek() {
                None | Some('\n' | '\r') => self.space(Lines::Many),
                Some(other) => return Err(format!("`{other}` does not belong here")),
            }
        }
        Ok(())
    }

    fn choice(&mut self, lines: Lines) -> Result<Node, String> {
        let mut branches = vec![self.sequence(lines)?];
        while self.eat("|") {
            self.space(Lines::Many);
            branches.push(self.sequence(lines)?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self, lines: Lines) -> Result<Node, String> {
        let mut items = Vec::new();
        while let Some(letter) = self.peek() {
            match letter {
                '*' | '+' | '?' | '{' => {
                    let (least, most) = self.bounds()?;
                    let item = items.pop().ok_or("there is nothing to repeat before `*`, `+`, `?` or `{`")?;
                    items.push(Node::Repeat { item: Box::new(item), least, most });
                }
                '"' => items.push(self.literal()?),
                '[' => items.push(Node::Char(self.class()?)),
                '.' => {
                    self.at += 1;
                    items.push(Node::Char(CharSet { ranges: Vec::new(), negated: true }));
                }
                '(' => items.push(self.group()?),
                '<' | '!' => items.push(self.token()?),
                letter if is_word(letter) => {
                    let name = self.name()?;
                    items.push(Node::Rule(self.number_of(name)));
                }
                _ => break,
            }
            self.space(lines);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Sequence(items) })
    }

    fn group(&mut self) -> Result<Node, String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("it nests brackets deeper than {MAX_DEPTH}"));
        }
        self.space(Lines::Many);
        let inner = self.choice(Lines::Many)?;
        if !self.eat(")") {
            return Err("`)` is missing".to_owned());
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn literal(&mut self) -> Result<Node, String> {
        self.at += 1;
        let mut letters = Vec::new();
        while !self.eat("\"") {
            letters.push(Node::Char(CharSet::one(self.letter()?)));
        }
        Ok(if letters.len() == 1 { letters.remove(0) } else { Node::Sequence(letters) })
    }

    /// The text up to the quote that ends a literal.
    fn rest_of_literal(mut self) -> Option<String> {
        let mut text = String::new();
        while !self.eat("\"") {
            text.push(char::from_u32(self.letter().ok()?)?);
        }
        Some(text)
    }

    fn class(&mut self) -> Result<CharSet, String> {
        self.at += 1;
        let negated = self.eat("^");
        let mut ranges = Vec::new();
        while !self.eat("]") {
            let low = self.letter()?;
            let rest = &self.text[self.at..];
            let high = if rest.starts_with('-') && !rest.starts_with("-]") {
                self.at += 1;
                self.letter()?
            } else {
                low
            };
            ranges.push((low, high));
        }
        Ok(CharSet { ranges, negated })
    }

    /// A character of a literal or a class.
    fn letter(&mut self) -> Result<u32, String> {
        let letter = self.next().ok_or("it ends inside of quotes or brackets")?;
        if letter != '\\' {
            return Ok(u32::from(letter));
        }
        match self.next() {
            Some('x') => self.hex(2),
            Some('u') => self.hex(4),
            Some('U') => self.hex(8),
            Some('t') => Ok(u32::from('\t')),
            Some('r') => Ok(u32::from('\r')),
            Some('n') => Ok(u32::from('\n')),
            Some(same @ ('\\' | '"' | '[' | ']' | '-')) => Ok(u32::from(same)),
            other => Err(format!("unknown escape `\\{}`", other.map(String::from).unwrap_or_default())),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<u32, String> {
        let text = self.text.get(self.at..self.at + digits);
        let value = text
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| format!("{digits} hexadecimal digits are missing"))?;
        self.at += digits;
        Ok(value)
    }

    fn token(&mut self) -> Result<Node, String> {
        let negated = self.eat("!");
        let rest = &self.text[self.at..];
        let end = rest.starts_with('<').then(|| rest.find('>')).flatten();
        let name = &rest[..=end.ok_or("`<` or `>` of a token is missing")?];
        self.at += name.len();
        let by_number = name.strip_prefix("<[").and_then(|name| name.strip_suffix("]>"));
        let id = by_number.map_or_else(|| (self.token_named)(name), |digits| digits.parse().ok());
        Ok(Node::Token { id: id.ok_or_else(|| format!("`{name}` is no token of this model"))?, negated })
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`.
    fn bounds(&mut self) -> Result<(u32, Option<u32>), String> {
        match self.next() {
            Some('*') => return Ok((0, None)),
            Some('+') => return Ok((1, None)),
            Some('?') => return Ok((0, Some(1))),
            _ => self.space(Lines::Many),
        }
        let least = self.count()?.ok_or("a repetition needs a number: `{2}`, `{2,}`, `{2,5}`")?;
        self.space(Lines::Many);
        let most = if self.eat(",") {
            self.space(Lines::Many);
            self.count()?
        } else {
            Some(least)
        };
        self.space(Lines::Many);
        if !self.eat("}") {
            return Err("`}` of a repetition is missing".to_owned());
        }
        check_repeats(u64::from(least), most.map(u64::from))?;
        Ok((least, most.filter(|most| *most <= MAX_REPEATS)))
    }

    fn count(&mut self) -> Result<Option<u32>, String> {
        let rest = &self.text[self.at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Ok(None);
        }
        self.at += digits;
        let value = rest[..digits].parse::<u64>().ok().and_then(|value| u32::try_from(value).ok());
        Ok(Some(value.unwrap_or(u32::MAX)))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let rest = &self.text[self.at..];
        let len = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        if len == 0 {
            let found = rest.chars().next().map(String::from).unwrap_or_default();
            return Err(format!("a rule name should be here, not `{found}`"));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn number_of(&mut self, name: &'a str) -> usize {
        let next = self.rules.len();
        let number = *self.names.entry(name).or_insert(next);
        if number == next {
            self.rules.push(None);
        }
        number
    }

    /// Skips white space and comments.
    fn space(&mut self, lines: Lines) {
        while let Some(letter) = self.peek() {
            match letter {
                ' ' | '\t' => self.at += 1,
                '\n' | '\r' if lines == Lines::Many => self.at += 1,
                '#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => break,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn eat(&mut self, word: &str) -> bool {
        let here = self.text[self.at..].starts_with(word);
        if here {
            self.at += word.len();
        }
        here
    }
}

/// Whether so many repetitions make sense.
///
/// # Errors
/// The bounds, and what is wrong with them.
pub fn check_repeats(least: u64, most: Option<u64>) -> Result<(), String> {
    if let Some(most) = most.filter(|most| *most < least) {
        return Err(format!("repetition `{{{least},{most}}}` has a lower bound above the upper one"));
    }
    if least > u64::from(MAX_REPEATS) {
        return Err(format!("repetition of at least {least} times; at most {MAX_REPEATS} are supported"));
    }
    Ok(())
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

/// The grammar with `prefix` before the name of each rule, so that several grammars can stand together.
#[must_use]
pub fn prefixed(grammar: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(grammar.len() * 2);
    let mut letters = grammar.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' | '[' | '#' => {
                let end = match letter {
                    '[' => ']',
                    '#' => '\n',
                    quote => quote,
                };
                out.push(letter);
                while let Some(letter) = letters.next() {
                    out.push(letter);
                    if letter == '\\' {
                        out.extend(letters.next());
                    } else if letter == end {
                        break;
                    }
                }
            }
            letter if letter.is_ascii_alphabetic() => {
                out.push_str(prefix);
                out.push(letter);
                let goes_on = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
                while let Some(letter) = letters.next_if(goes_on) {
                    out.push(letter);
                }
            }
            letter => out.push(letter),
        }
    }
    out
}

/// `grammar` with `inner`, a grammar with a rule `root`, in the place of a literal, as it is written in quotes; nothing
/// where it is not there.
#[must_use]
pub fn replaced(grammar: &str, literal: &str, inner: &str, prefix: &str) -> Option<String> {
    if !grammar.contains(literal) {
        return None;
    }
    let mut out = grammar.replace(literal, &format!("{prefix}root"));
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(&prefixed(inner, prefix));
    Some(out)
}

/// The text of the literal that stands right behind the rule that is `literal` and nothing else.
#[must_use]
pub fn literal_behind(grammar: &str, literal: &str) -> Option<String> {
    let (_, behind) = around(grammar, literal)?;
    let behind = behind.trim_start_matches([' ', ')', '(']).strip_prefix('"')?;
    let parser = Parser {
        text: behind,
        at: 0,
        depth: 0,
        names: HashMap::new(),
        rules: Vec::new(),
        token_named: &|_| None,
    };
    parser.rest_of_literal()
}

/// What stands in its rule before the rule that is `literal` and nothing else, as it is written.
#[must_use]
pub fn text_before<'a>(grammar: &'a str, literal: &str) -> Option<&'a str> {
    around(grammar, literal).map(|(before, _)| before)
}

/// What stands before and behind the only use of the rule that is `literal`.
fn around<'a>(grammar: &'a str, literal: &str) -> Option<(&'a str, &'a str)> {
    let mut rules = grammar.lines().filter_map(|line| line.split_once(" ::= "));
    let (name, _) = rules.find(|(_, body)| body.trim() == literal)?;
    grammar.lines().find_map(|line| {
        let (_, body) = line.split_once(" ::= ")?;
        body.match_indices(name).find_map(|(at, _)| {
            let (before, behind) = (&body[..at], &body[at + name.len()..]);
            (!behind.starts_with(is_word) && !before.ends_with(is_word)).then_some((before, behind))
        })
    })
}
