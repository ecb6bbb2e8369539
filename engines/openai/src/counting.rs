//! Tokens of an input, by the server's own tokenizer (vLLM's `POST /tokenize`) or by an estimate.

use engine_api::Measured;
use engine_http::{ChatMessage, ChatTools, Client, Fault, chat_messages, measured_by_estimate};
use generation::{GenerateRequest, Input};
use orchestrator_core::TokenCount;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::backend::{Counting, OpenAi};

/// Inputs of one embedding that are counted one by one; more are estimated.
const MAX_COUNTED_INPUTS: usize = 64;

/// The list of tokens beside the count is not looked at.
#[derive(Deserialize)]
struct Counted {
    count: u32,
}

/// A conversation to count.
#[derive(Serialize)]
struct Conversation<'a> {
    model: &'a str,
    messages: Vec<ChatMessage<'a>>,
    #[serde(flatten)]
    tools: ChatTools<'a>,
    add_generation_prompt: bool,
}

/// Counts the tokens of a job's input.
pub(crate) async fn measure(
    server: &OpenAi,
    client: &Client,
    job: &GenerateRequest,
) -> Result<Measured, Fault> {
    let (model, input) = (&server.model, &*job.input);
    let one = |count: TokenCount| Measured { tokens: count, longest: count };
    match input {
        _ if server.counting == Counting::Estimate => Ok(measured_by_estimate(input)),
        Input::Inputs(inputs) if inputs.len() > MAX_COUNTED_INPUTS => Ok(measured_by_estimate(input)),
        Input::Prompt(prompt) => count(client, &json!({ "model": model, "prompt": prompt })).await.map(one),
        Input::Infill(_) => Ok(measured_by_estimate(input)),
        Input::Messages(messages) => {
            let (messages, tools) = (chat_messages(messages), ChatTools::new(&job.tools)?);
            let body = Conversation { model, messages, tools, add_generation_prompt: true };
            count(client, &body).await.map(one)
        }
        Input::Inputs(inputs) => {
            let mut measured = Measured { tokens: TokenCount(0), longest: TokenCount(0) };
            for input in inputs {
                let tokens = count(client, &json!({ "model": model, "prompt": input })).await?;
                measured.tokens = TokenCount(measured.tokens.0.saturating_add(tokens.0));
                measured.longest = measured.longest.max(tokens);
            }
            Ok(measured)
        }
    }
}

/// Asks for one count.
pub(crate) async fn count(client: &Client, body: &impl Serialize) -> Result<TokenCount, Fault> {
    let body = serde_json::to_vec(body).map_err(|error| Fault::Refused(error.to_string()))?;
    let answered = client.post("/tokenize", &body).await?;
    if !answered.is_ok() {
        return Err(client.fault_of(&answered));
    }
    match serde_json::from_slice::<Counted>(&answered.body) {
        Ok(counted) => Ok(TokenCount(counted.count)),
        Err(error) => {
            Err(Fault::Protocol(format!("`/tokenize` of {} gives no count: {error}", client.server())))
        }
    }
}
