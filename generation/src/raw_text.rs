//! Raw text for outputs of engines that send reasoning and tool calls apart from the text: reasoning between
//! `<think>` and `</think>`, calls in the form of the Hermes family.

use crate::output::{OutputEvent, ToolCallDelta};
use crate::reasoning::{REASONING_END, REASONING_START};

/// Writes the raw text of one output, event by event.
#[derive(Debug, Default)]
pub struct RawTextWriter {
    open: Open,
}

/// What was begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Reasoning,
    Call(u32),
}

impl RawTextWriter {
    /// Whether text of the answer can follow without an end mark.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.open == Open::Nothing
    }

    /// Whether reasoning can follow without a tag.
    #[must_use]
    pub fn is_reasoning(&self) -> bool {
        self.open == Open::Reasoning
    }

    /// The raw text of `events`.
    pub fn write(&mut self, events: &[OutputEvent]) -> String {
        let mut raw = String::new();
        for event in events {
            match event {
                OutputEvent::Text(text) => {
                    self.end_into(&mut raw);
                    raw.push_str(text);
                }
                OutputEvent::Reasoning(text) => {
                    if self.open != Open::Reasoning {
                        self.end_into(&mut raw);
                        raw.push_str(REASONING_START);
                        self.open = Open::Reasoning;
                    }
                    raw.push_str(text);
                }
                OutputEvent::ToolCall(ToolCallDelta { index, start, arguments }) => {
                    if let Some(start) = start {
                        self.end_into(&mut raw);
                        raw.push_str(&beginning(&start.name));
                        self.open = Open::Call(*index);
                    }
                    raw.push_str(arguments);
                }
                OutputEvent::Embedding(_) | OutputEvent::Score(_) => {}
            }
        }
        raw
    }

    /// What is missing at the end of the output.
    pub fn finish(&mut self) -> String {
        let mut raw = String::new();
        if matches!(self.open, Open::Call(_)) {
            self.end_into(&mut raw);
        }
        raw
    }

    fn end_into(&mut self, raw: &mut String) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => {}
            Open::Reasoning => raw.push_str(REASONING_END),
            Open::Call(_) => raw.push_str(CALL_END),
        }
    }
}

/// What stands before the arguments of a call of `name`.
fn beginning(name: &str) -> String {
    format!("<tool_call>\n{{\"name\": {}, \"arguments\": ", serde_json::Value::from(name))
}

/// What stands behind them.
const CALL_END: &str = "}\n</tool_call>";

#[cfg(test)]
mod tests;
