//! Whether a value is of a schema: values that are listed are held to what is said beside the list.

use std::rc::Rc;

use serde_json::Value;

use super::alternative::{
    ARRAY, Alternative, Arrays, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, Objects, STRING, Types, same,
};
use super::reader::Reader;
use super::{All, Fault, Part};

impl<'a> Reader<'a> {
    /// Whether all `parts` hold of `value`.
    pub fn holds(&self, parts: &All<'a>, value: &Value) -> Result<bool, Fault> {
        let parts = self.direct(parts)?;
        for alternative in self.alternatives(&parts)? {
            if self.is_of(&alternative, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `value` is of an alternative.
    pub fn is_of(&self, alternative: &Alternative<'a>, value: &Value) -> Result<bool, Fault> {
        let listed =
            alternative.values.as_ref().is_none_or(|values| values.iter().any(|known| same(known, value)));
        if alternative.types & type_of(value) == 0 || !listed {
            return Ok(false);
        }
        match value {
            Value::Null | Value::Bool(_) => Ok(true),
            Value::Number(_) => {
                let text = value.to_string();
                Ok(alternative.number.sets.iter().all(|set| set.contains(&text)))
            }
            Value::String(text) => {
                let rules = &alternative.text;
                let length = text.chars().count() as u64;
                let fits = length >= rules.least && rules.most.is_none_or(|most| length <= most);
                Ok(fits && rules.sets.iter().all(|set| set.contains(text)))
            }
            Value::Array(items) => self.is_array_of(&alternative.array, items),
            Value::Object(members) => self.is_object_of(&alternative.object, members),
        }
    }

    fn is_array_of(&self, rules: &Arrays<'a>, items: &[Value]) -> Result<bool, Fault> {
        let length = items.len() as u64;
        let closed = rules.closed && rules.rest.is_none() && items.len() > rules.first.len();
        if length < rules.least || rules.most.is_some_and(|most| length > most) || closed {
            return Ok(false);
        }
        for (at, item) in items.iter().enumerate() {
            if !self.holds(&rules.item(at), item)? {
                return Ok(false);
            }
        }
        for contains in &rules.contains {
            let mut found = 0;
            for item in items {
                found += u64::from(self.holds(&contains.item, item)?);
            }
            if found < contains.least {
                return Ok(false);
            }
        }
        let doubled = |at: usize| items[..at].iter().any(|before| same(before, &items[at]));
        Ok(rules.unique.is_none() || !(0..items.len()).any(doubled))
    }

    fn is_object_of(
        &self,
        rules: &Objects<'a>,
        members: &serde_json::Map<String, Value>,
    ) -> Result<bool, Fault> {
        let count = members.len() as u64;
        let misses = |names: &[String]| names.iter().any(|name| !members.contains_key(name));
        if count < rules.least || rules.most.is_some_and(|most| count > most) || misses(&rules.required) {
            return Ok(false);
        }
        if rules.dependents.iter().any(|(name, names)| members.contains_key(name) && misses(names)) {
            return Ok(false);
        }
        for (name, value) in members {
            let closed = rules.closed && rules.others.is_none() && !rules.mentions(name);
            if closed || !self.holds(&rules.property(name), value)? || !self.is_name(&rules.names, name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `name` may be the name of a property.
    pub fn is_name(&self, names: &[All<'a>], name: &str) -> Result<bool, Fault> {
        for parts in names {
            if !self.holds(parts, &Value::from(name))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The schema of which there is no value.
    pub fn nothing(at: &Rc<str>) -> All<'a> {
        vec![Part { schema: &Value::Bool(false), at: Rc::clone(at) }]
    }
}

fn type_of(value: &Value) -> Types {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.is_f64() && number.as_f64().is_none_or(|it| it.fract() != 0.0) => {
            NUMBER
        }
        Value::Number(_) => INTEGER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}
