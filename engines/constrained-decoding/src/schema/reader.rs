//! Reads schemas: what their keywords say, with references followed and combinations written out as alternatives.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::alternative::{
    ANY, ARRAY, Alternative, BOOLEAN, Contains, INTEGER, NULL, NUMBER, Named, OBJECT, STRING, Types,
};
use super::{All, Fault, Part, Unsupported, format};
use crate::automaton::TextSet;
use crate::automaton::number::{Bound, Decimal, Multiple, Side};
use crate::automaton::pattern::Pattern;
use crate::gbnf::check_repeats;

/// Levels of schemas read for one grammar at most: combinations multiply.
const MAX_LEVELS: usize = 50_000;

/// Alternatives of one value at most.
const MAX_ALTERNATIVES: usize = 500;

/// References and combinations within each other at most.
const MAX_DEPTH: usize = 200;

/// Keywords that say nothing of a value.
const ANNOTATIONS: [&str; 25] = [
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
    "discriminator",
    "xml",
    "externalDocs",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "$schema",
    "$comment",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "$defs",
    "definitions",
];

/// Keywords that are read beside others.
const READ_ELSEWHERE: [&str; 8] =
    ["$ref", "allOf", "anyOf", "oneOf", "minContains", "additionalItems", "then", "else"];

/// Keywords that are read here.
const KEPT: [&str; 30] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "dependentRequired",
    "dependencies",
    "allOf",
    "anyOf",
    "oneOf",
];

pub struct Reader<'a> {
    root: &'a Value,
    unsupported: Unsupported,
    levels: Cell<usize>,
    patterns: RefCell<HashMap<String, Result<Vec<TextSet>, String>>>,
}

impl<'a> Reader<'a> {
    pub fn new(root: &'a Value, unsupported: Unsupported) -> Self {
        Self { root, unsupported, levels: Cell::new(0), patterns: RefCell::default() }
    }

    /// An error, where the schema is a promise.
    pub fn unsupported(&self, at: &str, what: impl Into<String>) -> Result<(), Fault> {
        match self.unsupported {
            Unsupported::Reject => Err(fault(at, what)),
            Unsupported::Widen => Ok(()),
        }
    }

