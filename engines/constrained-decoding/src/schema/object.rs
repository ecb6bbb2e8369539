//! Objects as rules: members in the order of the schema, then those whose names are not listed.

use std::collections::HashMap;
use std::rc::Rc;

use super::alternative::{Objects, STRING};
use super::array::inside;
use serde_json::Value;

use super::emit::{literal, quoted, space};
use super::reader::{Reader, fault};
use super::{All, Converter, Elements, Fault, Notation, text};
use crate::automaton::TextSet;
use crate::automaton::pattern::Pattern;

/// Rules of the members of one object at most, where they are counted.
const MAX_COUNTS: usize = 20_000;

/// Names on which others depend, at most: each doubles the forms of the object.
const MAX_DEPENDENTS: usize = 6;

/// Members of an object.
struct Members {
    /// Rules of a name and its value, and whether it must be there.
    listed: Vec<(String, bool)>,
    /// The rule of any other.
    other: Option<String>,
    least: usize,
    most: Option<usize>,
    comma: String,
    known: HashMap<(usize, usize), Option<String>>,
}

impl<'a> Converter<'a> {
    /// What objects look like; nothing where there are none.
    pub(super) fn object(
        &mut self,
        rules: &Objects<'a>,
        notation: Notation,
    ) -> Result<Option<String>, Fault> {
        let forms = self.without_dependents(rules)?;
        let mut bodies = Vec::new();
        for form in &forms {
            bodies.extend(self.members(form, notation)?);
        }
        if bodies.is_empty() {
            return Ok(None);
        }
        if matches!(notation, Notation::Elements(_)) {
            return Ok(Some(bodies.join(" | ")));
        }
        let space = space(notation);
        Ok(Some(format!("\"{{\"{space} ({}) \"}}\"{space}", bodies.join(" | "))))
    }

    /// The forms of an object in which names depend on others: with the other one, or without it.
    fn without_dependents(&self, rules: &Objects<'a>) -> Result<Vec<Objects<'a>>, Fault> {
        let at: Rc<str> = rules.at.clone().unwrap_or_else(|| "#".into());
        if rules.dependents.len() > MAX_DEPENDENTS {
            let what = format!("`dependentRequired` of more than {MAX_DEPENDENTS} names is not supported");
            self.reader.unsupported(&at, what)?;
            return Ok(vec![rules.clone()]);
        }
        let mut forms = vec![Objects { dependents: Vec::new(), ..rules.clone() }];
        for (name, names) in &rules.dependents {
            let mut split = Vec::new();
            for form in forms {
                let mut with = form.clone();
                with.required.extend([name].into_iter().chain(names).cloned());
                split.push(with);
                if !form.required.contains(name) {
                    let mut without = form;
                    without.named.retain(|(known, _)| known != name);
                    without.named.push((name.clone(), Reader::nothing(&at)));
                    split.push(without);
                }
            }
            forms = split;
        }
        Ok(forms)
    }

    /// What stands between the braces.
    fn members(&mut self, rules: &Objects<'a>, notation: Notation) -> Result<Option<String>, Fault> {
        let mut listed = Vec::new();
        let mut names: Vec<&String> = rules.named.iter().map(|(name, _)| name).collect();
        names.extend(rules.required.iter());
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let must = rules.required.contains(name);
            match self.listed(rules, name, notation)? {
                Some(member) => listed.push((member, must)),
                None if must => return Ok(None),
                None => {}
            }
        }
        let other = self.other(rules, &seen, notation)?;
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let least = count(rules.least);
        if other.is_some() && least > listed.len() + 1 {
            let at = rules.at.as_deref().unwrap_or("#");
            let what = format!("`minProperties` {least} counts names that are not listed, which may repeat");
            self.reader.unsupported(at, what)?;
        }
        let comma = match notation {
            Notation::Elements(_) => String::new(),
            _ => format!("\",\"{}", space(notation)),
        };
        let mut members =
            Members { listed, other, least, most: rules.most.map(count), comma, known: HashMap::new() };
        self.after(&mut members, 0, 0, rules.at.as_deref().unwrap_or("#"))
    }

