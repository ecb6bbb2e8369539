//! A conversation with its tools, whatever endpoint it came to, and the tasks that answer it.
//!
//! Rules: ORCH-OAI-20

use generation::{Input, Message, Role, Tools};

use super::generation_params::GenerationPlan;
use super::offered_tools::ToolNames;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;

/// What is said, and what may be called.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    pub(super) tools: Tools,
    /// How the client calls these tools.
    pub(super) tool_names: ToolNames,
    /// Whether the answer continues the last message, which is the assistant's.
    pub(super) continues: bool,
}

/// Whether an answer continues the last of `messages`: it does where that is the assistant's, unless the request says
/// otherwise.
///
/// # Errors
/// [`Refusal::Invalid`] where the request wants to continue a message of somebody else.
pub(super) fn continues(messages: &[Message], asked: Option<bool>) -> Result<bool, Refusal> {
    let last = messages.last();
    let can = last.is_some_and(|last| {
        let has_text = !last.content.is_empty() || last.reasoning.is_some();
        last.role == Role::Assistant && last.tool_calls.is_empty() && has_text
    });
    match asked {
        Some(true) if !can => Err(Refusal::Invalid(
            "`continue_final_message` is true: end `messages` with a message of the `assistant` that has `content`"
                .to_owned(),
        )),
        Some(false) => Ok(false),
        None | Some(true) => Ok(can),
    }
}

impl Conversation {
    /// The tasks that answer it as `plan` says.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn tasks(self, plan: &GenerationPlan) -> Result<Vec<TaskRequest>, Refusal> {
        plan.tasks(Input::Messages(self.messages), self.tools, self.continues)
    }
}
