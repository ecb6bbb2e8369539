//! JSON schemas as grammars (GBNF). Every keyword is kept, or the schema is rejected with the keyword and its place: a
//! grammar is never wider than its schema. Where a schema is a hint and no promise ([`Unsupported::Widen`]), a keyword
//! that cannot be kept is left out.
//!
//! A grammar may be narrower than its schema where nobody minds: properties come in the order of the schema, and an
//! object has none that its schema does not mention, unless it asks for them with `additionalProperties`.
//!
//! ```text
//! Value ──reader──► alternatives without `$ref`, `allOf`, `anyOf` … ──object, array, text──► rules of a grammar
//! ```

mod alternative;
mod array;
mod emit;
mod format;
mod object;
mod overlap;
mod reader;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;

use alternative::Alternative;
use emit::Rules;
use reader::Reader;

/// What is done with a keyword that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The schema is rejected.
    Reject,
    /// The keyword is left out: the grammar is wider there.
    Widen,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notation {
    /// As JSON.
    Json,
    /// Keys without quotes, and texts between marks.
    Marked {
        /// The mark before and behind a text.
        quote: &'static str,
    },
    /// Texts as they are, up to a mark; everything else as JSON.
    Bare {
        /// What a text must not hold, since it ends there.
        ends: &'static [&'static str],
    },
}

/// A part of a schema, and where it is.
#[derive(Clone, Debug)]
struct Part<'a> {
    schema: &'a Value,
    at: Rc<str>,
}

/// Parts that all hold.
type All<'a> = Vec<Part<'a>>;

/// Where in a schema something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer, as a fragment of a URI.
    pub at: String,
    /// What is wrong there.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at `{}`: {}", self.at, self.what)
    }
}

/// The grammar of the values of `schema`, with a rule `root`.
///
/// # Errors
/// The first keyword that cannot be kept, or that no value at all is of the schema.
pub fn to_gbnf(schema: &Value, notation: Notation, unsupported: Unsupported) -> Result<String, Fault> {
    part_to_gbnf(schema, "", notation, unsupported)
}

/// The same for the part at a JSON pointer of `root`, to which its references lead.
///
/// # Errors
/// As those of [`to_gbnf`].
pub fn part_to_gbnf(
    root: &Value,
    pointer: &str,
    notation: Notation,
    unsupported: Unsupported,
) -> Result<String, Fault> {
    let at: Rc<str> = format!("#{pointer}").into();
    let nothing = |what: &str| Fault { at: at.to_string(), what: what.to_owned() };
    let schema = root.pointer(pointer).ok_or_else(|| nothing("there is nothing"))?;
    let mut converter = Converter::new(Reader::new(root, unsupported));
    let whole = vec![Part { schema, at: Rc::clone(&at) }];
    let Some(rule) = converter.value(&whole, notation)? else {
        let at = converter.empty_at.unwrap_or_else(|| at.to_string());
        return Err(Fault { at, what: "no value at all is of this schema".to_owned() });
    };
    let Converter { mut rules, .. } = converter;
    rules.add_as("root", &rule);
    Ok(rules.into_text())
}

/// Makes rules of schemas.
struct Converter<'a> {
    reader: Reader<'a>,
    rules: Rules,
    /// The rules of parts that were met, by their addresses.
    known: HashMap<(Vec<*const Value>, Notation), Known>,
    /// Where a part was found of which there is no value.
    empty_at: Option<String>,
}

enum Known {
    /// It is being made, and refers to itself.
    Pending(String),
    /// It is there; nothing where there is no value.
    Done(Option<String>),
}

impl<'a> Converter<'a> {
    fn new(reader: Reader<'a>) -> Self {
        Self { reader, rules: Rules::default(), known: HashMap::new(), empty_at: None }
    }

    /// The rule of the values of which all `parts` hold; nothing where there are none.
    fn value(&mut self, parts: &All<'a>, notation: Notation) -> Result<Option<String>, Fault> {
        let parts = self.reader.direct(parts)?;
        let key = (parts.iter().map(|part| std::ptr::from_ref(part.schema)).collect::<Vec<_>>(), notation);
        match self.known.get(&key) {
            Some(Known::Pending(name)) => return Ok(Some(name.clone())),
            Some(Known::Done(done)) => return Ok(done.clone()),
            None => {}
        }
        let name = self.rules.name("v");
        self.known.insert(key.clone(), Known::Pending(name.clone()));
        let mut bodies = Vec::new();
        for alternative in self.reader.alternatives(&parts)? {
            self.alternative(&parts, &alternative, notation, &mut bodies)?;
        }
        let done = if bodies.is_empty() {
            let at = parts.first().map_or("#", |part| &part.at);
            self.empty_at.get_or_insert_with(|| at.to_owned());
            self.rules.add_as(&name, emit::NOTHING);
            None
        } else {
            bodies.dedup();
            self.rules.add_as(&name, &bodies.join(" | "));
            Some(name)
        };
        self.known.insert(key, Known::Done(done.clone()));
        Ok(done)
    }

    /// Adds what the values of an alternative look like to `bodies`.
    fn alternative(
        &mut self,
        parts: &All<'a>,
        alternative: &Alternative<'a>,
        notation: Notation,
        bodies: &mut Vec<String>,
    ) -> Result<(), Fault> {
        if let Some(values) = &alternative.values {
            let mut texts = Vec::new();
            for value in values {
                if self.reader.holds(parts, value)? {
                    texts.push(emit::written(value, notation, alternative.may_be_text()));
                }
            }
            bodies.extend(self.rules.listed(texts, notation));
            return Ok(());
        }
        let types = alternative.likely_types();
        if alternative.is_free() && types == alternative::ANY {
            bodies.push(self.rules.any("value", notation));
            return Ok(());
        }
        use alternative::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING};
        // A text that is written as it is cannot be told from anything else.
        let bare = matches!(notation, Notation::Bare { .. }) && types & STRING != 0;
        if types & OBJECT != 0 && !bare {
            bodies.extend(self.object(&alternative.object, notation)?);
        }
        if types & ARRAY != 0 && !bare {
            bodies.extend(self.array(&alternative.array, notation)?);
        }
        if types & STRING != 0 {
            bodies.extend(self.text(&alternative.text, notation)?);
        }
        if types & (INTEGER | NUMBER) != 0 && !bare {
            bodies.extend(self.number(&alternative.number, types & NUMBER == 0, notation)?);
        }
        if types & BOOLEAN != 0 && !bare {
            bodies.push(self.rules.any("boolean", notation));
        }
        if types & NULL != 0 {
            bodies.push(self.rules.any("null", notation));
        }
        Ok(())
    }
}
