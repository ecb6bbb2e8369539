//! Regular expressions as JSON schemas have them (ECMA 262), as automata. A pattern that is not anchored finds its text
//! anywhere. What an automaton cannot follow (references back, looking around in the middle) is an error.

use std::collections::HashMap;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::{Ranges, TextSet, joined};

/// Positions in one pattern at most.
const MAX_POSITIONS: usize = 20_000;

/// What `\s` stands for.
const SPACES: &str = r"\t-\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}";

/// A pattern as an automaton, which may be in several positions at once.
#[derive(Clone, Debug)]
pub struct Pattern {
    nodes: Vec<Node>,
    sets: Vec<Ranges>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    /// Reads a character of this set and goes on at the next node.
    Read(usize),
    /// Goes on at both.
    Split(usize, usize),
    Jump(usize),
    /// Goes on only where the text begins.
    Begin,
    /// Goes on only where the text ends.
    End,
    Found,
}

impl Pattern {
    /// The texts in which `pattern` finds something.
    ///
    /// # Errors
    /// What of it is not supported.
    pub fn parse(pattern: &str) -> Result<Vec<TextSet>, String> {
        let (ahead, rest) = lookaheads(pattern)?;
        let mut sets = Vec::new();
        for (is_wanted, inside) in ahead {
            let found = TextSet::Pattern(Self::one(&format!("^(?:{inside})"))?);
            sets.push(if is_wanted { found } else { TextSet::Not(Box::new(found)) });
        }
        sets.push(TextSet::Pattern(Self::one(&rest)?));
        Ok(sets)
    }

    fn one(pattern: &str) -> Result<Self, String> {
        let translated = translated(pattern)?;
        let tree = ParserBuilder::new().nest_limit(64).build().parse(&translated);
        let tree = tree.map_err(|error| reason(&error))?;
        let mut compiler = Compiler { nodes: Vec::new(), sets: Vec::new(), numbers: HashMap::new() };
        let any = compiler.set(super::CHARACTERS.to_vec());
        // Anything before, the pattern, anything behind.
        compiler.star(any)?;
        compiler.tree(&tree)?;
        compiler.star(any)?;
        compiler.push(Node::Found)?;
        Ok(Self { nodes: compiler.nodes, sets: compiler.sets })
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = &Ranges> {
        self.sets.iter()
    }

    pub(super) fn start(&self) -> Vec<u32> {
        self.closure(vec![0], true)
    }

    pub(super) fn step(&self, positions: &[u32], letter: u32) -> Vec<u32> {
        let reads = |position: &u32| match self.nodes[*position as usize] {
            Node::Read(set) => {
                let set = &self.sets[set];
                let behind = set.partition_point(|(low, _)| *low <= letter);
                behind > 0 && set[behind - 1].1 >= letter
            }
            _ => false,
        };
        let next = positions.iter().copied().filter(reads).map(|position| position + 1).collect();
        self.closure(next, false)
    }

    pub(super) fn accepts(&self, positions: &[u32]) -> bool {
        let mut seen = vec![false; self.nodes.len()];
        let mut todo: Vec<usize> = positions.iter().map(|position| *position as usize).collect();
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            match self.nodes[at] {
                Node::Found => return true,
                Node::End => todo.push(at + 1),
                Node::Jump(to) => todo.push(to),
                Node::Split(here, there) => todo.extend([here, there]),
                Node::Read(_) | Node::Begin => {}
            }
        }
        false
    }

    /// The positions where something is read, found, or expected to end.
    fn closure(&self, mut todo: Vec<u32>, is_begin: bool) -> Vec<u32> {
        let mut seen = vec![false; self.nodes.len()];
        let mut found = Vec::new();
        while let Some(at) = todo.pop() {
            if std::mem::replace(&mut seen[at as usize], true) {
                continue;
            }
            let mut go = |to: usize| todo.push(u32::try_from(to).expect("bounded"));
            match self.nodes[at as usize] {
                Node::Read(_) | Node::Found | Node::End => found.push(at),
                Node::Jump(to) => go(to),
                Node::Split(here, there) => {
                    go(here);
                    go(there);
                }
                Node::Begin if is_begin => go(at as usize + 1),
                Node::Begin => {}
            }
        }
        found.sort_unstable();
        found
    }
}

struct Compiler {
    nodes: Vec<Node>,
    sets: Vec<Ranges>,
    numbers: HashMap<Ranges, usize>,
}

