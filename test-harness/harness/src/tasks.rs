//! Tasks as tests ask them: greedy, so that an answer is the same each time.

use openapi_client::types::{LogitBias, Message, Priority, Role, Sampling, TaskRequest};
pub use traffic::text_of;

/// A greedy task with one user message.
#[must_use]
pub fn chat(text: &str, max_tokens: u32) -> TaskRequest {
    let message = Message { role: Role::User, content: text.to_owned() };
    TaskRequest { messages: Some(vec![message]), ..greedy(max_tokens) }
}

/// A greedy task that goes on from a text.
#[must_use]
pub fn prompt(text: &str, max_tokens: u32) -> TaskRequest {
    TaskRequest { prompt: Some(text.to_owned()), ..greedy(max_tokens) }
}

/// A task that does not end by itself: the tokens that end an answer (0 and 2 of the starter model) are banned.
#[must_use]
pub fn endless(max_tokens: u32) -> TaskRequest {
    let mut task = prompt("Count: one two three", max_tokens);
    let ban = |token| LogitBias { token: Some(token), text: None, bias: -100.0 };
    task.sampling.get_or_insert_default().logit_bias = Some(vec![ban(0), ban(2)]);
    task
}

/// The same task in the batch lane.
#[must_use]
pub fn batch(task: TaskRequest) -> TaskRequest {
    TaskRequest { priority: Some(Priority::Batch), ..task }
}

fn greedy(max_tokens: u32) -> TaskRequest {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    TaskRequest { max_tokens: Some(max_tokens), sampling: Some(sampling), ..TaskRequest::default() }
}