    /// The member `name`; nothing where there may be none.
    fn listed(
        &mut self,
        rules: &Objects<'a>,
        name: &str,
        notation: Notation,
    ) -> Result<Option<String>, Fault> {
        let is_closed = rules.closed && rules.others.is_none() && !rules.mentions(name);
        if is_closed || !self.reader.is_name(&rules.names, name)? {
            return Ok(None);
        }
        let inner = match notation {
            Notation::Elements(_) if (self.texts.are_bare)(name) => Notation::Bare,
            notation => inside(notation),
        };
        let Some(value) = self.value(&rules.property(name), inner)? else { return Ok(None) };
        let member = match notation {
            Notation::Elements(Elements { open, between, close, .. }) => {
                format!("{} {value} {}", literal(&format!("{open}{name}{between}")), literal(close))
            }
            Notation::Marked { .. } => format!("{} \":\" {value}", literal(name)),
            Notation::Json | Notation::Bare => {
                format!("{} space \":\" space {value}", literal(&Value::from(name).to_string()))
            }
        };
        Ok(Some(self.rules.rule("m", member)))
    }

    /// A member that is not listed; nothing where there is none.
    fn other(
        &mut self,
        rules: &Objects<'a>,
        listed: &[&String],
        notation: Notation,
    ) -> Result<Option<String>, Fault> {
        let not = |set: TextSet| TextSet::Not(Box::new(set));
        let mut common = Vec::new();
        if !listed.is_empty() {
            common.push(not(TextSet::listed(listed.iter().map(|name| (*name).clone()).collect())));
        }
        let mut bodies = Vec::new();
        for (at, named) in rules.patterns.iter().enumerate() {
            let mut sets = common.clone();
            sets.extend(named.names.iter().cloned());
            // A name of two patterns would have to keep to both.
            for (_, other) in rules.patterns.iter().enumerate().filter(|(other, _)| *other != at) {
                if let [set] = &other.names[..] {
                    sets.push(not(set.clone()));
                } else {
                    let place = rules.at.as_deref().unwrap_or("#");
                    self.reader.unsupported(place, "`patternProperties` beside one with `(?=` or `(?!`")?;
                }
            }
            bodies.extend(self.of_names(rules, &sets, &named.schema, notation)?);
        }
        let open = rules.is_open() && !rules.closed;
        if let Some(schema) = rules.others.clone().or_else(|| open.then(Vec::new)) {
            let mut sets = common;
            for named in &rules.patterns {
                match &named.names[..] {
                    [set] => sets.push(not(set.clone())),
                    _ => {
                        let place = rules.at.as_deref().unwrap_or("#");
                        self.reader.unsupported(place, "`(?=` and `(?!` in `patternProperties`")?;
                    }
                }
            }
            bodies.extend(self.of_names(rules, &sets, &schema, notation)?);
        }
        Ok((!bodies.is_empty()).then(|| self.rules.rule("o", bodies.join(" | "))))
    }

    /// Members with names of all `sets`.
    fn of_names(
        &mut self,
        rules: &Objects<'a>,
        sets: &[TextSet],
        schema: &All<'a>,
        notation: Notation,
    ) -> Result<Vec<String>, Fault> {
        let Some(value) = self.value(schema, inside(notation))? else { return Ok(Vec::new()) };
        let at = rules.at.as_deref();
        let mut bodies = Vec::new();
        for mut sets in self.names(rules, sets)? {
            if notation == Notation::Json {
                let name = match sets.is_empty() {
                    true => Some(self.rules.any("string", notation)),
                    false => self.texts_of(&sets, notation, at)?.map(|name| quoted(&name, notation)),
                };
                bodies.extend(name.map(|name| format!("{name} \":\" space {value}")));
                continue;
            }
            // Without quotes a name is a word.
            let words = Pattern::parse("^[a-zA-Z_][a-zA-Z0-9_.-]*$");
            sets.extend(words.map_err(|what| fault(at.unwrap_or("#"), what))?);
            let Some(name) = self.texts_of(&sets, Notation::Bare, at)? else { continue };
            bodies.push(match notation {
                Notation::Elements(Elements { open, between, close, .. }) => {
                    format!("{} {name} {} {value} {}", literal(open), literal(between), literal(close))
                }
                _ => format!("{name} \":\" {value}"),
            });
        }
        Ok(bodies)
    }

