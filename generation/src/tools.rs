//! Tools a model may call, and the calls it makes. How a model writes a call in its text is its family's
//! own affair, and that of whoever runs it: an engine tells calls beside the text ([`crate::OutputChunk::calls`]).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// A function that the model may ask its caller to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// The JSON schema of its arguments, as its JSON text; an object without properties when absent.
    pub parameters: Option<String>,
    /// Whether the arguments must be of the schema: what of it cannot be kept is an error.
    pub strict: bool,
}

/// A call that the model made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the result refers to it by.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments, as the JSON text that the model wrote.
    pub arguments: String,
}

/// Whether the model calls a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// It does not: the tools are not shown to it.
    None,
    /// It calls at least one, whichever it is.
    Required,
    /// It calls this one.
    Named(String),
}

/// The tools of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// What there is to call.
    pub offered: Vec<Tool>,
    /// Whether it is called.
    pub choice: ToolChoice,
    /// At most one call in an answer.
    pub single: bool,
}

impl Tools {
    /// Whether the model is told of tools, so that its answer may hold calls.
    #[must_use]
    pub fn are_shown(&self) -> bool {
        !self.offered.is_empty() && self.choice != ToolChoice::None
    }

    /// Whether the answer is a call and cannot be anything else.
    #[must_use]
    pub fn are_forced(&self) -> bool {
        self.are_shown() && matches!(self.choice, ToolChoice::Required | ToolChoice::Named(_))
    }

    /// Finds what is wrong with them before any engine sees them.
    ///
    /// # Errors
    /// The field, its value and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let count = self.offered.len();
        if count > MAX_TOOLS {
            return Err(format!("`tools` holds {count}: send at most {MAX_TOOLS}"));
        }
        let mut names = HashSet::with_capacity(count);
        for (at, tool) in self.offered.iter().enumerate() {
            let name = &tool.name;
            let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
            if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(plain) {
                return Err(format!(
                    "`tools[{at}]` is named `{name}`: 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` and `.` would be \
                     right"
                ));
            }
            if !names.insert(name) {
                return Err(format!(
                    "`tools[{at}]` is named `{name}`, as one before it is: names must differ"
                ));
            }
        }
        match &self.choice {
            ToolChoice::Auto | ToolChoice::None => Ok(()),
            ToolChoice::Required if self.offered.is_empty() => {
                Err("`tool_choice` is `required`, but there are no `tools`: send at least one".to_owned())
            }
            ToolChoice::Required => Ok(()),
            ToolChoice::Named(name) if self.offered.iter().any(|tool| tool.name == *name) => Ok(()),
            ToolChoice::Named(name) => {
                let known: Vec<&str> = self.offered.iter().map(|tool| tool.name.as_str()).collect();
                Err(format!(
                    "`tool_choice` names `{name}`, which is not among the `tools`: they are `{}`",
                    known.join("`, `")
                ))
            }
        }
    }
}

/// The most tools of one task: several times what models can tell apart.
const MAX_TOOLS: usize = 1024;

/// The longest name of a tool: what OpenAI takes.
const MAX_NAME_BYTES: usize = 64;
