//! Reasoning that an engine leaves in the text of a chat: at its very beginning, between the tags that most models
//! write. Tags anywhere else are text like any other.
//!
//! ```text
//! Undecided ── `<think>` ──► Reasoning ── `</think>` ──► Answer
//!     └────────────────── anything else ──────────────────▲
//! ```
//!
//! Rules: ORCH-ENG-15, ORCH-OAI-17

use crate::output::OutputEvent;

/// The tag before reasoning.
pub const REASONING_START: &str = "<think>";

/// The tag behind it.
pub const REASONING_END: &str = "</think>";

/// Whether a chat that was rendered as `prompt` begins within reasoning: some templates write the start tag themselves.
#[must_use]
pub fn is_prefilled(prompt: &str) -> bool {
    prompt.trim_end().ends_with(REASONING_START)
}

/// Parses one output. White space around reasoning is part of neither reasoning nor answer.
#[derive(Debug, Default)]
pub struct InlineReasoningParser {
    state: State,
    /// What may still turn out to be a tag, or white space before one.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Undecided,
    Reasoning {
        begun: bool,
    },
    Answer {
        begun: bool,
    },
}

impl InlineReasoningParser {
    /// A parser of an output that begins within reasoning where `prefilled`.
    #[must_use]
    pub fn new(prefilled: bool) -> Self {
        let state = if prefilled { State::Reasoning { begun: false } } else { State::Undecided };
        Self { state, held: String::new() }
    }

    /// Whether all that comes is text of the answer.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Answer { begun: true }
    }

    /// Parses what comes next.
    pub fn push(&mut self, text: &str) -> Vec<OutputEvent> {
        if self.is_done() {
            return vec![OutputEvent::Text(text.to_owned())];
        }
        self.held.push_str(text);
        let mut events = Vec::new();
        if self.state == State::Undecided {
            self.decide();
        }
        if let State::Reasoning { begun } = self.state {
            self.reason(begun, &mut events);
        }
        if let State::Answer { begun } = self.state {
            let rest = std::mem::take(&mut self.held);
            let rest = if begun { rest } else { rest.trim_start().to_owned() };
            if !rest.is_empty() {
                self.state = State::Answer { begun: true };
                events.push(OutputEvent::Text(rest));
            }
        }
        events
    }

    /// What was held back, once nothing more comes.
    pub fn finish(&mut self) -> Option<OutputEvent> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Undecided if !held.is_empty() => Some(OutputEvent::Text(held)),
            State::Reasoning { .. } if !held.trim_end().is_empty() => {
                Some(OutputEvent::Reasoning(held.trim_end().to_owned()))
            }
            State::Undecided | State::Reasoning { .. } | State::Answer { .. } => None,
        }
    }

    fn decide(&mut self) {
        let begins = self.held.trim_start();
        if let Some(rest) = begins.strip_prefix(REASONING_START) {
            self.held = rest.to_owned();
            self.state = State::Reasoning { begun: false };
        } else if !REASONING_START.starts_with(begins) {
            self.state = State::Answer { begun: true };
        }
    }

    fn reason(&mut self, begun: bool, events: &mut Vec<OutputEvent>) {
        let end = self.held.find(REASONING_END);
        let sure = match end {
            Some(end) => self.held[..end].trim_end(),
            None => self.held[..self.held.len() - possible_end(&self.held)].trim_end(),
        };
        let (sure, reasoning) = (sure.len(), if begun { sure } else { sure.trim_start() }.to_owned());
        self.held.replace_range(..end.map_or(sure, |end| end + REASONING_END.len()), "");
        self.state = match end {
            Some(_) => State::Answer { begun: false },
            None => State::Reasoning { begun: begun || !reasoning.is_empty() },
        };
        if !reasoning.is_empty() {
            events.push(OutputEvent::Reasoning(reasoning));
        }
    }
}

/// Bytes at the end of `text` that may be the beginning of the end tag.
fn possible_end(text: &str) -> usize {
    let longest = (REASONING_END.len() - 1).min(text.len());
    let is_beginning = |len: &usize| text.as_bytes().ends_with(&REASONING_END.as_bytes()[..*len]);
    (1..=longest).rev().find(is_beginning).unwrap_or(0)
}

#[cfg(test)]
mod tests;