    /// `parts` without those that only refer to another one, and without doubles.
    pub fn direct(&self, parts: &All<'a>) -> Result<All<'a>, Fault> {
        let mut direct: All<'a> = Vec::with_capacity(parts.len());
        for part in parts {
            let mut part = part.clone();
            let mut hops = 0;
            while let Some(target) = self.only_refers(&part)? {
                hops += 1;
                if hops > MAX_DEPTH {
                    return Err(fault(&part.at, leads_back()));
                }
                part = target;
            }
            let is_free = part.schema == &Value::Bool(true)
                || part.schema.as_object().is_some_and(|keys| keys.keys().all(|key| is_annotation(key)));
            if !is_free && !direct.iter().any(|known| std::ptr::eq(known.schema, part.schema)) {
                direct.push(part);
            }
        }
        Ok(direct)
    }

    fn only_refers(&self, part: &Part<'a>) -> Result<Option<Part<'a>>, Fault> {
        let Some(object) = part.schema.as_object() else { return Ok(None) };
        if !object.contains_key("$ref") || object.keys().any(|key| key != "$ref" && !is_annotation(key)) {
            return Ok(None);
        }
        self.target(part, object)
    }

    /// Where `$ref` leads.
    fn target(&self, part: &Part<'a>, object: &Map<String, Value>) -> Result<Option<Part<'a>>, Fault> {
        let Some(reference) = object.get("$ref") else { return Ok(None) };
        let name = reference.as_str().unwrap_or_default();
        let Some(pointer) =
            name.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
        else {
            let what = format!("`$ref` {reference}: only references within the schema (`#/…`) are supported");
            return self.unsupported(&part.at, what).map(|()| Some(self.anything(part)));
        };
        let decoded = percent_decoded(pointer);
        match self.root.pointer(&decoded) {
            Some(schema) => Ok(Some(Part { schema, at: format!("#{decoded}").into() })),
            None => self
                .unsupported(&part.at, format!("`$ref` `{name}` leads nowhere"))
                .map(|()| Some(self.anything(part))),
        }
    }

    fn anything(&self, part: &Part<'a>) -> Part<'a> {
        Part { schema: &Value::Bool(true), at: Rc::clone(&part.at) }
    }

    /// The alternatives of the values of which all `parts` hold.
    pub fn alternatives(&self, parts: &All<'a>) -> Result<Vec<Alternative<'a>>, Fault> {
        let mut found = vec![Alternative::default()];
        for part in parts {
            found = self.with(found, part, &mut Vec::new())?;
        }
        Ok(found)
    }

    /// `before` where `part` holds as well. `path` has what is being read, by address.
    fn with(
        &self,
        before: Vec<Alternative<'a>>,
        part: &Part<'a>,
        path: &mut Vec<*const Value>,
    ) -> Result<Vec<Alternative<'a>>, Fault> {
        let object = match part.schema {
            Value::Bool(true) => return Ok(before),
            Value::Bool(false) => return Ok(Vec::new()),
            Value::Object(object) => object,
            _ => {
                let what = "is no schema: it should be an object, `true` or `false`";
                return self.unsupported(&part.at, what).map(|()| before);
            }
        };
        self.levels.set(self.levels.get() + 1);
        if self.levels.get() > MAX_LEVELS {
            return Err(fault("#", format!("its combinations multiply it to more than {MAX_LEVELS} parts")));
        }
        if path.contains(&std::ptr::from_ref(part.schema)) || path.len() > MAX_DEPTH {
            return self.unsupported(&part.at, leads_back()).map(|()| before);
        }
        path.push(part.schema);
        let found = self.level(before, part, object, path);
        path.pop();
        found
    }

    fn level(
        &self,
        before: Vec<Alternative<'a>>,
        part: &Part<'a>,
        object: &'a Map<String, Value>,
        path: &mut Vec<*const Value>,
    ) -> Result<Vec<Alternative<'a>>, Fault> {
        let own = self.own(part, object)?;
        let mut found = both(before, &[own])?;
        if let Some(target) = self.target(part, object)? {
            found = self.with(found, &target, path)?;
        }
        for part in self.list(part, object, "allOf")? {
            found = self.with(found, &part, path)?;
        }
        for key in ["anyOf", "oneOf"] {
            let options = self.list(part, object, key)?;
            if options.is_empty() {
                if object.contains_key(key) {
                    self.unsupported(&part.at, format!("`{key}` is empty: it needs at least one schema"))?;
                }
                continue;
            }
            let mut alternatives = Vec::new();
            for option in &options {
                alternatives.push(self.with(vec![Alternative::default()], option, path)?);
            }
            if key == "oneOf" {
                self.check_one_of(part, &found, &alternatives)?;
            }
            found = both(found, &alternatives.concat())?;
            if found.len() > MAX_ALTERNATIVES {
                let what =
                    format!("`{key}` multiplies with others to more than {MAX_ALTERNATIVES} alternatives");
                return Err(fault(&part.at, what));
            }
        }
        Ok(found)
    }

    /// Finds two options that may hold at the same time.
    fn check_one_of(
        &self,
        part: &Part<'a>,
        beside: &[Alternative<'a>],
        options: &[Vec<Alternative<'a>>],
    ) -> Result<(), Fault> {
        if self.unsupported == Unsupported::Widen {
            return Ok(());
        }
        for (one, ours) in options.iter().enumerate() {
            let ours = both(beside.to_vec(), ours)?;
            for (other, theirs) in options.iter().enumerate().filter(|(other, _)| *other != one) {
                for (ours, theirs) in
                    ours.iter().flat_map(|ours| theirs.iter().map(move |theirs| (ours, theirs)))
                {
                    if !self.excludes(ours, theirs, 0)? {
                        let what = format!(
                            "`oneOf`: a value of option {one} may be one of option {other} as well; use `anyOf`, or make \
                             them exclude each other, for example by a `const` that both require"
                        );
                        return Err(fault(&part.at, what));
                    }
                }
            }
        }
        Ok(())
    }

    fn list(&self, part: &Part<'a>, object: &'a Map<String, Value>, key: &str) -> Result<All<'a>, Fault> {
        match object.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(parts)) => {
                let below = |(at, schema)| Part { schema, at: format!("{}/{key}/{at}", part.at).into() };
                Ok(parts.iter().enumerate().map(below).collect())
            }
            Some(_) => self
                .unsupported(&part.at, format!("`{key}` should be a list of schemas"))
                .map(|()| Vec::new()),
        }
    }

    /// What the keywords of one level say by themselves.
    fn own(&self, part: &Part<'a>, object: &'a Map<String, Value>) -> Result<Alternative<'a>, Fault> {
        let mut own = Alternative::default();
        check_bounds(object).or_else(|what| self.unsupported(&part.at, what))?;
        for (key, value) in object {
            let said = match key.as_str() {
                "const" => {
                    own.values = Some(vec![value]);
                    Ok(())
                }
                "enum" => value.as_array().ok_or_else(|| should_be(key, "a list")).map(|values| {
                    let values = values.iter();
                    own.values = Some(match own.values.take() {
                        None => values.collect(),
                        Some(known) => values.filter(|value| known.contains(value)).collect(),
                    });
                }),
                "type" => types_of(value).map(|types| own.types &= types),
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                    number(&mut own, part, object, key, value)
                }
                "minLength" | "maxLength" | "pattern" | "format" => self.text(&mut own, part, key, value),
                "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems" | "contains" => {
                    items(&mut own, part, object, key, value)
                }
                "properties"
                | "patternProperties"
                | "additionalProperties"
                | "required"
                | "minProperties"
                | "maxProperties"
                | "propertyNames"
                | "dependentRequired"
                | "dependencies" => self.properties(&mut own, part, key, value),
                "not" => not(&mut own, value),
                // Nothing is written that is not evaluated.
                "unevaluatedProperties" => {
                    own.object.closed = value != &Value::Bool(true);
                    Ok(())
                }
                "unevaluatedItems" => {
                    own.array.closed = value != &Value::Bool(true);
                    Ok(())
                }
                "if" if !object.contains_key("then") && !object.contains_key("else") => Ok(()),
                "if" | "dependentSchemas" | "maxContains" | "$dynamicRef" | "$recursiveRef" => {
                    Err(format!("`{key}` is not supported"))
                }
                _ => check_unknown(key),
            };
            said.or_else(|what| self.unsupported(&part.at, what))?;
        }
        Ok(own)
    }

