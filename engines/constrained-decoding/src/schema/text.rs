//! Strings and numbers as rules.

use super::alternative::{Numbers, Texts};
use super::emit;
use super::{Converter, Fault, Notation};
use crate::automaton::number::{Digits, MAX_DIGITS};
use crate::automaton::{TextSet, intersection};

/// Everything that is said of a text.
pub fn text_sets(texts: &Texts) -> Vec<TextSet> {
    let mut sets = texts.sets.clone();
    if texts.least > 0 || texts.most.is_some() {
        sets.push(TextSet::Length { least: texts.least, most: texts.most });
    }
    sets
}

/// Everything that is said of a number, and its form.
pub fn number_sets(numbers: &Numbers, integer: bool) -> Vec<TextSet> {
    let mut sets = numbers.sets.clone();
    sets.push(TextSet::Digits(Digits { integer, most: numbers.digits.max(MAX_DIGITS) }));
    sets
}

impl Converter<'_> {
    /// What texts look like; nothing where there are none.
    pub(super) fn text(&mut self, texts: &Texts, notation: Notation) -> Result<Option<String>, Fault> {
        if texts.most.is_some_and(|most| most < texts.least) {
            return Ok(None);
        }
        let most = texts.most.filter(|most| *most <= emit::MAX_COUNTED);
        let body = match (texts.least, most) {
            (0, None) if texts.sets.is_empty() && notation == Notation::Json => {
                return Ok(Some(self.rules.any("string", notation)));
            }
            (least, Some(_)) if texts.sets.is_empty() => {
                let letter = self.rules.any("char", notation);
                self.rules.counted(&letter, least, most)
            }
            (least @ 1.., None) if texts.sets.is_empty() => {
                let letter = self.rules.any("char", notation);
                let least = self.rules.counted(&letter, least, Some(least));
                let rest = self.texts_of(&[], notation, None)?.expect("there are texts");
                format!("{least} {rest}")
            }
            (least, most) => {
                let mut sets = texts.sets.clone();
                if least > 0 || most.is_some() {
                    sets.push(TextSet::Length { least, most });
                }
                match self.texts_of(&sets, notation, texts.at.as_deref())? {
                    Some(body) => body,
                    None => return Ok(None),
                }
            }
        };
        Ok(Some(emit::quoted(&body, notation)))
    }

    /// The rule of the texts that are in all of `sets`, without quotes.
    pub(super) fn texts_of(
        &mut self,
        sets: &[TextSet],
        notation: Notation,
        at: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        if sets.is_empty() && notation == Notation::Json {
            return Ok(Some(self.rules.any("chars", notation)));
        }
        let mut sets = sets.to_vec();
        let ends = match &notation {
            Notation::Json => &[][..],
            Notation::Marked { quote } => std::slice::from_ref(quote),
            Notation::Bare | Notation::Elements(_) => self.texts.ends,
        };
        sets.extend(ends.iter().map(|end| TextSet::Without(end.chars().collect())));
        match intersection(&sets) {
            Ok(None) => Ok(None),
            Ok(Some(dfa)) => Ok(Some(self.rules.automaton(&dfa, notation))),
            Err(_) => {
                let at = at.unwrap_or("#");
                self.reader
                    .unsupported(at, "what it says of a string is too complex together: simplify it")?;
                self.texts_of(&[], notation, None)
            }
        }
    }

    /// What numbers look like; nothing where there are none.
    pub(super) fn number(
        &mut self,
        numbers: &Numbers,
        integer: bool,
        notation: Notation,
    ) -> Result<Option<String>, Fault> {
        let any = if integer { "integer" } else { "number" };
        if numbers.sets.is_empty() {
            return Ok(Some(self.rules.any(any, notation)));
        }
        let at = numbers.at.as_deref().unwrap_or("#");
        if numbers.digits > 40 {
            self.reader.unsupported(at, "a bound of more than 40 digits is not supported")?;
            return Ok(Some(self.rules.any(any, notation)));
        }
        match intersection(&number_sets(numbers, integer)) {
            Ok(None) => Ok(None),
            Ok(Some(dfa)) => {
                let bare = Notation::Bare;
                Ok(Some(format!("{}{}", self.rules.automaton(&dfa, bare), emit::space(notation))))
            }
            Err(_) => {
                self.reader
                    .unsupported(at, "what it says of a number is too complex together: simplify it")?;
                Ok(Some(self.rules.any(any, notation)))
            }
        }
    }
}
