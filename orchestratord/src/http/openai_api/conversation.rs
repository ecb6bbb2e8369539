//! A conversation with its tools, whatever endpoint it came to, and the tasks that answer it.

use std::collections::BTreeMap;

use config_schema::SamplerProfile;
use generation::{Input, Message, Tools};

use super::generation_params::GenerationPlan;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;
use crate::http::task_request::check::no_nul;

/// What is said, and what may be called.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    pub(super) tools: Tools,
}

impl Conversation {
    /// The tasks that answer it as `plan` says.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] naming the field, its value and what would be right.
    pub(super) fn tasks(
        self,
        plan: &GenerationPlan,
        profiles: &BTreeMap<String, SamplerProfile>,
    ) -> Result<Vec<TaskRequest>, Refusal> {
        self.tools.check().map_err(Refusal::Invalid)?;
        for (i, message) in self.messages.iter().enumerate() {
            for call in &message.tool_calls {
                no_nul(|| format!("messages[{i}].tool_calls"), &call.arguments)?;
            }
        }
        plan.tasks(profiles, Input::Messages(self.messages), self.tools)
    }
}