    fn text(
        &self,
        own: &mut Alternative<'a>,
        part: &Part<'a>,
        key: &str,
        value: &Value,
    ) -> Result<(), String> {
        match key {
            "minLength" => own.text.least = count(key, value)?,
            "maxLength" => own.text.most = Some(count(key, value)?),
            "pattern" => {
                let pattern = value.as_str().ok_or_else(|| should_be(key, "a string"))?;
                let sets = self.pattern(pattern).map_err(|why| format!("`pattern` `{pattern}`: {why}"))?;
                own.text.sets.extend(sets);
            }
            _ => {
                let name = value.as_str().ok_or_else(|| should_be(key, "a string"))?;
                if format::is_free(name) {
                    return Ok(());
                }
                if name == "int32" {
                    return int32(own);
                }
                let Some(pattern) = format::pattern(name) else {
                    return Err(format!(
                        "`format` `{name}` is not supported: leave it out, or use a `pattern`"
                    ));
                };
                own.text.sets.extend(self.pattern(pattern)?);
            }
        }
        own.spoken_of |= STRING;
        own.text.at = Some(Rc::clone(&part.at));
        Ok(())
    }

    fn pattern(&self, pattern: &str) -> Result<Vec<TextSet>, String> {
        let mut known = self.patterns.borrow_mut();
        known.entry(pattern.to_owned()).or_insert_with(|| Pattern::parse(pattern)).clone()
    }

    fn properties(
        &self,
        own: &mut Alternative<'a>,
        part: &Part<'a>,
        key: &str,
        value: &'a Value,
    ) -> Result<(), String> {
        let place = |below: &str| -> Rc<str> { format!("{}/{key}{below}", part.at).into() };
        let below = |name: &str, schema| Part { schema, at: place(&format!("/{}", escaped(name))) };
        let map = || value.as_object().ok_or_else(|| should_be(key, "an object"));
        let rules = &mut own.object;
        match key {
            "properties" => {
                rules.named =
                    map()?.iter().map(|(name, schema)| (name.clone(), vec![below(name, schema)])).collect();
            }
            "patternProperties" => {
                for (pattern, schema) in map()? {
                    let names = self.pattern(pattern).map_err(|why| format!("`{key}` `{pattern}`: {why}"))?;
                    rules.patterns.push(Named { names, schema: vec![below(pattern, schema)] });
                }
            }
            "additionalProperties" => rules.others = Some(vec![Part { schema: value, at: place("") }]),
            "required" => rules.required = names(key, value)?,
            "minProperties" => rules.least = count(key, value)?,
            "maxProperties" => rules.most = Some(count(key, value)?),
            "propertyNames" => rules.names.push(vec![Part { schema: value, at: place("") }]),
            _ => {
                for (name, value) in map()? {
                    if key == "dependencies" && !value.is_array() {
                        return Err(format!("`{key}` of schemas is not supported"));
                    }
                    rules.dependents.push((name.clone(), names(key, value)?));
                }
            }
        }
        rules.at = Some(Rc::clone(&part.at));
        own.spoken_of |= OBJECT;
        Ok(())
    }
}

