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
//!
//! Rules: ORCH-ENG-28

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
    /// Texts as they are, up to a mark, and `null`.
    Bare,
    /// An object as elements, one for each property: values are JSON, but for texts ([`Notation::Bare`]).
    Elements(Elements),
}

/// How the properties of an object are written as elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elements {
    /// What stands before a name.
    pub open: &'static str,
    /// Between the name and its value.
    pub between: &'static str,
    /// Behind the value.
    pub close: &'static str,
}

/// How texts are written as they are.
#[derive(Clone, Copy)]
pub struct BareTexts<'a> {
    /// What a text must not hold, since it ends there.
    pub ends: &'a [&'a str],
    /// Of which elements texts are written like that: those of others are JSON.
    pub are_bare: &'a dyn Fn(&str) -> bool,
}

impl BareTexts<'_> {
    const NONE: BareTexts<'static> = BareTexts { ends: &[], are_bare: &|_| false };
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
    convert(schema, "", notation, BareTexts::NONE, unsupported)
}

/// The grammar of an object's properties as elements.
///
/// # Errors
/// As those of [`to_gbnf`].
pub fn elements_to_gbnf(
    schema: &Value,
    elements: Elements,
    texts: BareTexts<'_>,
    unsupported: Unsupported,
) -> Result<String, Fault> {
    convert(schema, "", Notation::Elements(elements), texts, unsupported)
}

/// The grammar of one property of an object; nothing where the schema has none of this `name`. With `ends`, its texts are
/// written as they are, up to one of these.
///
/// # Errors
/// As those of [`to_gbnf`].
pub fn property_to_gbnf(
    schema: &Value,
    name: &str,
    ends: Option<&[&str]>,
    unsupported: Unsupported,
) -> Result<String, Fault> {
    let pointer = format!("/properties/{}", reader::escaped(name));
    let notation = if ends.is_some() { Notation::Bare } else { Notation::Json };
    let texts = BareTexts { ends: ends.unwrap_or_default(), ..BareTexts::NONE };
    convert(schema, &pointer, notation, texts, unsupported)
}

fn convert(
    root: &Value,
    pointer: &str,
    notation: Notation,
    texts: BareTexts<'_>,
    unsupported: Unsupported,
) -> Result<String, Fault> {
    let at = format!("#{pointer}");
    let schema = root.pointer(pointer).ok_or_else(|| reader::fault(&at, "there is no schema"))?;
    let mut converter = Converter::new(Reader::new(root, unsupported), texts);
    let whole = vec![Part { schema, at: at.as_str().into() }];
    let Some(rule) = converter.value(&whole, notation)? else {
        let at = converter.empty_at.unwrap_or(at);
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
    texts: BareTexts<'a>,
}

enum Known {
    /// It is being made, and refers to itself.
    Pending(String),
    /// It is there; nothing where there is no value.
    Done(Option<String>),
}

impl<'a> Converter<'a> {
    fn new(reader: Reader<'a>, texts: BareTexts<'a>) -> Self {
        Self { reader, rules: Rules::default(), known: HashMap::new(), empty_at: None, texts }
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
                    texts.extend(emit::written(value, notation, self.texts.ends));
                }
            }
            bodies.extend(self.rules.listed(texts, notation));
            return Ok(());
        }
        let types = alternative.likely_types();
        let holds_all = matches!(notation, Notation::Json | Notation::Marked { .. });
        if alternative.is_free() && types == alternative::ANY && holds_all {
            bodies.push(self.rules.any("value", notation));
            return Ok(());
        }
        use alternative::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING};
        // A text that is written as it is cannot be told from anything else, and elements are an object.
        let types = match notation {
            Notation::Json | Notation::Marked { .. } => types,
            Notation::Bare => types & (STRING | NULL),
            Notation::Elements(_) => types & OBJECT,
        };
        if types & OBJECT != 0 {
            bodies.extend(self.object(&alternative.object, notation)?);
        }
        if types & ARRAY != 0 {
            bodies.extend(self.array(&alternative.array, notation)?);
        }
        if types & STRING != 0 {
            bodies.extend(self.text(&alternative.text, notation)?);
        }
        if types & (INTEGER | NUMBER) != 0 {
            bodies.extend(self.number(&alternative.number, types & NUMBER == 0, notation)?);
        }
        if types & BOOLEAN != 0 {
            bodies.push(self.rules.any("boolean", notation));
        }
        if types & NULL != 0 {
            bodies.push(self.rules.any("null", notation));
        }
        Ok(())
    }
}
