//! From a request of the data plane to a task, and the checks that a task of any plane passes: pure, without a model
//! and without a clock. What needs the model (whether the prompt fits, whether the engine offers the workload) is
//! decided by the driver.
//!
//! ```text
//! bytes ──parse──► api_types::TaskRequest ──resolve──┐
//! bytes ──parse──► the OpenAI plane's requests ──────┴► GenerateRequest ──check──► handle::TaskRequest
//! ```
//!
//! Rules: ORCH-TASK-7

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types as wire;
use api_types::limits::task_request as limits;
use config_schema::SamplerProfile;
use engine_api::EngineKind;
use generation::{Determinism, GenerateRequest, Input, KvHint, Message, Role, Workload};
use orchestrator_core::{Priority, SessionId, TaskId, TokenCount};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::answer::shown;
use super::keep_alive;
use crate::backpressure::Refusal;
use crate::handle::TaskRequest;

pub(super) mod check;
mod fingerprint;
pub(super) mod sampling;

use check::{chars, no_nul, not_empty, within};

/// The task of a request of the data plane, with what it leaves out. `new_id` makes the id of one that comes without.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub fn resolve(
    request: wire::TaskRequest,
    profiles: &BTreeMap<String, SamplerProfile>,
    new_id: impl FnOnce() -> Uuid,
) -> Result<TaskRequest, Refusal> {
    let workload = match request.workload {
        None | Some(wire::Workload::Completion) => Workload::Completion,
        Some(wire::Workload::Embedding) => Workload::Embedding,
        Some(wire::Workload::Rerank) => Workload::Rerank,
    };
    if workload != Workload::Completion {
        only_of_completions(&request, workload)?;
    }
    let task = TaskId(request.task_id.unwrap_or_else(new_id));
    let mut sampling = sampling::of_wire(request.sampling.unwrap_or_default())?;
    if let Some(profile) = request.sampler_profile_version.as_deref() {
        sampling.params = sampling.params.or(&sampling::profile(profile, profiles)?);
    }
    let generate = GenerateRequest {
        session: request.session_id.map(SessionId),
        priority: match request.priority {
            None | Some(wire::Priority::Interactive) => Priority::Interactive,
            Some(wire::Priority::Batch) => Priority::Batch,
        },
        workload,
        ctx: request.ctx.map(TokenCount),
        max_tokens: request.max_tokens.map(TokenCount),
        sampling,
        seed: request.seed.unwrap_or_else(|| seed_of(task)),
        determinism: match request.determinism {
            None | Some(wire::Determinism::BestEffort) => Determinism::BestEffort,
            Some(wire::Determinism::Strict) => Determinism::Strict,
        },
        kv: match request.kv_hint {
            None | Some(wire::KvHint::Reuse) => KvHint::Reuse,
            Some(wire::KvHint::None) => KvHint::None,
        },
        ..GenerateRequest::new(task, input(request.prompt, request.messages, request.inputs)?)
    };
    check(TaskRequest {
        model_ref: request.model_ref,
        engine: request.engine.map(engine_of),
        expected_tokens: request.expected_tokens.map(TokenCount),
        keep_alive: keep_alive::read(request.keep_alive.as_ref())?,
        ..TaskRequest::new(generate)
    })
}

/// A task of any plane, checked, and with its fingerprint.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub(super) fn check(mut request: TaskRequest) -> Result<TaskRequest, Refusal> {
    if let Some(model_ref) = &request.model_ref {
        chars("model_ref", model_ref, limits::MODEL_REF_CHARS)?;
        no_nul(|| "model_ref", model_ref)?;
    }
    request.job.tools.check().map_err(Refusal::Invalid)?;
    let generate = Arc::make_mut(&mut request.job);
    check_input(&generate.input, generate.workload)?;
    let number = |tokens: Option<TokenCount>| tokens.map(|tokens| tokens.0);
    within("ctx", number(generate.ctx), limits::CTX)?;
    within("max_tokens", number(generate.max_tokens), limits::MAX_TOKENS)?;
    sampling::check(&mut generate.sampling)?;
    within("expected_tokens", number(request.expected_tokens), limits::EXPECTED_TOKENS)?;
    request.fingerprint = fingerprint::of(&request);
    Ok(request)
}

