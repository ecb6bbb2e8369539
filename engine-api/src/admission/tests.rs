use generation::Input;
use orchestrator_core::{Millis, TaskId};

use super::*;
use crate::{Abilities, EngineKind, ModelFacts};

fn facts(ctx: u32, strict: bool) -> EngineFacts {
    EngineFacts {
        kind: EngineKind::Llamacpp,
        version: "1".into(),
        build: "portable".into(),
        slots: 2,
        ctx: TokenCount(ctx),
        kv_cells: None,
        kv_bytes_per_token: 1,
        kv_ram_bytes: 0,
        workloads: vec![Workload::Completion],
        strict,
        abilities: Abilities::default(),
        model: ModelFacts {
            name: "tiny".into(),
            architecture: "llama".into(),
            parameters: 1,
            size_bytes: 1,
            ctx_train: TokenCount(8192),
            chat_template: true,
            embedding_size: 1,
            identity: 0,
        },
        load_ms: Millis(1),
        memory: None,
    }
}

fn request(ctx: Option<u32>, max_tokens: Option<u32>) -> GenerateRequest {
    GenerateRequest {
        ctx: ctx.map(TokenCount),
        max_tokens: max_tokens.map(TokenCount),
        determinism: Determinism::Strict,
        ..GenerateRequest::new(TaskId(uuid::Uuid::nil()), Input::Prompt("x".into()))
    }
}

fn fit(ctx: Option<u32>, max_tokens: Option<u32>, prompt: u32) -> Result<(), String> {
    let measured = Measured { tokens: TokenCount(prompt), longest: TokenCount(prompt) };
    let (request, facts) = (request(ctx, max_tokens), facts(100, true));
    check_offer(&request, &facts).and_then(|()| check_fit(&request, measured, &facts))
}

/// ORCH-TASK-6
#[test]
fn a_task_that_fits_to_the_last_token_is_let_in_and_one_more_is_refused_with_the_numbers() {
    assert_eq!(fit(None, Some(40), 60), Ok(()));
    assert_eq!(
        fit(None, Some(41), 60).unwrap_err(),
        "the prompt has 60 tokens and `max_tokens` is 41: together 101, but the context holds 100; ask for at most 40"
    );
    assert_eq!(fit(None, None, 99), Ok(()));
    assert_eq!(
        fit(None, None, 100).unwrap_err(),
        "prompt is too long: 100 tokens > 99 maximum; this model's maximum context length is 100 tokens, one of them for \
         the answer: shorten the messages by at least 1 tokens"
    );
}

/// ORCH-OAI-24
#[test]
fn a_ceiling_is_cut_to_the_room_behind_the_prompt_and_only_a_prompt_without_room_is_refused() {
    let facts = facts(100, true);
    for (most, ctx, prompt, cut) in [
        (Some(32_000), None, 60, Ok(Some(40))),
        (Some(40), None, 60, Ok(Some(40))),
        (Some(7), None, 60, Ok(Some(7))),
        (None, None, 60, Ok(None)),
        (Some(32_000), Some(80), 60, Ok(Some(20))),
        (Some(32_000), None, 99, Ok(Some(1))),
        (Some(32_000), None, 100, Err("prompt is too long: 100 tokens > 99 maximum")),
    ] {
        let mut request = GenerateRequest { max_tokens_mode: MaxTokensMode::Ceiling, ..request(ctx, most) };
        let measured = Measured { tokens: TokenCount(prompt), longest: TokenCount(prompt) };
        match (check_fit(&request, measured, &facts), cut) {
            (Ok(()), Ok(cut)) => {
                cut_to_room(&mut request, measured, &facts);
                assert_eq!(request.max_tokens_mode, MaxTokensMode::Exact, "what fits is no ceiling any more");
                assert_eq!(request.max_tokens, cut.map(TokenCount), "{most:?} behind {prompt}");
            }
            (Err(refusal), Err(words)) => assert!(refusal.starts_with(words), "{refusal}"),
            (other, _) => panic!("{most:?} behind {prompt}: {other:?}"),
        }
    }
}

/// ORCH-TASK-6
#[test]
fn ctx_narrows_the_context_and_cannot_widen_it() {
    assert_eq!(fit(Some(50), Some(10), 40), Ok(()));
    assert!(fit(Some(50), Some(11), 40).unwrap_err().contains("the context holds 50"));
    assert!(
        fit(Some(101), None, 1).unwrap_err().starts_with("`ctx` is 101, but a slot of this pool holds 100")
    );
}

/// ORCH-TASK-8, ORCH-DET-2
#[test]
fn what_the_engine_cannot_promise_or_offer_is_refused_by_name() {
    let refusal = check_offer(&request(None, None), &facts(100, false)).unwrap_err();
    assert!(refusal.starts_with("`determinism` is `strict`"), "{refusal}");
    let mut embedding = request(None, None);
    embedding.workload = Workload::Embedding;
    let refusal = check_offer(&embedding, &facts(100, true)).unwrap_err();
    assert!(refusal.starts_with("`workload` is `embedding`"), "{refusal}");
}
