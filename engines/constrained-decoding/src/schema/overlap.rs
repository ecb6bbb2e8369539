//! Whether two alternatives exclude each other, as far as that can be told: `oneOf` promises it.

use serde_json::Value;

use super::alternative::{
    ARRAY, Alternative, Arrays, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, Objects, STRING,
};
use super::reader::Reader;
use super::text;
use super::{All, Fault};
use crate::automaton::intersection;

/// Levels that are compared: what differs only below may be the same.
const MAX_DEPTH: usize = 4;

impl<'a> Reader<'a> {
    /// Whether no value that is written by `ours` is one of `theirs`.
    pub fn excludes(
        &self,
        ours: &Alternative<'a>,
        theirs: &Alternative<'a>,
        depth: usize,
    ) -> Result<bool, Fault> {
        let types = ours.likely_types() & theirs.types;
        if types == 0 {
            return Ok(true);
        }
        for (listed, one, other) in [(&ours.values, ours, theirs), (&theirs.values, theirs, ours)] {
            if let Some(values) = listed {
                for value in values {
                    if self.is_of(one, value)? && self.is_of(other, value)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
        }
        if types & (NULL | BOOLEAN) != 0 || depth > MAX_DEPTH {
            return Ok(false);
        }
        let is_empty = |sets: &[_]| matches!(intersection(sets), Ok(None));
        if types & (INTEGER | NUMBER) != 0 {
            let mut both = ours.number.clone();
            both.sets.extend_from_slice(&theirs.number.sets);
            both.digits = both.digits.max(theirs.number.digits);
            if !is_empty(&text::number_sets(&both, types & NUMBER == 0)) {
                return Ok(false);
            }
        }
        if types & STRING != 0 {
            let sets = [text::text_sets(&ours.text), text::text_sets(&theirs.text)].concat();
            if !is_empty(&sets) {
                return Ok(false);
            }
        }
        if types & ARRAY != 0 && !self.arrays_exclude(&ours.array, &theirs.array, depth)? {
            return Ok(false);
        }
        if types & OBJECT != 0 && !self.objects_exclude(&ours.object, &theirs.object, depth)? {
            return Ok(false);
        }
        Ok(true)
    }

    fn arrays_exclude(&self, ours: &Arrays<'a>, theirs: &Arrays<'a>, depth: usize) -> Result<bool, Fault> {
        let above = |one: &Arrays<'_>, other: &Arrays<'_>| other.most.is_some_and(|most| one.least > most);
        if above(ours, theirs) || above(theirs, ours) {
            return Ok(true);
        }
        let common = usize::try_from(ours.least.max(theirs.least)).unwrap_or(usize::MAX);
        for at in 0..common.min(ours.first.len().max(theirs.first.len()) + 1) {
            if self.parts_exclude(&ours.item(at), &theirs.item(at), depth)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn objects_exclude(&self, ours: &Objects<'a>, theirs: &Objects<'a>, depth: usize) -> Result<bool, Fault> {
        // What is not mentioned is never written, unless it is asked for.
        let never_ours = |name: &String| !ours.required.contains(name) && !ours.mentions(name);
        if ours.others.is_none() && !ours.is_open() && theirs.required.iter().any(never_ours) {
            return Ok(true);
        }
        for name in ours.required.iter().chain(&theirs.required) {
            let closed = theirs.closed && theirs.others.is_none() && !theirs.mentions(name);
            if closed || self.parts_exclude(&ours.property(name), &theirs.property(name), depth)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn parts_exclude(&self, ours: &All<'a>, theirs: &All<'a>, depth: usize) -> Result<bool, Fault> {
        if ours.iter().chain(theirs).any(|part| part.schema == &Value::Bool(false)) {
            return Ok(true);
        }
        let ours = self.alternatives(&self.direct(ours)?)?;
        let theirs = self.alternatives(&self.direct(theirs)?)?;
        for (ours, theirs) in ours.iter().flat_map(|ours| theirs.iter().map(move |theirs| (ours, theirs))) {
            if !self.excludes(ours, theirs, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
