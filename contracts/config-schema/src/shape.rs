//! The JSON Schema, and what of it the loader checks. The schema is made from the types of
//! [`crate::raw`]; a [`Shape`] is the same schema in a form that is quick to walk, so that what an editor
//! accepts and what the loader accepts is one thing.
//!
//! Rules: ORCH-CONF-4

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::config::{AUTO, DeviceChoice};
use crate::raw::File;
use crate::tree::Step;

/// The JSON Schema of the file, as a document that ends in a line break.
#[must_use]
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).expect("a schema is JSON");
    text.push('\n');
    text
}

/// The JSON Schema of the file.
pub(crate) fn schema() -> Json {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<File>().to_value();
    clean(&mut schema);
    // The order must not depend on how serde_json was built.
    schema.sort_all_objects();
    schema
}

/// Leaves out what says nothing to an editor or would have it accept `null`: the loader takes an entry
/// without a value as absent, and schemars writes that as a second type.
fn clean(schema: &mut Json) {
    let Json::Object(object) = schema else { return };
    object.remove("format");
    if object.get("default").is_some_and(Json::is_null) {
        object.remove("default");
    }
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Json::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
        if let [Json::Object(one)] = choices.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            object.extend(one);
        }
    }
    for (key, part) in object {
        match (key.as_str(), part) {
            ("properties" | "$defs", Json::Object(schemas)) => schemas.values_mut().for_each(clean),
            ("items" | "additionalProperties", schema) => clean(schema),
            ("anyOf", Json::Array(choices)) => choices.iter_mut().for_each(clean),
            _ => {}
        }
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Bool,
    Integer {
        min: i128,
        max: i128,
    },
    Number {
        min: f64,
        max: f64,
    },
    Text {
        min_len: usize,
        max_len: usize,
        form: Option<Form>,
    },
    OneOf(Vec<String>),
    List {
        item: Box<Shape>,
        min_len: usize,
        max_len: usize,
    },
    /// A whole number, or one of some words.
    IntegerOrWord {
        min: i128,
        max: i128,
        words: Vec<String>,
    },
    /// One value of the shape `one`, or a list of the shape `list`.
    LoneOrList {
        one: Box<Shape>,
        list: Box<Shape>,
    },
    /// One of some words, or a section.
    WordOrFields {
        words: Vec<String>,
        fields: BTreeMap<String, Shape>,
    },
    Fields(BTreeMap<String, Shape>),
    Named(Box<Shape>),
    /// Anything: what it means is another's to judge.
    Any,
}

/// The form a text must have. Each pattern of [`crate::raw`] has one here, which says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    PoolId,
    Sha256,
    /// A device, or `auto`.
    Devices,
    /// A device.
    Device,
}

impl Form {
    fn of_pattern(pattern: &str) -> Self {
        match pattern {
            "^[a-z0-9][a-z0-9._-]{0,62}$" => Self::PoolId,
            "^[0-9a-fA-F]{64}$" => Self::Sha256,
            "^(auto|cpu|gpu[0-9]{1,3}|GPU-[0-9A-Za-z-]+)$" => Self::Devices,
            "^(cpu|gpu[0-9]{1,3}|GPU-[0-9A-Za-z-]+)$" => Self::Device,
            other => unreachable!("the pattern {other} of the schema has a form"),
        }
    }

    pub(crate) fn fits(self, text: &str) -> bool {
        match self {
            Self::PoolId => orchestrator_core::PoolId::new(text).is_ok(),
            Self::Sha256 => text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Devices => text == AUTO || DeviceChoice::parse(text).is_some(),
            Self::Device => DeviceChoice::parse(text).is_some(),
        }
    }

    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::PoolId => {
                "1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, of which the first is a letter or digit"
            }
            Self::Sha256 => "64 hexadecimal digits",
            Self::Devices => {
                "`auto`, `cpu`, `gpu0` (a card's place in PCI order), `GPU-…` (a card's UUID), or a list of \
                 devices"
            }
            Self::Device => "`cpu`, `gpu0` (a card's place in PCI order) or `GPU-…` (a card's UUID)",
        }
    }

    /// What to do about a text that does not fit, where the words alone do not say it.
    pub(crate) fn hint(self, text: &str) -> Option<&'static str> {
        match (self, text) {
            (Self::Device, AUTO) => Some("`auto` stands alone: write `devices: auto`, or name the devices"),
            _ => None,
        }
    }
}

impl Shape {
    /// The shape of the whole file.
    pub(crate) fn of_file() -> Self {
        let root = schema();
        Self::read(&root, &root)
    }

    /// The shape of the option at a path.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (step, self) {
            (Step::Key(key), Self::Fields(fields) | Self::WordOrFields { fields, .. }) => {
                fields.get(key)?.at(rest)
            }
            (Step::Key(_), Self::Named(item)) | (Step::Index(_), Self::List { item, .. }) => item.at(rest),
            (_, Self::Any) => Some(self),
            (Step::Index(_), Self::LoneOrList { list, .. }) => list.at(path),
            _ => None,
        }
    }

    fn read(schema: &Json, root: &Json) -> Self {
        if *schema == Json::Bool(true) {
            return Self::Any;
        }
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let pointer = name.strip_prefix('#').expect("references stay in the document");
            return Self::read(root.pointer(pointer).expect("a reference leads somewhere"), root);
        }
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            let name = |choice: &Json| choice["const"].as_str().expect("a choice is a word").to_owned();
            return Self::OneOf(choices.iter().map(name).collect());
        }
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            let [one, other] = choices.as_slice() else { unreachable!("a choice is between two") };
            return match (Self::read(one, root), Self::read(other, root)) {
                (Self::Integer { min, max }, Self::OneOf(words)) => Self::IntegerOrWord { min, max, words },
                (Self::OneOf(words), Self::Fields(fields)) => Self::WordOrFields { words, fields },
                (one, list @ Self::List { .. }) => {
                    Self::LoneOrList { one: Box::new(one), list: Box::new(list) }
                }
                _ => unreachable!(
                    "a choice is a number or a word, a word or a section, or one value or a list"
                ),
            };
        }
        let length = |key: &str| schema.get(key).and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        match schema["type"].as_str().expect("a schema has a type") {
            "boolean" => Self::Bool,
            "integer" => {
                let bound = |key: &str| schema[key].as_i64().expect("an integer has both bounds").into();
                Self::Integer { min: bound("minimum"), max: bound("maximum") }
            }
            "number" => {
                let bound = |key: &str| schema[key].as_f64().expect("a number has both bounds");
                Self::Number { min: bound("minimum"), max: bound("maximum") }
            }
            "string" => Self::Text {
                min_len: length("minLength").unwrap_or(0),
                max_len: length("maxLength").unwrap_or(usize::MAX),
                form: schema.get("pattern").and_then(Json::as_str).map(Form::of_pattern),
            },
            "array" => Self::List {
                item: Box::new(Self::read(&schema["items"], root)),
                min_len: length("minItems").unwrap_or(0),
                max_len: length("maxItems").unwrap_or(usize::MAX),
            },
            "object" => match schema.get("properties").and_then(Json::as_object) {
                Some(fields) => Self::Fields(
                    fields.iter().map(|(key, field)| (key.clone(), Self::read(field, root))).collect(),
                ),
                None => Self::Named(Box::new(Self::read(&schema["additionalProperties"], root))),
            },
            other => unreachable!("the schema knows no type {other}"),
        }
    }
}

#[cfg(test)]
mod tests;