    /// The alternatives of what names must be, beside `sets`.
    fn names(&self, rules: &Objects<'a>, sets: &[TextSet]) -> Result<Vec<Vec<TextSet>>, Fault> {
        let parts: All<'a> = rules.names.iter().flatten().cloned().collect();
        let mut found = Vec::new();
        for alternative in self.reader.alternatives(&self.reader.direct(&parts)?)? {
            if alternative.types & STRING == 0 {
                continue;
            }
            let mut sets = sets.to_vec();
            sets.extend(text::text_sets(&alternative.text));
            if let Some(values) = &alternative.values {
                let names = values.iter().filter_map(|value| value.as_str()).map(str::to_owned);
                sets.push(TextSet::listed(names.collect()));
            }
            found.push(sets);
        }
        Ok(found)
    }

    /// What follows the listed members before `at`, of which `count` are there; nothing where nothing may.
    fn after(
        &mut self,
        members: &mut Members,
        at: usize,
        count: usize,
        place: &str,
    ) -> Result<Option<String>, Fault> {
        // From the last member on, so that nothing is called within itself.
        for at in (at..=members.listed.len()).rev() {
            for count in 0..=at {
                let count = members.capped(count);
                if members.known.contains_key(&(at, count)) {
                    continue;
                }
                if members.known.len() > MAX_COUNTS {
                    return Err(fault(
                        place,
                        "it counts too many properties: leave out `minProperties` and `maxProperties`",
                    ));
                }
                let rule = self.after_one(members, at, count);
                members.known.insert((at, count), rule);
            }
        }
        Ok(members.known[&(at, members.capped(count))].clone())
    }

    fn after_one(&mut self, members: &Members, at: usize, count: usize) -> Option<String> {
        let comma = if count == 0 { "" } else { &members.comma };
        let Some((member, must)) = members.listed.get(at) else { return self.others(members, count) };
        let mut branches = Vec::new();
        if members.most.is_none_or(|most| count < most)
            && let Some(next) = &members.known[&(at + 1, members.capped(count + 1))]
        {
            branches.push(format!("{comma} {member} {next}"));
        }
        if !must && let Some(next) = &members.known[&(at + 1, count)] {
            branches.push(next.clone());
        }
        (!branches.is_empty()).then(|| self.rules.rule("p", branches.join(" | ")))
    }

    /// What follows all listed members.
    fn others(&mut self, members: &Members, count: usize) -> Option<String> {
        let missing = members.least.saturating_sub(count);
        let room = members.most.map(|most| most.saturating_sub(count));
        let Some(other) = &members.other else {
            return (missing == 0).then(|| self.rules.rule("p", "\"\"".to_owned()));
        };
        if room.is_some_and(|room| room < missing) {
            return None;
        }
        if room == Some(0) {
            return Some(self.rules.rule("p", "\"\"".to_owned()));
        }
        let more = self.rules.rule("o", format!("{} {other}", members.comma));
        if count > 0 {
            let all = self.rules.counted(&more, missing as u64, room.map(|room| room as u64));
            return Some(self.rules.rule("p", all));
        }
        let missing_behind = missing.saturating_sub(1) as u64;
        let rest = self.rules.counted(&more, missing_behind, room.map(|room| room as u64 - 1));
        let all = format!("{other} {rest}");
        Some(self.rules.rule("p", if missing == 0 { format!("({all})?") } else { all }))
    }
}

impl Members {
    /// So many members, as far as their number matters: beyond the bounds it is enough that there are some.
    fn capped(&self, count: usize) -> usize {
        let cap = self.most.map_or(self.least.max(1), |most| most.max(self.least).max(1));
        count.min(cap)
    }
}
