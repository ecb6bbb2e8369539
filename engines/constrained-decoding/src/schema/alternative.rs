//! What one alternative of a schema says, type by type, and what two of them say together.

use std::rc::Rc;

use serde_json::Value;

use super::{All, Fault};
use crate::automaton::TextSet;

/// A set of types.
pub type Types = u8;

pub const NULL: Types = 1;
pub const BOOLEAN: Types = 2;
pub const INTEGER: Types = 4;
/// Numbers that are no integers.
pub const NUMBER: Types = 8;
pub const STRING: Types = 16;
pub const ARRAY: Types = 32;
pub const OBJECT: Types = 64;
pub const ANY: Types = 127;

/// Values of which all of this holds.
#[derive(Clone, Debug)]
pub struct Alternative<'a> {
    pub types: Types,
    /// Types that have keywords of their own here.
    pub spoken_of: Types,
    /// One of these, where they are listed.
    pub values: Option<Vec<&'a Value>>,
    pub number: Numbers,
    pub text: Texts,
    pub array: Arrays<'a>,
    pub object: Objects<'a>,
}

#[derive(Clone, Debug, Default)]
pub struct Numbers {
    pub sets: Vec<TextSet>,
    /// Digits before the point of the longest bound.
    pub digits: usize,
    pub at: Option<Rc<str>>,
}

#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub least: u64,
    pub most: Option<u64>,
    pub sets: Vec<TextSet>,
    pub at: Option<Rc<str>>,
}

#[derive(Clone, Debug, Default)]
pub struct Arrays<'a> {
    /// The first items.
    pub first: Vec<All<'a>>,
    /// All others.
    pub rest: Option<All<'a>>,
    pub least: u64,
    pub most: Option<u64>,
    /// Where it is said that no two items are the same.
    pub unique: Option<Rc<str>>,
    pub contains: Vec<Contains<'a>>,
    /// Whether there are no items but those spoken of.
    pub closed: bool,
}

/// Items of which there must be some.
#[derive(Clone, Debug)]
pub struct Contains<'a> {
    pub item: All<'a>,
    pub least: u64,
    pub at: Rc<str>,
}

#[derive(Clone, Debug, Default)]
pub struct Objects<'a> {
    pub named: Vec<(String, All<'a>)>,
    pub patterns: Vec<Named<'a>>,
    /// Properties that are neither named nor of a pattern.
    pub others: Option<All<'a>>,
    pub required: Vec<String>,
    pub least: u64,
    pub most: Option<u64>,
    /// What all names must be.
    pub names: Vec<All<'a>>,
    /// Names that are required where another one is there.
    pub dependents: Vec<(String, Vec<String>)>,
    /// Whether there are no properties but those spoken of.
    pub closed: bool,
    pub at: Option<Rc<str>>,
}

/// Properties whose names are of a pattern.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    pub names: Vec<TextSet>,
    pub schema: All<'a>,
}

impl<'a> Default for Alternative<'a> {
    fn default() -> Self {
        Self {
            types: ANY,
            spoken_of: 0,
            values: None,
            number: Numbers::default(),
            text: Texts::default(),
            array: Arrays::default(),
            object: Objects::default(),
        }
    }
}

impl<'a> Alternative<'a> {
    /// Whether it says nothing.
    pub fn is_free(&self) -> bool {
        self.spoken_of == 0 && self.values.is_none()
    }

    /// The types meant: where none is named, those whose keywords are used.
    pub fn likely_types(&self) -> Types {
        if self.types == ANY && self.spoken_of != 0 { self.spoken_of } else { self.types }
    }

    /// What holds where both hold; nothing where no value can be of both.
    pub fn and(mut self, other: &Self) -> Result<Option<Self>, Fault> {
        self.types &= other.types;
        self.spoken_of |= other.spoken_of;
        self.values = match (self.values, &other.values) {
            (Some(ours), Some(theirs)) => {
                Some(ours.into_iter().filter(|value| theirs.iter().any(|other| same(value, other))).collect())
            }
            (ours, theirs) => ours.or_else(|| theirs.clone()),
        };
        self.number.and(&other.number);
        self.text.and(&other.text);
        self.array.and(&other.array);
        self.object.and(&other.object);
        let is_empty = self.types == 0 || self.values.as_ref().is_some_and(Vec::is_empty);
        Ok((!is_empty).then_some(self))
    }
}

/// Whether two values are the same to a schema, to which 1.0 is 1.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn least_of(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Numbers {
    fn and(&mut self, other: &Self) {
        self.sets.extend_from_slice(&other.sets);
        self.digits = self.digits.max(other.digits);
        self.at = self.at.take().or_else(|| other.at.clone());
    }
}