/// Exactly one of the three.
fn input(
    prompt: Option<String>,
    messages: Option<Vec<wire::Message>>,
    inputs: Option<Vec<String>>,
) -> Result<Input, Refusal> {
    match (prompt, messages, inputs) {
        (Some(prompt), None, None) => Ok(Input::Prompt(prompt)),
        (None, Some(messages), None) => Ok(Input::Messages(messages.into_iter().map(message_of).collect())),
        (None, None, Some(inputs)) => Ok(Input::Inputs(inputs)),
        (None, None, None) => {
            Err(invalid("none of `prompt`, `messages` and `inputs` is there: send one of them"))
        }
        (prompt, messages, inputs) => {
            let there =
                [prompt.map(|_| "`prompt`"), messages.map(|_| "`messages`"), inputs.map(|_| "`inputs`")];
            let there = there.into_iter().flatten().collect::<Vec<_>>().join(" and ");
            Err(invalid(&format!("{there} are there together: send exactly one of them")))
        }
    }
}

fn check_input(input: &Input, workload: Workload) -> Result<(), Refusal> {
    let name = workload.as_str();
    match (input, workload) {
        (Input::Prompt(prompt), Workload::Completion) => {
            not_empty("prompt", prompt)?;
            no_nul(|| "prompt", prompt)
        }
        (Input::Infill(infill), Workload::Completion) => {
            let files = infill.files.iter().flat_map(|file| [&file.name, &file.text]);
            let mut texts = [&infill.prefix, &infill.typed, &infill.suffix].into_iter().chain(files);
            texts.try_for_each(|text| no_nul(|| "suffix", text))
        }
        (Input::Messages(messages), Workload::Completion) => {
            check::count("messages", messages.len(), limits::MESSAGES_ITEMS)?;
            for (i, message) in messages.iter().enumerate() {
                no_nul(|| format!("messages[{i}].content"), &message.content)?;
                for call in &message.tool_calls {
                    no_nul(|| format!("messages[{i}].tool_calls"), &call.arguments)?;
                }
            }
            Ok(())
        }
        (Input::Inputs(inputs), Workload::Embedding | Workload::Rerank) => {
            check::count("inputs", inputs.len(), limits::INPUTS_ITEMS)?;
            if workload == Workload::Rerank && inputs.len() < 2 {
                return Err(invalid(
                    "`inputs` has 1 text: for `workload` `rerank` send the query and at least one document",
                ));
            }
            for (i, text) in inputs.iter().enumerate() {
                if text.is_empty() {
                    not_empty(&format!("inputs[{i}]"), text)?;
                }
                no_nul(|| format!("inputs[{i}]"), text)?;
            }
            Ok(())
        }
        (Input::Inputs(_), Workload::Completion) => Err(invalid(
            "`inputs` does not go with `workload` `completion`: send `prompt` or `messages`, or set `workload` to \
             `embedding` or `rerank`",
        )),
        (Input::Prompt(_) | Input::Infill(_), Workload::Embedding | Workload::Rerank) => {
            Err(invalid(&format!("`prompt` does not go with `workload` `{name}`: send `inputs`")))
        }
        (Input::Messages(_), Workload::Embedding | Workload::Rerank) => {
            Err(invalid(&format!("`messages` does not go with `workload` `{name}`: send `inputs`")))
        }
    }
}

/// What says how an answer's tokens are chosen means nothing where no token is chosen, and is refused
/// rather than left unread.
fn only_of_completions(request: &wire::TaskRequest, workload: Workload) -> Result<(), Refusal> {
    let given = [
        ("max_tokens", request.max_tokens.is_some()),
        ("expected_tokens", request.expected_tokens.is_some()),
        ("sampling", request.sampling.is_some()),
        ("sampler_profile_version", request.sampler_profile_version.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((field, _)) => Err(invalid(&format!(
            "`{field}` does not go with `workload` `{}`, which chooses no tokens: leave it out",
            workload.as_str()
        ))),
    }
}

fn message_of(message: wire::Message) -> Message {
    let role = match message.role {
        wire::Role::System => Role::System,
        wire::Role::User => Role::User,
        wire::Role::Assistant => Role::Assistant,
        wire::Role::Tool => Role::Tool,
    };
    Message::new(role, message.content)
}

fn engine_of(engine: wire::Engine) -> EngineKind {
    match engine {
        wire::Engine::Llamacpp => EngineKind::Llamacpp,
        wire::Engine::Vllm => EngineKind::Vllm,
        wire::Engine::Tgi => EngineKind::Tgi,
        wire::Engine::Triton => EngineKind::Triton,
    }
}

/// The seed of a task that brings none: the first eight bytes of the SHA-256 of its id, little-endian.
pub(super) fn seed_of(task: TaskId) -> u64 {
    first_bytes(Sha256::digest(task.0.as_bytes()).into())
}

fn first_bytes(digest: [u8; 32]) -> u64 {
    let (first, _) = digest.split_first_chunk().expect("32 bytes are more than eight");
    u64::from_le_bytes(*first)
}

fn invalid(what: &str) -> Refusal {
    Refusal::Invalid(what.to_owned())
}

#[cfg(test)]
mod tests;