impl Compiler {
    fn push(&mut self, node: Node) -> Result<usize, String> {
        if self.nodes.len() >= MAX_POSITIONS {
            return Err(format!("it is too long: it takes more than {MAX_POSITIONS} steps"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn set(&mut self, ranges: Ranges) -> usize {
        let next = self.sets.len();
        let number = *self.numbers.entry(ranges.clone()).or_insert(next);
        if number == next {
            self.sets.push(ranges);
        }
        number
    }

    fn star(&mut self, set: usize) -> Result<(), String> {
        let split = self.push(Node::Split(0, 0))?;
        self.push(Node::Read(set))?;
        self.push(Node::Jump(split))?;
        self.nodes[split] = Node::Split(split + 1, split + 3);
        Ok(())
    }

    fn tree(&mut self, tree: &Hir) -> Result<(), String> {
        match tree.kind() {
            HirKind::Empty => Ok(()),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| "it is no text".to_owned())?;
                text.chars().try_for_each(|letter| {
                    let set = self.set(vec![(u32::from(letter), u32::from(letter))]);
                    self.push(Node::Read(set)).map(drop)
                })
            }
            HirKind::Class(Class::Unicode(class)) => {
                let ranges = class.iter().map(|range| (u32::from(range.start()), u32::from(range.end())));
                let set = self.set(joined(ranges.collect()));
                self.push(Node::Read(set)).map(drop)
            }
            HirKind::Class(Class::Bytes(class)) => {
                let ranges = class.iter().map(|range| (u32::from(range.start()), u32::from(range.end())));
                let set = self.set(ranges.collect());
                self.push(Node::Read(set)).map(drop)
            }
            HirKind::Look(Look::Start) => self.push(Node::Begin).map(drop),
            HirKind::Look(Look::End) => self.push(Node::End).map(drop),
            HirKind::Look(_) => Err("`\\b` and `\\B` are not supported".to_owned()),
            HirKind::Capture(capture) => self.tree(&capture.sub),
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.tree(part)),
            HirKind::Alternation(branches) => self.branches(branches),
            HirKind::Repetition(repetition) => self.repetition(repetition),
        }
    }

    fn branches(&mut self, branches: &[Hir]) -> Result<(), String> {
        let mut jumps = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            if at + 1 == branches.len() {
                self.tree(branch)?;
                break;
            }
            let split = self.push(Node::Split(0, 0))?;
            self.tree(branch)?;
            jumps.push(self.push(Node::Jump(0))?);
            self.nodes[split] = Node::Split(split + 1, self.nodes.len());
        }
        let end = self.nodes.len();
        jumps.into_iter().for_each(|jump| self.nodes[jump] = Node::Jump(end));
        Ok(())
    }

    fn repetition(&mut self, repetition: &Repetition) -> Result<(), String> {
        for _ in 0..repetition.min {
            self.tree(&repetition.sub)?;
        }
        let mut splits = Vec::new();
        match repetition.max {
            None => {
                let split = self.push(Node::Split(0, 0))?;
                self.tree(&repetition.sub)?;
                self.push(Node::Jump(split))?;
                splits.push(split);
            }
            Some(most) => {
                for _ in repetition.min..most {
                    splits.push(self.push(Node::Split(0, 0))?);
                    self.tree(&repetition.sub)?;
                }
            }
        }
        let end = self.nodes.len();
        splits.into_iter().for_each(|split| self.nodes[split] = Node::Split(split + 1, end));
        Ok(())
    }
}

/// What follows or must not follow: whether it does, and its pattern.
type Lookahead<'a> = (bool, &'a str);

/// What must and must not follow at the start of a pattern, and the pattern without that.
fn lookaheads(pattern: &str) -> Result<(Vec<Lookahead<'_>>, String), String> {
    let Some(mut rest) =
        pattern.strip_prefix('^').filter(|rest| rest.starts_with("(?=") || rest.starts_with("(?!"))
    else {
        return Ok((Vec::new(), pattern.to_owned()));
    };
    let mut found = Vec::new();
    while rest.starts_with("(?=") || rest.starts_with("(?!") {
        let end = group_end(rest).ok_or("a `(` has no `)`")?;
        found.push((rest.as_bytes()[2] == b'=', &rest[3..end]));
        rest = &rest[end + 1..];
    }
    if has_branches(rest) {
        return Err("`|` beside `(?=` or `(?!` is not supported: put brackets around it".to_owned());
    }
    Ok((found, format!("^{rest}")))
}

