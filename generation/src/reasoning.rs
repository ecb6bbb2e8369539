//! How what a model thinks before it answers stands in the text of its answer: at its very beginning, between the
//! marks that most models write themselves. An engine that tells thoughts apart has them put between the same marks by
//! its adapter. Marks anywhere else are text like any other.
//!
//! ```text
//! Undecided ── `<think>` ──► Thinking ── `</think>` ──► Answering
//!     └────────────────── anything else ───────────────────▲
//! ```

/// What stands before thoughts.
pub const THOUGHTS_BEGIN: &str = "<think>";

/// What stands behind them.
pub const THOUGHTS_END: &str = "</think>";

/// What is put before the answer to a conversation that was rendered as `prompt`: some templates write the first mark
/// themselves, so that the model does not, and nobody could tell its thoughts from its answer.
#[must_use]
pub fn opening(prompt: &str) -> Option<&'static str> {
    prompt.trim_end().ends_with(THOUGHTS_BEGIN).then_some("<think>\n")
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What the model thought before.
    Thought(String),
    /// The answer itself.
    Text(String),
}

/// Reads one answer. White space around thoughts is neither thought nor text.
#[derive(Debug, Default)]
pub struct ThoughtReader {
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

impl ThoughtReader {
    /// Whether all that comes is text.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Answering { begun: true }
    }

    /// Reads the next piece.
    pub fn push(&mut self, text: String) -> Vec<Said> {
        if self.is_over() {
            return vec![Said::Text(text)];
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
                said.push(Said::Text(rest));
            }
        }
        said
    }

    /// What was held back, once nothing more comes.
    pub fn finish(&mut self) -> Option<Said> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Undecided if !held.is_empty() => Some(Said::Text(held)),
            State::Thinking { .. } if !held.trim_end().is_empty() => {
                Some(Said::Thought(held.trim_end().to_owned()))
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

    fn think(&mut self, begun: bool, said: &mut Vec<Said>) {
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
            said.push(Said::Thought(thought));
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
