//! What the last token's event looked like around its text. An engine says the same thing around every
//! token of a stream, so that a new event that has the same bytes before and behind a plain text needs no
//! second parse: it is the same event with another text in it. An event that differs anywhere is parsed.

use std::sync::Arc;

use generation::ExtraFields;

/// The bytes around the text of an event that was parsed.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    around: Vec<u8>,
    /// Where the text was: the bytes behind it begin here in `around`.
    at: usize,
    /// What the text is.
    kind: TextKind,
    /// What the engine says in fields of its own there.
    extra: Option<Arc<ExtraFields>>,
}

/// What the text of an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// Text of the answer.
    #[default]
    Answer,
    /// Reasoning.
    Reasoning,
}

impl Shape {
    /// Remembers what is around `text`, which is a part of `event`; nothing, where it is not: an escape in it
    /// made a copy.
    pub(crate) fn learn(
        &mut self,
        event: &[u8],
        text: &str,
        kind: TextKind,
        extra: Option<&Arc<ExtraFields>>,
    ) {
        self.forget();
        let Some(at) = (text.as_ptr() as usize).checked_sub(event.as_ptr() as usize) else { return };
        let end = at + text.len();
        if end > event.len() || !event[..at].ends_with(b"\"") || !event[end..].starts_with(b"\"") {
            return;
        }
        self.around.extend_from_slice(&event[..at]);
        self.around.extend_from_slice(&event[end..]);
        self.at = at;
        self.kind = kind;
        self.extra = extra.cloned();
    }

    /// Remembers nothing any more.
    pub(crate) fn forget(&mut self) {
        self.around.clear();
        self.at = 0;
        self.extra = None;
    }

    /// What the text is.
    pub(crate) fn kind(&self) -> TextKind {
        self.kind
    }

    /// The fields of the engine's own that stand around the text.
    pub(crate) fn extra(&self) -> Option<Arc<ExtraFields>> {
        self.extra.clone()
    }

    /// The text of `event`, where it looks as the one that was learned; never an empty one.
    pub(crate) fn text<'a>(&self, event: &'a [u8]) -> Option<&'a str> {
        let (before, behind) = self.around.split_at(self.at);
        if before.is_empty() {
            return None;
        }
        let text = event.strip_prefix(before)?.strip_suffix(behind)?;
        let plain =
            !text.is_empty() && text.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        if plain { std::str::from_utf8(text).ok() } else { None }
    }
}

#[cfg(test)]
mod tests;