/// Where the group ends that `pattern` begins with.
fn group_end(pattern: &str) -> Option<usize> {
    walk(pattern).find(|(_, letter, depth)| *letter == ')' && *depth == 0).map(|(at, ..)| at)
}

fn has_branches(pattern: &str) -> bool {
    walk(pattern).any(|(_, letter, depth)| letter == '|' && depth == 0)
}

/// The letters outside of classes and escapes, and how deep in brackets they are.
fn walk(pattern: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let (mut depth, mut in_class, mut escaped) = (0usize, false, false);
    pattern.char_indices().filter_map(move |(at, letter)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match letter {
            '\\' => escaped = true,
            ']' if in_class => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return Some((at, letter, depth)),
        }
        (letter == ')' && !in_class).then_some((at, letter, depth))
    })
}

/// The pattern in the notation of `regex_syntax`, whose classes are those of Unicode.
fn translated(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut letters = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => escape(&mut letters, in_class, &mut out)?,
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if letters.next_if_eq(&']').is_some() {
                    return Err("an empty class `[]` is not supported".to_owned());
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // Operators between classes, which ECMA does not have.
            '&' | '~' if in_class => out.extend(['\\', letter]),
            '-' if in_class && letters.peek() == Some(&'-') => out.push_str("\\-"),
            '(' if !in_class && letters.peek() == Some(&'?') => {
                letters.next();
                out.push_str("(?");
                match (letters.next(), letters.peek()) {
                    (Some(':'), _) => out.push(':'),
                    (Some('<'), Some(next)) if !matches!(next, '=' | '!') => out.push_str("P<"),
                    (Some(kind @ ('=' | '!')), _) => {
                        return Err(format!("`(?{kind}` is supported only right behind a `^` at its start"));
                    }
                    (Some('<'), _) => {
                        return Err("looking behind (`(?<=`, `(?<!`) is not supported".to_owned());
                    }
                    (Some(kind), _) => return Err(format!("`(?{kind}` is not supported")),
                    (None, _) => return Err("it ends in `(?`".to_owned()),
                }
            }
            // A `.` is no end of a line.
            '.' if !in_class => out.push_str(r"[^\n\r\x{2028}\x{2029}]"),
            letter => out.push(letter),
        }
    }
    Ok(out)
}

fn escape(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    in_class: bool,
    out: &mut String,
) -> Result<(), String> {
    let class = |inside: &str, excludes: bool| {
        if in_class && excludes {
            format!("[^{inside}]")
        } else if in_class {
            inside.to_owned()
        } else {
            format!("[{}{inside}]", if excludes { "^" } else { "" })
        }
    };
    let letter = letters.next().ok_or("it ends in a `\\`")?;
    match letter {
        'd' | 'D' => out.push_str(&class("0-9", letter == 'D')),
        'w' | 'W' => out.push_str(&class("0-9A-Z_a-z", letter == 'W')),
        's' | 'S' => out.push_str(&class(SPACES, letter == 'S')),
        'b' if in_class => out.push_str(r"\x08"),
        't' | 'n' | 'r' | 'f' | 'v' | 'p' | 'P' | 'b' | 'B' => out.extend(['\\', letter]),
        '0' if !letters.peek().is_some_and(char::is_ascii_digit) => out.push_str(r"\x00"),
        '0'..='9' => return Err(format!("`\\{letter}`, a reference back, is not supported")),
        'x' => out.push_str(&format!(r"\x{{{}}}", hex(letters, 2)?)),
        'u' if letters.next_if_eq(&'{').is_some() => {
            let digits: String = std::iter::from_fn(|| letters.next_if(char::is_ascii_hexdigit)).collect();
            letters.next_if_eq(&'}').ok_or("`\\u{` has no `}`")?;
            out.push_str(&format!(r"\x{{{digits}}}"));
        }
        'u' => out.push_str(&format!(r"\x{{{}}}", hex(letters, 4)?)),
        letter if letter.is_alphanumeric() => return Err(format!("`\\{letter}` is not supported")),
        '<' | '>' => out.push(letter),
        letter if letter.is_ascii_punctuation() => out.extend(['\\', letter]),
        letter => out.push(letter),
    }
    Ok(())
}

fn hex(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, digits: usize) -> Result<String, String> {
    let found: String = letters.by_ref().take(digits).collect();
    let is_hex = found.len() == digits && found.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(found) } else { Err(format!("{digits} hexadecimal digits are missing")) }
}

/// What is wrong with a pattern, in a line.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().lines().last().unwrap_or_default().to_owned(),
    }
}
