//! The planes that home clients speak, over real sockets and held to their contracts
//! (`contracts/openapi/openai.yaml`, `ollama.yaml`): every documented status is provoked, every body and every event of a
//! stream has the documented form, and nothing else is ever answered.
#![expect(clippy::unwrap_used, reason = "an unwrap in a test is an assertion")]

#[expect(dead_code, reason = "the other tests read streams of tasks as well")]
#[path = "support/contract.rs"]
mod contract;
#[path = "openai/fields.rs"]
mod fields;
#[path = "openai/leaving.rs"]
mod leaving;
#[path = "openai/logprobs.rs"]
mod logprobs;
#[path = "openai/messages.rs"]
mod messages;
#[path = "openai/ollama.rs"]
mod ollama;
#[path = "openai/reasoning.rs"]
mod reasoning;
#[path = "openai/refusals.rs"]
mod refusals;
#[path = "openai/responses.rs"]
mod responses;
#[path = "support/test_daemon.rs"]
mod test_daemon;
#[path = "openai/text.rs"]
mod text;
#[path = "openai/tools.rs"]
mod tools;
#[path = "openai/vectors.rs"]
mod vectors;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use contract::Contract;
use engine_api::Abilities;
use generation::Workload;
use serde_json::{Value, json};
use test_daemon::{MockOptions, TestDaemon};
use wire::{Answer, Ask};

/// Judges every answer, and remembers what was provoked.
#[derive(Clone)]
pub struct Audit {
    contract: Arc<Contract>,
    seen: Arc<Mutex<BTreeSet<(String, String, u16)>>>,
}

impl Default for Audit {
    fn default() -> Self {
        Self { contract: Arc::new(Contract::of_a_client_plane("openai.yaml")), seen: Arc::default() }
    }
}

impl Audit {
    /// Has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, of the API of Ollama.
    #[must_use]
    pub fn of_ollama() -> Self {
        Self { contract: Arc::new(Contract::of_a_client_plane("ollama.yaml")), seen: Arc::default() }
    }

    /// Sends, judges, and remembers.
    pub async fn expect(&self, status: u16, at: SocketAddr, ask: Ask) -> Answer {
        let answer = wire::send(at, &ask).await;
        match self.contract.judge(&ask, &answer) {
            Ok(known) => self.seen.lock().unwrap().extend(known),
            Err(error) => panic!("{} {}: {error}\n{answer:?}", ask.method, ask.path),
        }
        assert_eq!(answer.status, status, "{} {}: {answer:?}", ask.method, ask.path);
        answer
    }
}

/// A daemon whose model offers everything.
pub async fn all_workloads() -> TestDaemon {
    let workloads = vec![Workload::Completion, Workload::Embedding, Workload::Rerank];
    let abilities = Abilities { infill: true, ..Abilities::default() };
    let daemon =
        TestDaemon::with(MockOptions { workloads, abilities, lane_bound: 16, ..MockOptions::default() });
    daemon.bring_up().await;
    daemon
}

/// A conversation of one turn, with more fields.
pub fn chat(text: &str, more: &Value) -> Ask {
    let body = json!({"model": "starter", "messages": [{"role": "user", "content": text}]});
    Ask::post("/v1/chat/completions").json(&with(body, more))
}

/// A prompt, with more fields.
pub fn completion(prompt: &str, more: &Value) -> Ask {
    Ask::post("/v1/completions").json(&with(json!({"model": "starter", "prompt": prompt}), more))
}

/// A body with more fields.
pub fn with(mut body: Value, more: &Value) -> Value {
    let more = more.as_object().cloned().unwrap_or_default();
    body.as_object_mut().unwrap().extend(more);
    body
}

/// The events of a stream, without `[DONE]`.
pub fn events(answer: &Answer) -> Vec<Value> {
    let data = contract::data(answer.text()).unwrap();
    let (_, data) = data.split_last().unwrap();
    data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// ORCH-OAI-2
/// ORCH-OAI-3
/// ORCH-OAI-4
/// ORCH-OAI-8
/// ORCH-OAI-9
#[tokio::test]
async fn the_plane_answers_as_its_contract_says_and_in_no_other_way() {
    let audit = Audit::new();
    refusals::of_a_pool_that_is_not_ready(&audit).await;
    let daemon = all_workloads().await;
    every_example_is_answered(&audit, &daemon).await;
    text::models(&audit, &daemon).await;
    refusals::by_name(&audit, &daemon).await;
    refusals::of_callers(&audit, &daemon).await;
    refusals::of_a_full_house(&audit).await;
    refusals::of_failures(&audit).await;
    refusals::of_defects(&audit).await;
    let seen = audit.seen.lock().unwrap().clone();
    let missing: Vec<_> = audit.contract.documented().difference(&seen).cloned().collect();
    assert!(missing.is_empty(), "documented and never answered: {missing:#?}");
}

async fn every_example_is_answered(audit: &Audit, daemon: &TestDaemon) {
    let examples = audit.contract.examples();
    assert!(examples.len() >= 5);
    for example in &examples {
        assert!(example.faults.is_empty(), "{example:?}");
        audit.expect(200, daemon.address, Ask::post(&example.path).json(&example.body)).await;
    }
}