pub fn fault(at: &str, what: impl Into<String>) -> Fault {
    Fault { at: at.to_owned(), what: what.into() }
}

fn leads_back() -> &'static str {
    "`$ref` leads back to itself without a value in between"
}

fn should_be(key: &str, what: &str) -> String {
    format!("`{key}` should be {what}")
}

/// Whether a keyword says nothing of a value, wherever it stands.
fn is_annotation(key: &str) -> bool {
    ANNOTATIONS.contains(&key) || key.starts_with("x-")
}

/// Values of which one of `these` and one of `those` hold.
fn both<'a>(these: Vec<Alternative<'a>>, those: &[Alternative<'a>]) -> Result<Vec<Alternative<'a>>, Fault> {
    let mut found = Vec::new();
    for one in these {
        for other in those {
            found.extend(one.clone().and(other)?);
        }
        if found.len() > MAX_LEVELS {
            return Err(fault("#", "its combinations multiply it too much"));
        }
    }
    Ok(found)
}

/// Keywords that nobody knows say nothing, unless one of those that do was meant.
fn check_unknown(key: &str) -> Result<(), String> {
    if is_annotation(key) || READ_ELSEWHERE.contains(&key) {
        return Ok(());
    }
    let is_near = |known: &&&str| {
        key.eq_ignore_ascii_case(known) || known.len() > 4 && strsim::osa_distance(key, known) == 1
    };
    match KEPT.iter().find(is_near) {
        Some(known) => Err(format!("unknown keyword `{key}`; did you mean `{known}`?")),
        None => Ok(()),
    }
}

fn types_of(value: &Value) -> Result<Types, String> {
    let one = |name: &Value| {
        Ok(match name.as_str() {
            Some("null") => NULL,
            Some("boolean") => BOOLEAN,
            Some("integer") => INTEGER,
            Some("number") => INTEGER | NUMBER,
            Some("string") => STRING,
            Some("array") => ARRAY,
            Some("object") => OBJECT,
            _ => return Err(format!("unknown `type` {name}")),
        })
    };
    match value {
        Value::Array(names) => names.iter().try_fold(0, |types, name| Ok(types | one(name)?)),
        name => one(name),
    }
}

fn count(key: &str, value: &Value) -> Result<u64, String> {
    let whole = value.as_f64().filter(|count| *count >= 0.0 && count.fract() == 0.0);
    let count = value.as_u64().or(whole.map(|count| count as u64));
    count.ok_or_else(|| should_be(key, "a whole number from 0 on"))
}

fn names(key: &str, value: &Value) -> Result<Vec<String>, String> {
    // Of an older draft, and said at a property: it says nothing of the object that is meant.
    if value.is_boolean() && key == "required" {
        return Ok(Vec::new());
    }
    let names: Option<Vec<String>> =
        value.as_array().and_then(|names| names.iter().map(|name| Some(name.as_str()?.to_owned())).collect());
    names.ok_or_else(|| should_be(key, "a list of names"))
}

fn number<'a>(
    own: &mut Alternative<'a>,
    part: &Part<'a>,
    object: &Map<String, Value>,
    key: &str,
    value: &Value,
) -> Result<(), String> {
    let side = if key.ends_with("inimum") { Side::AtLeast } else { Side::AtMost };
    let exclusive = match (key, value) {
        // Of draft 4: it says how `minimum` is meant.
        ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(_)) => return Ok(()),
        ("minimum", _) => object.get("exclusiveMinimum") == Some(&Value::Bool(true)),
        ("maximum", _) => object.get("exclusiveMaximum") == Some(&Value::Bool(true)),
        _ => true,
    };
    let Value::Number(number) = value else { return Err(should_be(key, "a number")) };
    let decimal = Decimal::of(number);
    own.number.digits = own.number.digits.max(decimal.whole_digits());
    own.number.sets.push(if key == "multipleOf" {
        let multiple = Multiple::of(&decimal);
        TextSet::Multiple(multiple.ok_or_else(|| {
            format!("`{key}` {number}: it should be above 0, and have three digits at most beside zeros")
        })?)
    } else {
        TextSet::Bound(Bound { value: decimal, side, exclusive })
    });
    own.number.at = Some(Rc::clone(&part.at));
    own.spoken_of |= INTEGER | NUMBER;
    Ok(())
}

