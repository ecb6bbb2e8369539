//! Whether a task is one for an engine, and whether its measured prompt fits there. Pure: facts and numbers
//! in, an answer with the numbers out.
//!
//! Rules: ORCH-OAI-24, ORCH-TASK-6, ORCH-TASK-8, ORCH-ENG-9, ORCH-DET-2

use std::sync::Arc;

use engine_api::redact::without_folders;
use engine_api::{EngineFacts, Measured};
use generation::{Determinism, prompt_too_long};
use orchestrator_core::TokenCount;

use crate::backpressure::Refusal;
use crate::handle::TaskRequest;

/// Checks a task against what the engine is, before the engine hears of it.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, its value and what would be right.
pub fn check_offer(request: &TaskRequest, facts: &EngineFacts) -> Result<(), Refusal> {
    let job = &request.job;
    if !facts.workloads.contains(&job.workload) {
        let can = facts.workloads.iter().map(|workload| workload.as_str()).collect::<Vec<_>>().join("`, `");
        return Err(Refusal::Invalid(format!(
            "`workload` is `{}`, which model `{}` does not offer: it offers `{can}`",
            job.workload.as_str(),
            without_folders(&facts.model.name),
        )));
    }
    if job.determinism == Determinism::Strict && !facts.strict {
        return Err(Refusal::Invalid(format!(
            "`determinism` is `strict`, which engine `{}` cannot promise: use `best_effort`",
            facts.kind.as_str(),
        )));
    }
    facts.abilities.check(job, facts.kind).map_err(Refusal::Invalid)?;
    let slot = facts.ctx;
    if let Some(asked) = job.ctx.filter(|asked| *asked > slot) {
        return Err(Refusal::Invalid(format!(
            "`ctx` is {asked}, but a slot of this pool holds {slot} tokens: ask for at most {slot}, or raise the \
             pool's `ctx` (the model was trained with {})",
            facts.model.ctx_train,
        )));
    }
    Ok(())
}

/// Checks the size of a task against the engine that measured it.
///
/// # Errors
/// [`Refusal::Invalid`] naming the field, the numbers and what would be right.
pub fn check_fit(request: &TaskRequest, measured: Measured, facts: &EngineFacts) -> Result<(), Refusal> {
    let job = &request.job;
    let ctx = job.ctx.unwrap_or(facts.ctx);
    let prompt = measured.longest;
    if job.workload != generation::Workload::Completion {
        return if prompt > ctx {
            Err(Refusal::Invalid(format!(
                "the longest of `inputs` has {prompt} tokens, more than the {ctx} that a slot holds: shorten it"
            )))
        } else {
            Ok(())
        };
    }
    let answer = job.max_tokens.filter(|_| !request.is_ceiling).unwrap_or(TokenCount(1));
    let together = u64::from(prompt.0) + u64::from(answer.0);
    if together <= u64::from(ctx.0) {
        return Ok(());
    }
    let room = ctx.0.saturating_sub(prompt.0);
    Err(Refusal::Invalid(match job.max_tokens {
        Some(max_tokens) if room > 0 && !request.is_ceiling => format!(
            "the prompt has {prompt} tokens and `max_tokens` is {max_tokens}: together {together}, but the context \
             holds {ctx}; ask for at most {room}"
        ),
        _ => prompt_too_long(prompt, ctx),
    }))
}

/// Cuts a ceiling to what the context holds behind the prompt. A prompt without room was refused before.
pub fn cut_to_room(request: &mut TaskRequest, measured: Measured, facts: &EngineFacts) {
    if !request.is_ceiling || request.workload() != generation::Workload::Completion {
        return;
    }
    let ctx = request.job.ctx.unwrap_or(facts.ctx);
    let room = TokenCount(ctx.0.saturating_sub(measured.longest.0).max(1));
    if request.job.max_tokens.is_some_and(|most| most > room) {
        Arc::make_mut(&mut request.job).max_tokens = Some(room);
    }
}

#[cfg(test)]
mod tests;
