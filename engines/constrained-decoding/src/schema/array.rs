//! Arrays as rules.

use super::alternative::Arrays;
use super::emit::space;
use super::{Converter, Fault, Notation};

impl<'a> Converter<'a> {
    /// What arrays look like; nothing where there are none.
    pub(super) fn array(&mut self, rules: &Arrays<'a>, notation: Notation) -> Result<Option<String>, Fault> {
        let inner = inside(notation);
        let open_end = space(notation);
        let mut most = rules.most;
        // The first items, as far as there may be any.
        let mut first = Vec::new();
        for parts in rules.first.iter().take(usize::try_from(most.unwrap_or(u64::MAX)).unwrap_or(usize::MAX))
        {
            match self.value(parts, inner)? {
                Some(item) => first.push(item),
                None => {
                    most = Some(first.len() as u64);
                    break;
                }
            }
        }
        let rest = match &rules.rest {
            _ if most.is_some_and(|most| most <= first.len() as u64) => None,
            Some(parts) => self.value(parts, inner)?,
            None if rules.closed => None,
            // Others than the first items may follow, and do where the list must be longer.
            None if !rules.first.is_empty() && rules.least <= rules.first.len() as u64 => None,
            None => Some(self.rules.any("value", inner)),
        };
        if rest.is_none() {
            most = Some(most.unwrap_or(u64::MAX).min(first.len() as u64));
        }
        if most.is_some_and(|most| most < rules.least) {
            return Ok(None);
        }
        self.check_unique(rules, most)?;
        if let Some(items) = self.containing(rules, &first, rest.as_deref(), inner)? {
            return Ok(items.map(|items| format!("\"[\"{open_end} {items} \"]\"{open_end}")));
        }
        let comma = format!("\",\"{open_end}");
        // From the last one on: what follows so many items.
        let count = first.len() as u64;
        let mut behind = match &rest {
            None => String::new(),
            Some(item) => {
                let least = rules.least.saturating_sub(count.max(1));
                let most = most.map(|most| most.saturating_sub(count.max(1)));
                let more = self.rules.rule("i", format!("{comma} {item}"));
                self.rules.counted(&more, least, most)
            }
        };
        if let (Some(item), 0) = (&rest, count) {
            let all = format!("{item} {behind}");
            behind = if rules.least == 0 { format!("({all})?") } else { all };
        }
        for (at, item) in first.iter().enumerate().rev() {
            let before = if at == 0 { String::new() } else { comma.clone() };
            let all = format!("{before} {item} {behind}");
            let optional = if (at as u64) < rules.least { all } else { format!("{all} | \"\"") };
            behind = self.rules.rule("i", optional);
        }
        Ok(Some(format!("\"[\"{open_end} {behind} \"]\"{open_end}")))
    }

    fn check_unique(&mut self, rules: &Arrays<'a>, most: Option<u64>) -> Result<(), Fault> {
        match &rules.unique {
            Some(at) if most.is_none_or(|most| most > 1) => self.reader.unsupported(
                at,
                "`uniqueItems` is not supported: no grammar remembers the items before; leave it out",
            ),
            _ => Ok(()),
        }
    }

    /// The items where some of them are held to a schema of their own. Nothing where none are; nothing within that
    /// where there is no such array.
    fn containing(
        &mut self,
        rules: &Arrays<'a>,
        first: &[String],
        rest: Option<&str>,
        inner: Notation,
    ) -> Result<Option<Option<String>>, Fault> {
        let wanted: Vec<_> = rules.contains.iter().filter(|contains| contains.least > 0).collect();
        let Some(contains) = wanted.first() else { return Ok(None) };
        let plain = wanted.len() == 1 && first.is_empty() && rules.most.is_none() && contains.least <= 100;
        if !plain || rules.least > contains.least {
            let what = "`contains` is not supported beside `prefixItems`, `maxItems` or more `minItems`";
            return self.reader.unsupported(&contains.at, what).map(|()| None);
        }
        let Some(item) = rest else { return Ok(Some(None)) };
        let parts = rules.rest.iter().flatten().chain(&contains.item).cloned().collect();
        let Some(one) = self.value(&parts, inner)? else { return Ok(Some(None)) };
        let comma = format!("\",\"{}", space(inner));
        let before = self.rules.rule("i", format!("({item} {comma})*"));
        let next = self.rules.rule("i", format!("({comma} {item})* {comma} {one}"));
        let more = self.rules.counted(&next, contains.least - 1, Some(contains.least - 1));
        Ok(Some(Some(format!("{before} {one} {more} ({comma} {item})*"))))
    }
}

/// How values within others are written.
pub fn inside(notation: Notation) -> Notation {
    match notation {
        Notation::Bare | Notation::Elements(_) => Notation::Json,
        notation => notation,
    }
}
