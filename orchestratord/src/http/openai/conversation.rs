//! A conversation with its tools, whatever endpoint it came to, and the tasks that answer it.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_api::{Input, Message, Role, Tools};
use api_types as wire;
use config_schema::SamplerProfile;

use super::shared::Plan;
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
        &self,
        plan: &Plan,
        profiles: &BTreeMap<String, SamplerProfile>,
    ) -> Result<Vec<TaskRequest>, Refusal> {
        self.tools.check().map_err(Refusal::Invalid)?;
        for (i, message) in self.messages.iter().enumerate() {
            for call in &message.tool_calls {
                no_nul(&format!("messages[{i}].tool_calls"), &call.arguments)?;
            }
        }
        let mut tasks = plan.tasks(profiles, |task| {
            let texts = self.messages.iter().map(|message| wire::Message {
                role: match message.role {
                    Role::System => wire::Role::System,
                    Role::User => wire::Role::User,
                    Role::Assistant => wire::Role::Assistant,
                    Role::Tool => wire::Role::Tool,
                },
                content: message.content.clone(),
            });
            task.messages = Some(texts.collect());
        })?;
        for task in &mut tasks {
            // The data plane's messages hold text alone.
            let job = Arc::make_mut(&mut task.job);
            job.input = Input::Messages(self.messages.clone());
            job.tools = self.tools.clone();
        }
        Ok(tasks)
    }
}
