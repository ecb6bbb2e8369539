//! What a model thinks before it answers, told from the answer: what stands between the marks of thoughts at the very
//! beginning. Marks anywhere else are text like any other.
//!
//! ```text
//! Undecided ── `<think>` ──► Thinking ── `</think>` ──► Answering
//!     └────────────────── anything else ───────────────────▲
//! ```

use adapter_api::{THOUGHTS_BEGIN, THOUGHTS_END};

use super::running::Stretch;

/// Reads one answer. White space around thoughts is neither thought nor text.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    state: State,
    /// What may still turn out to be a mark, or white space before one.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Undecided,
    Thinking {
        begun: bool,
    },
    Answering {
        begun: bool,
    },
}

impl Thoughts {
    /// Whether all that comes is text.
    pub(super) fn are_over(&self) -> bool {
        self.state == State::Answering { begun: true }
    }

    /// Reads the next piece.
    pub(super) fn push(&mut self, text: String) -> Vec<Stretch> {
        if self.are_over() {
            return vec![Stretch::Text(text)];
        }
        self.held.push_str(&text);
        let mut said = Vec::new();
        if self.state == State::Undecided {
            self.decide();
        }
        if let State::Thinking { begun } = self.state {
            self.think(begun, &mut said);
        }
        if let State::Answering { begun } = self.state {
            let rest = std::mem::take(&mut self.held);
            let rest = if begun { rest } else { rest.trim_start().to_owned() };
            if !rest.is_empty() {
                self.state = State::Answering { begun: true };
                said.push(Stretch::Text(rest));
            }
        }
        said
    }

    /// What was held back, once nothing more comes.
    pub(super) fn finish(&mut self) -> Option<Stretch> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Undecided if !held.is_empty() => Some(Stretch::Text(held)),
            State::Thinking { .. } if !held.trim_end().is_empty() => {
                Some(Stretch::Thought(held.trim_end().to_owned()))
            }
            State::Undecided | State::Thinking { .. } | State::Answering { .. } => None,
        }
    }

    fn decide(&mut self) {
        let begins = self.held.trim_start();
        if let Some(rest) = begins.strip_prefix(THOUGHTS_BEGIN) {
            self.held = rest.to_owned();
            self.state = State::Thinking { begun: false };
        } else if !THOUGHTS_BEGIN.starts_with(begins) {
            self.state = State::Answering { begun: true };
        }
    }

    fn think(&mut self, begun: bool, said: &mut Vec<Stretch>) {
        let end = self.held.find(THOUGHTS_END);
        let sure = match end {
            Some(end) => self.held[..end].trim_end(),
            None => self.held[..self.held.len() - possible_end(&self.held)].trim_end(),
        };
        let (sure, thought) = (sure.len(), if begun { sure } else { sure.trim_start() }.to_owned());
        self.held.replace_range(..end.map_or(sure, |end| end + THOUGHTS_END.len()), "");
        self.state = match end {
            Some(_) => State::Answering { begun: false },
            None => State::Thinking { begun: begun || !thought.is_empty() },
        };
        if !thought.is_empty() {
            said.push(Stretch::Thought(thought));
        }
    }
}

/// Bytes at the end of `text` that may be the beginning of the mark behind thoughts.
fn possible_end(text: &str) -> usize {
    let longest = (THOUGHTS_END.len() - 1).min(text.len());
    let is_beginning = |len: &usize| text.as_bytes().ends_with(&THOUGHTS_END.as_bytes()[..*len]);
    (1..=longest).rev().find(is_beginning).unwrap_or(0)
}

#[cfg(test)]
mod tests;
