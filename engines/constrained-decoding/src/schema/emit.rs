//! Rules of a grammar as text.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::Notation;
use crate::automaton::{Dfa, Ranges, TextSet, intersection};

/// What no text is of.
pub const NOTHING: &str = r"[^\U00000000-\U0010FFFF]";

/// Rules, by their names.
#[derive(Debug, Default)]
pub struct Rules {
    rules: BTreeMap<String, String>,
    /// Names of rules by what they stand for, so that the same is there once.
    known: HashMap<String, String>,
    next: usize,
}

/// White space between the parts of JSON: what llama.cpp's grammars allow.
const SPACE: &str = r#"| " " | "\n"{1,2} [ \t]{0,20}"#;

/// What stands behind a value.
pub fn space(notation: Notation) -> &'static str {
    match notation {
        Notation::Json => " space",
        Notation::Marked { .. } | Notation::Bare | Notation::Elements(_) => "",
    }
}

/// A text in what is around it.
pub fn quoted(body: &str, notation: Notation) -> String {
    match notation {
        Notation::Json => format!("\"\\\"\" {body} \"\\\"\" space"),
        Notation::Marked { quote } => format!("{0} {body} {0}", literal(quote)),
        Notation::Bare | Notation::Elements(_) => body.to_owned(),
    }
}

/// A value as it is written; nothing where it cannot be. Texts that are written as they are must not hold an end.
pub fn written(value: &Value, notation: Notation, ends: &[&str]) -> Option<String> {
    let below = |value: &Value| written(value, notation, ends);
    match (notation, value) {
        (Notation::Json, value) => Some(value.to_string()),
        (Notation::Marked { quote }, Value::String(text)) => {
            (!text.contains(quote)).then(|| format!("{quote}{text}{quote}"))
        }
        (Notation::Marked { .. }, Value::Array(items)) => {
            let items: Option<Vec<String>> = items.iter().map(below).collect();
            Some(format!("[{}]", items?.join(",")))
        }
        (Notation::Marked { .. }, Value::Object(members)) => {
            let member = |(key, value): (&String, &Value)| Some(format!("{key}:{}", below(value)?));
            Some(format!("{{{}}}", members.iter().map(member).collect::<Option<Vec<_>>>()?.join(",")))
        }
        (Notation::Bare, Value::String(text)) => {
            (!ends.iter().any(|end| text.contains(end))).then(|| text.clone())
        }
        (Notation::Bare, Value::Null) | (Notation::Marked { .. }, _) => Some(value.to_string()),
        (Notation::Bare | Notation::Elements(_), _) => None,
    }
}

impl Rules {
    /// A name that is not taken.
    pub fn name(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{}", self.next)
    }

    /// Sets what `name` stands for.
    pub fn add_as(&mut self, name: &str, body: &str) {
        self.rules.insert(name.to_owned(), body.to_owned());
    }

    /// The name of a rule that stands for `body`.
    pub fn rule(&mut self, kind: &str, body: String) -> String {
        if let Some(known) = self.known.get(&body) {
            return known.clone();
        }
        let name = self.name(kind);
        self.rules.insert(name.clone(), body.clone());
        self.known.insert(body, name.clone());
        name
    }

    pub fn into_text(mut self) -> String {
        self.add_as("space", SPACE);
        let mut out = String::new();
        for (name, body) in self.rules {
            out.push_str(&name);
            out.push_str(" ::= ");
            out.push_str(&body);
            out.push('\n');
        }
        out
    }