/// The bounds of OpenAPI's format.
fn int32(own: &mut Alternative<'_>) -> Result<(), String> {
    let bound = |value: i64, side| {
        TextSet::Bound(Bound { value: Decimal::of(&value.into()), side, exclusive: false })
    };
    own.number.sets.push(bound(i32::MIN.into(), Side::AtLeast));
    own.number.sets.push(bound(i32::MAX.into(), Side::AtMost));
    own.number.digits = own.number.digits.max(10);
    Ok(())
}

fn items<'a>(
    own: &mut Alternative<'a>,
    part: &Part<'a>,
    object: &'a Map<String, Value>,
    key: &str,
    value: &'a Value,
) -> Result<(), String> {
    let rules = &mut own.array;
    let list = |parts: &'a Vec<Value>| -> Vec<All<'a>> {
        let below = |(at, schema)| vec![Part { schema, at: format!("{}/{key}/{at}", part.at).into() }];
        parts.iter().enumerate().map(below).collect()
    };
    let one = |key: &str, schema| Part { schema, at: format!("{}/{key}", part.at).into() };
    match (key, value) {
        // A list of items is how older drafts name the first ones. As llama.cpp does, one schema in its place is that
        // of all.
        ("items" | "prefixItems", Value::Array(parts)) => {
            rules.first = list(parts);
            if key == "items" {
                let others = object.get("additionalItems");
                rules.rest = others.map(|schema| vec![one("additionalItems", schema)]);
            }
        }
        ("items", schema) => rules.rest = Some(vec![one(key, schema)]),
        ("prefixItems", schema @ Value::Object(_)) if !object.contains_key("items") => {
            rules.rest = Some(vec![one(key, schema)]);
        }
        ("prefixItems", Value::Object(_)) => {}
        ("prefixItems", _) => return Err(should_be(key, "a list of schemas")),
        ("minItems", _) => rules.least = count(key, value)?,
        ("maxItems", _) => rules.most = Some(count(key, value)?),
        ("uniqueItems", Value::Bool(unique)) => rules.unique = unique.then(|| Rc::clone(&part.at)),
        ("uniqueItems", _) => return Err(should_be(key, "`true` or `false`")),
        _ => {
            let least = object.get("minContains").map_or(Ok(1), |value| count("minContains", value))?;
            rules.contains.push(Contains { item: vec![one(key, value)], least, at: Rc::clone(&part.at) });
        }
    }
    own.spoken_of |= ARRAY;
    Ok(())
}

/// What is not, as far as it is a type or everything.
fn not(own: &mut Alternative<'_>, value: &Value) -> Result<(), String> {
    let says_nothing = |object: &Map<String, Value>| object.keys().all(|key| is_annotation(key));
    match value {
        Value::Bool(false) => Ok(()),
        Value::Bool(true) => {
            own.types = 0;
            Ok(())
        }
        Value::Object(object) if says_nothing(object) => {
            own.types = 0;
            Ok(())
        }
        Value::Object(object) if object.keys().all(|key| key == "type" || is_annotation(key)) => {
            let excluded = types_of(&object["type"])?;
            // A number that is no integer cannot be told by its type alone.
            if excluded & (INTEGER | NUMBER) == INTEGER {
                return Err("`not` of `integer` is not supported".to_owned());
            }
            own.types &= ANY & !excluded;
            Ok(())
        }
        _ => Err("`not` is supported only of a `type`".to_owned()),
    }
}

/// Finds bounds that contradict each other.
fn check_bounds(object: &Map<String, Value>) -> Result<(), String> {
    let number = |key: &str| object.get(key).and_then(Value::as_f64);
    for (low, high) in [
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
        ("minContains", "maxContains"),
        ("minimum", "maximum"),
    ] {
        if let (Some(least), Some(most)) = (number(low), number(high))
            && least > most
        {
            return Err(format!("`{low}` {least} is above `{high}` {most}"));
        }
    }
    for (low, high) in [
        ("exclusiveMinimum", "maximum"),
        ("minimum", "exclusiveMaximum"),
        ("exclusiveMinimum", "exclusiveMaximum"),
    ] {
        if let (Some(least), Some(most)) = (number(low), number(high))
            && least >= most
        {
            return Err(format!("`{low}` {least} leaves no number below `{high}` {most}"));
        }
    }
    for key in ["minLength", "minItems"] {
        if let Some(least) = object.get(key).and_then(Value::as_u64) {
            check_repeats(least, None).map_err(|why| format!("`{key}` {least}: {why}"))?;
        }
    }
    Ok(())
}

/// A name as a part of a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
