//! A configuration as a tree in which every node knows where it came from: a place in the file, an
//! environment variable, or a command-line flag. Later layers are set over earlier ones here, before
//! anything is checked, so that one check sees the whole and names the origin of what is wrong.
//!
//! Rules: ORCH-CONF-8

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in the file, counted from 1.
    File {
        /// The line.
        line: u64,
        /// The column, in characters.
        column: u64,
    },
    /// An environment variable.
    Env(String),
    /// A command-line flag.
    Flag(String),
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A path from the root, written `pools[0].slots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(pub(crate) Vec<Step>);

impl Path {
    pub(crate) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// Reads `pools[0].slots`; nothing when it is not a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut path = Self::default();
        for part in text.split('.') {
            let (key, indices) = part.split_once('[').map_or((part, None), |(key, rest)| (key, Some(rest)));
            if key.is_empty() {
                return None;
            }
            path = path.key(key);
            for index in indices.into_iter().flat_map(|rest| rest.split('[')) {
                path = path.index(index.strip_suffix(']')?.parse().ok()?);
            }
        }
        Some(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Node {
    /// Reads a YAML document. An empty one is an empty map.
    pub(crate) fn from_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            budget: serde_saphyr::budget! {
                // The size of the file bounds both. The parser's own bounds are met by honest files: 33 lines of
                // comment before the first entry of a list, one anchor that all of 64 pools refer to.
                max_buffered_comment_events: usize::MAX,
                enforce_alias_anchor_ratio: false,
            },
        };
        let parsed: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options)?;
        let node = Self::located(parsed);
        Ok(match node.value {
            Value::Null => Self { value: Value::Map(Vec::new()), ..node },
            _ => node,
        })
    }

    /// An empty map, for when there is no file.
    pub(crate) fn empty() -> Self {
        Self { value: Value::Map(Vec::new()), origin: Origin::File { line: 1, column: 1 } }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    fn located(raw: Spanned<Raw>) -> Self {
        let origin = place(&raw.referenced);
        let value = match raw.value {
            Raw::Scalar(value) => value,
            Raw::List(items) => Value::List(items.into_iter().map(Self::located).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key_origin: place(&key.referenced),
                        key: key.value,
                        node: Self::located(value),
                    })
                    .collect(),
            ),
        };
        Self { value, origin }
    }

    /// The node at a path.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (step, &self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.iter().find(|entry| entry.key == *key)?.node.at(rest)
            }
            (Step::Index(index), Value::List(items)) => items.get(*index)?.at(rest),
            _ => None,
        }
    }

    /// Where the value at a path, or its nearest parent that is written down, came from.
    pub(crate) fn origin_of(&self, path: &Path) -> &Origin {
        (0..=path.0.len())
            .rev()
            .find_map(|depth| self.at(&path.0[..depth]))
            .map_or(&self.origin, |node| &node.origin)
    }

    /// Puts a value at a path, over what is there; maps and lists on the way are made. A list grows by
    /// one at most: an index beyond that gives back the list's length.
    pub(crate) fn set(&mut self, path: &[Step], value: Value, origin: &Origin) -> Result<(), usize> {
        let Some((step, rest)) = path.split_first() else {
            *self = Self { value, origin: origin.clone() };
            return Ok(());
        };
        match step {
            Step::Key(key) => self.child(key, origin).set(rest, value, origin),
            Step::Index(index) => self.item(*index, origin)?.set(rest, value, origin),
        }
    }

    fn child(&mut self, key: &str, origin: &Origin) -> &mut Self {
        if !matches!(self.value, Value::Map(_)) {
            *self = Self { value: Value::Map(Vec::new()), origin: origin.clone() };
        }
        let Value::Map(entries) = &mut self.value else { unreachable!("made a map above") };
        let place = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            let node = Self { value: Value::Null, origin: origin.clone() };
            entries.push(Entry { key: key.to_owned(), key_origin: origin.clone(), node });
            entries.len() - 1
        });
        &mut entries[place].node
    }

    fn item(&mut self, index: usize, origin: &Origin) -> Result<&mut Self, usize> {
        if !matches!(self.value, Value::List(_)) {
            *self = Self { value: Value::List(Vec::new()), origin: origin.clone() };
        }
        let Value::List(items) = &mut self.value else { unreachable!("made a list above") };
        if index > items.len() {
            return Err(items.len());
        }
        if index == items.len() {
            items.push(Self { value: Value::Null, origin: origin.clone() });
        }
        Ok(&mut items[index])
    }

    /// The value without its places. Entries that say nothing (`key:` alone) are left out, so that the
    /// default holds.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::from(*value),
            Value::Integer(value) => {
                i64::try_from(*value).map_or_else(|_| Json::from(*value as f64), Json::from)
            }
            Value::Number(value) => Json::from(*value),
            Value::Text(text) => Json::from(text.as_str()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .filter(|entry| entry.node.value != Value::Null)
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }
}

fn place(location: &serde_saphyr::Location) -> Origin {
    Origin::File { line: location.line(), column: location.column() }
}

/// A node as the parser hands it over.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Integer(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests;
