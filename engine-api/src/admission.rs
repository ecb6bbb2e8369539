//! Whether a job is one for an engine, and whether its measured prompt fits there. Pure: facts and numbers in, an answer with
//! the numbers out. The daemon asks before it admits a task, and the engine when it gets one that nobody could measure
//! before, so that a request is answered alike whether its model was loaded or not.
//!
//! Rules: ORCH-OAI-24, ORCH-TASK-6, ORCH-TASK-8, ORCH-ENG-9, ORCH-DET-2

use generation::{Determinism, GenerateRequest, MaxTokensMode, Workload, prompt_too_long};
use orchestrator_core::TokenCount;

use crate::redact::without_folders;
use crate::{EngineFacts, Measured};

/// Checks a job against what the engine is, before the engine hears of it.
///
/// # Errors
/// The field, its value and what would be right.
pub fn check_offer(job: &GenerateRequest, facts: &EngineFacts) -> Result<(), String> {
    if !facts.workloads.contains(&job.workload) {
        let can = facts.workloads.iter().map(|workload| workload.as_str()).collect::<Vec<_>>().join("`, `");
        return Err(format!(
            "`workload` is `{}`, which model `{}` does not offer: it offers `{can}`",
            job.workload.as_str(),
            without_folders(&facts.model.name),
        ));
    }
    if job.determinism == Determinism::Strict && !facts.strict {
        return Err(format!(
            "`determinism` is `strict`, which engine `{}` cannot promise: use `best_effort`",
            facts.kind.as_str(),
        ));
    }
    facts.abilities.check(job, facts.kind)?;
    let slot = facts.ctx;
    if let Some(asked) = job.ctx.filter(|asked| *asked > slot) {
        return Err(format!(
            "`ctx` is {asked}, but a slot of this pool holds {slot} tokens: ask for at most {slot}, or raise the \
             pool's `ctx` (the model was trained with {})",
            facts.model.ctx_train,
        ));
    }
    Ok(())
}

/// Checks the size of a job against the engine that measured it.
///
/// # Errors
/// The field, the numbers and what would be right.
pub fn check_fit(job: &GenerateRequest, measured: Measured, facts: &EngineFacts) -> Result<(), String> {
    let ctx = job.ctx.unwrap_or(facts.ctx);
    let prompt = measured.longest;
    if job.workload != Workload::Completion {
        return if prompt > ctx {
            Err(format!(
                "the longest of `inputs` has {prompt} tokens, more than the {ctx} that a slot holds: shorten it"
            ))
        } else {
            Ok(())
        };
    }
    let answer =
        job.max_tokens.filter(|_| job.max_tokens_mode == MaxTokensMode::Exact).unwrap_or(TokenCount(1));
    let together = u64::from(prompt.0) + u64::from(answer.0);
    if together <= u64::from(ctx.0) {
        return Ok(());
    }
    let room = ctx.0.saturating_sub(prompt.0);
    Err(match job.max_tokens {
        Some(max_tokens) if room > 0 && job.max_tokens_mode == MaxTokensMode::Exact => format!(
            "the prompt has {prompt} tokens and `max_tokens` is {max_tokens}: together {together}, but the context \
             holds {ctx}; ask for at most {room}"
        ),
        _ => prompt_too_long(prompt, ctx),
    })
}

/// Cuts a ceiling to what the context holds behind the prompt, after which it is one no more. A prompt without room was
/// refused before.
pub fn cut_to_room(job: &mut GenerateRequest, measured: Measured, facts: &EngineFacts) {
    if std::mem::take(&mut job.max_tokens_mode) == MaxTokensMode::Exact
        || job.workload != Workload::Completion
    {
        return;
    }
    let ctx = job.ctx.unwrap_or(facts.ctx);
    let room = TokenCount(ctx.0.saturating_sub(measured.longest.0).max(1));
    job.max_tokens = job.max_tokens.map(|most| most.min(room));
}

#[cfg(test)]
mod tests;