impl Texts {
    fn and(&mut self, other: &Self) {
        self.least = self.least.max(other.least);
        self.most = least_of(self.most, other.most);
        self.sets.extend_from_slice(&other.sets);
        self.at = self.at.take().or_else(|| other.at.clone());
    }
}

impl<'a> Arrays<'a> {
    /// What is said of the item at `index`.
    pub fn item(&self, index: usize) -> All<'a> {
        self.first.get(index).or(self.rest.as_ref()).cloned().unwrap_or_default()
    }

    fn and(&mut self, other: &Self) {
        let both = |index: usize| self.item(index).into_iter().chain(other.item(index)).collect();
        self.first = (0..self.first.len().max(other.first.len())).map(both).collect();
        self.rest = match (self.rest.take(), &other.rest) {
            (Some(ours), Some(theirs)) => Some(ours.into_iter().chain(theirs.iter().cloned()).collect()),
            (ours, theirs) => ours.or_else(|| theirs.clone()),
        };
        self.least = self.least.max(other.least);
        self.most = least_of(self.most, other.most);
        self.unique = self.unique.take().or_else(|| other.unique.clone());
        self.contains.extend_from_slice(&other.contains);
        self.closed |= other.closed;
    }
}

impl<'a> Objects<'a> {
    /// What is said of the property `name`.
    pub fn property(&self, name: &str) -> All<'a> {
        let named = self.named.iter().find(|(known, _)| known == name).map(|(_, schema)| schema);
        let of_pattern = self.of_patterns(name);
        match (named, of_pattern.is_empty()) {
            (None, true) => self.others.clone().unwrap_or_default(),
            (named, _) => named.into_iter().flatten().cloned().chain(of_pattern).collect(),
        }
    }

    /// What patterns say of the property `name`.
    fn of_patterns(&self, name: &str) -> All<'a> {
        let fits = |named: &&Named<'a>| named.names.iter().all(|names| names.contains(name));
        self.patterns.iter().filter(fits).flat_map(|named| named.schema.clone()).collect()
    }

    /// Whether a property `name` is mentioned.
    pub fn mentions(&self, name: &str) -> bool {
        self.named.iter().any(|(known, _)| known == name) || !self.of_patterns(name).is_empty()
    }

    /// Whether nothing is said of properties.
    pub fn is_open(&self) -> bool {
        self.others.is_none() && self.named.is_empty() && self.patterns.is_empty() && self.required.is_empty()
    }

    fn and(&mut self, other: &Self) {
        let mut named = Vec::with_capacity(self.named.len() + other.named.len());
        for (name, schema) in &self.named {
            // Patterns hold beside a name in any case; what is unlisted holds only there.
            let theirs = match other.named.iter().find(|(known, _)| known == name) {
                Some((_, theirs)) => theirs.clone(),
                None if other.of_patterns(name).is_empty() => other.others.clone().unwrap_or_default(),
                None => Vec::new(),
            };
            named.push((name.clone(), schema.iter().cloned().chain(theirs).collect()));
        }
        for (name, schema) in &other.named {
            if self.named.iter().any(|(known, _)| known == name) {
                continue;
            }
            let ours = if self.of_patterns(name).is_empty() { self.others.clone() } else { None };
            named.push((
                name.clone(),
                ours.unwrap_or_default().into_iter().chain(schema.iter().cloned()).collect(),
            ));
        }
        let with = |named: &Named<'a>, others: &Option<All<'a>>| Named {
            names: named.names.clone(),
            schema: named.schema.iter().cloned().chain(others.clone().unwrap_or_default()).collect(),
        };
        let theirs = other.patterns.iter().map(|named| with(named, &self.others)).collect::<Vec<_>>();
        self.patterns = self.patterns.iter().map(|named| with(named, &other.others)).chain(theirs).collect();
        self.named = named;
        self.others = match (self.others.take(), &other.others) {
            (Some(ours), Some(theirs)) => Some(ours.into_iter().chain(theirs.iter().cloned()).collect()),
            (ours, theirs) => ours.or_else(|| theirs.clone()),
        };
        for name in &other.required {
            if !self.required.contains(name) {
                self.required.push(name.clone());
            }
        }
        self.least = self.least.max(other.least);
        self.most = least_of(self.most, other.most);
        self.names.extend_from_slice(&other.names);
        self.dependents.extend_from_slice(&other.dependents);
        self.closed |= other.closed;
        self.at = self.at.take().or_else(|| other.at.clone());
    }
}