    /// The rule of all values of a kind.
    pub fn any(&mut self, kind: &'static str, notation: Notation) -> String {
        let (suffix, space) = match notation {
            Notation::Json => ("", " space"),
            Notation::Marked { .. } => ("-m", ""),
            Notation::Bare if kind == "char" => ("-b", ""),
            Notation::Bare | Notation::Elements(_) => return self.any(kind, Notation::Json),
        };
        let name = format!("{kind}{suffix}");
        if self.rules.contains_key(&name) {
            return name;
        }
        self.rules.insert(name.clone(), String::new());
        let body = match kind {
            "char" => match notation {
                Notation::Json => {
                    let pair = r#""u" [dD] [89abAB] [0-9a-fA-F]{2} "\\u" [dD] [c-fC-F] [0-9a-fA-F]{2}"#;
                    let one = r#""u" ([0-9a-cA-Ce-fE-F] [0-9a-fA-F] | [dD] [0-7]) [0-9a-fA-F]{2}"#;
                    format!(r#"[^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | {one} | {pair})"#)
                }
                _ => "[^<\\x00]".to_owned(),
            },
            "chars" => match notation {
                Notation::Marked { quote } => {
                    let texts = intersection(&[TextSet::Without(quote.chars().collect())]);
                    texts
                        .ok()
                        .flatten()
                        .map_or_else(|| NOTHING.to_owned(), |dfa| self.automaton(&dfa, notation))
                }
                _ => format!("{}*", self.any("char", notation)),
            },
            "string" => {
                let chars = self.any("chars", notation);
                quoted(&chars, notation)
            }
            "integer" => format!(r#""-"? [1-9] [0-9]{{0,14}}{space} | "0"{space}"#),
            "number" => {
                let fraction = r#"("." [0-9]{1,15})?"#;
                format!(r#""-"? ("0" | [1-9] [0-9]{{0,14}}) {fraction} ([eE] [-+]? [0-9]{{1,2}})?{space}"#)
            }
            "boolean" => format!(r#"("true" | "false"){space}"#),
            "null" => format!(r#""null"{space}"#),
            "value" => {
                let kinds = ["object", "array", "string", "number", "boolean", "null"];
                kinds.map(|kind| self.any(kind, notation)).join(" | ")
            }
            "array" => {
                let value = self.any("value", notation);
                format!(r#""["{space} ({value} (","{space} {value})*)? "]"{space}"#)
            }
            _ => {
                let (value, key) = (self.any("value", notation), self.any("key", notation));
                match kind {
                    "key" => match notation {
                        Notation::Marked { .. } => "[a-zA-Z_] [a-zA-Z0-9_-]*".to_owned(),
                        _ => self.any("string", notation),
                    },
                    _ => {
                        let member = format!(r#"{key} ":"{space} {value}"#);
                        format!(r#""{{"{space} ({member} (","{space} {member})*)? "}}"{space}"#)
                    }
                }
            }
        };
        self.add_as(&name, &body);
        name
    }

    /// `least` to `most` times `item`. Large numbers are made of blocks, so that a grammar grows by their square root.
    pub fn counted(&mut self, item: &str, least: u64, most: Option<u64>) -> String {
        let exactly = self.times(item, least);
        let more = match most.filter(|most| *most <= MAX_COUNTED) {
            None => format!("{item}*"),
            Some(most) => self.up_to(item, most.saturating_sub(least)),
        };
        format!("{exactly} {more}").trim().to_owned()
    }

    fn times(&mut self, item: &str, count: u64) -> String {
        match count {
            0 => String::new(),
            1 => item.to_owned(),
            count if count <= SMALL => format!("{item}{{{count}}}"),
            count => {
                let size = count.isqrt();
                let block = self.rule("n", format!("{item}{{{size}}}"));
                let rest = self.times(item, count % size);
                format!("{block}{{{}}} {rest}", count / size)
            }
        }
    }

    fn up_to(&mut self, item: &str, count: u64) -> String {
        match count {
            0 => String::new(),
            count if count <= SMALL => format!("{item}{{0,{count}}}"),
            count => {
                let size = count.isqrt();
                let block = self.rule("n", format!("{item}{{{size}}}"));
                let (blocks, rest) = (count / size, count % size);
                let less = format!("{block}{{0,{}}} {item}{{0,{}}}", blocks - 1, size - 1);
                let all = format!("{block}{{{blocks}}} {item}{{0,{rest}}}");
                self.rule("n", format!("{less} | {all}"))
            }
        }
    }

    /// These texts, as they are: what they begin with in common is there once.
    pub fn listed(&mut self, mut texts: Vec<String>, notation: Notation) -> Option<String> {
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return None;
        }
        let texts: Vec<Vec<char>> = texts.iter().map(|text| text.chars().collect()).collect();
        let tree = self.branches(&texts, 0);
        let space = if matches!(notation, Notation::Json) { " space" } else { "" };
        Some(format!("({tree}){space}"))
    }

    /// What follows the first `read` characters of `texts`, which are the same.
    fn branches(&mut self, texts: &[Vec<char>], read: usize) -> String {
        let mut branches = Vec::new();
        for texts in texts.chunk_by(|one, other| one.get(read) == other.get(read)) {
            let first = &texts[0];
            let last = &texts[texts.len() - 1];
            let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
            let prefix = literal(&first[read..common].iter().collect::<String>());
            if texts.len() == 1 {
                branches.push(prefix);
            } else {
                let rest = self.branches(texts, common);
                branches.push(format!("{prefix} {}", self.rule("e", rest)));
            }
        }
        branches.join(" | ")
    }

    /// The rule of an automaton.
    pub fn automaton(&mut self, dfa: &Dfa, notation: Notation) -> String {
        let mut entered = vec![0usize; dfa.states.len()];
        entered[0] += 2;
        dfa.states.iter().flat_map(|state| &state.steps).for_each(|(_, target)| entered[*target] += 1);
        // A state that one character alone leads to and one leads from is part of a longer text.
        let passes = |state: usize| {
            let it = &dfa.states[state];
            !it.accepts && entered[state] == 1 && it.steps.len() == 1 && single(&it.steps[0].0).is_some()
        };
        let names: Vec<String> = dfa.states.iter().map(|_| self.name("s")).collect();
        for (number, state) in dfa.states.iter().enumerate().filter(|(number, _)| !passes(*number)) {
            let mut branches = Vec::new();
            for (ranges, target) in &state.steps {
                let mut target = *target;
                let mut behind = String::new();
                while passes(target) {
                    let (ranges, next) = &dfa.states[target].steps[0];
                    behind.extend(single(ranges));
                    target = *next;
                }
                let ends_here = dfa.states[target].steps.is_empty();
                let next = if ends_here { String::new() } else { format!(" {}", names[target]) };
                for first in characters(ranges, notation) {
                    let text = if behind.is_empty() {
                        first
                    } else {
                        format!("{first} {}", literal(&escaped(&behind, notation)))
                    };
                    branches.push(format!("{text}{next}"));
                }
            }
            if state.accepts {
                branches.push("\"\"".to_owned());
            }
            let body = if branches.is_empty() { NOTHING.to_owned() } else { branches.join(" | ") };
            self.add_as(&names[number], &body);
        }
        names[0].clone()
    }
}

/// What may come more often than this may come without end: no context holds so much.
pub const MAX_COUNTED: u64 = 1 << 21;

/// Repetitions that are written as they are.
const SMALL: u64 = 256;

fn single(ranges: &Ranges) -> Option<char> {
    match ranges[..] {
        [(low, high)] if low == high => char::from_u32(low).filter(|letter| !letter.is_control()),
        _ => None,
    }
}

/// Characters of a JSON string that are written with an escape, and its letter.
const ESCAPES: [(u32, char); 7] =
    [(0x22, '"'), (0x5C, '\\'), (0x08, 'b'), (0x09, 't'), (0x0A, 'n'), (0x0C, 'f'), (0x0D, 'r')];

/// One of the characters, in each of the ways that it may be written.
fn characters(ranges: &Ranges, notation: Notation) -> Vec<String> {
    if !matches!(notation, Notation::Json) {
        return vec![class(&without(ranges, &[(0, 0)]))];
    }
    let direct = without(ranges, &[(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)]);
    let has = |code: u32| ranges.iter().any(|(low, high)| (*low..=*high).contains(&code));
    let escapes: Vec<(u32, u32)> = ESCAPES
        .iter()
        .filter(|(code, _)| has(*code))
        .map(|(_, letter)| (*letter as u32, *letter as u32))
        .collect();
    let mut found = Vec::new();
    if !direct.is_empty() {
        found.push(class(&direct));
    }
    if !escapes.is_empty() {
        found.push(format!("\"\\\\\" {}", class(&escapes)));
    }
    if found.is_empty() {
        found.push(NOTHING.to_owned());
    }
    found
}

fn escaped(text: &str, notation: Notation) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(notation, Notation::Json) && matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

/// `ranges` without others.
fn without(ranges: &Ranges, others: &[(u32, u32)]) -> Ranges {
    let mut left = ranges.clone();
    for (low, high) in others {
        left = left
            .into_iter()
            .flat_map(|(from, to)| {
                let before = (from < *low).then(|| (from, to.min(low.saturating_sub(1))));
                let behind = (to > *high).then(|| (from.max(high + 1), to));
                before.into_iter().chain(behind)
            })
            .collect();
    }
    left
}

/// A class of characters.
fn class(ranges: &Ranges) -> String {
    let mut out = String::from("[");
    for (low, high) in ranges {
        code(*low, &mut out);
        if high > low {
            out.push('-');
            code(*high, &mut out);
        }
    }
    out.push(']');
    out
}

/// A text as GBNF writes it.
pub fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|letter| code(u32::from(letter), &mut out));
    out.push('"');
    out
}

fn code(code: u32, out: &mut String) {
    match char::from_u32(code) {
        Some(letter) if letter.is_ascii_alphanumeric() || " :,.;/_<>={}()@+*!?&%$#|~`'".contains(letter) => {
            out.push(letter);
        }
        _ if code <= 0xFF => out.push_str(&format!("\\x{code:02X}")),
        _ if code <= 0xFFFF => out.push_str(&format!("\\u{code:04X}")),
        _ => out.push_str(&format!("\\U{code:08X}")),
    }
}
