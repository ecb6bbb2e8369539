//! What tells a repeated request from another one under the same id: a hash of the resolved task without
//! its id, so that the order of fields, white space and defaults that are written out make no difference.
//!
//! Rules: ORCH-TASK-2

use std::io;

use engine_api::EngineKind;
use generation::{Determinism, Input, KvHint, ReasoningOptions, Sampling, Workload};
use orchestrator_core::{Priority, SessionId, TokenCount};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::first_bytes;
use crate::handle::TaskRequest;

#[derive(Serialize)]
struct Canonical<'r> {
    session: Option<SessionId>,
    priority: Priority,
    workload: Workload,
    input: &'r Input,
    ctx: Option<TokenCount>,
    max_tokens: Option<TokenCount>,
    sampling: &'r Sampling,
    seed: u64,
    determinism: Determinism,
    kv: KvHint,
    reasoning: &'r ReasoningOptions,
    continue_final_message: bool,
    model_ref: Option<&'r str>,
    engine: Option<EngineKind>,
    expected_tokens: Option<TokenCount>,
}

/// The first eight bytes of the SHA-256 of the task's JSON, the same on every machine.
pub(super) fn of(request: &TaskRequest) -> u64 {
    let job = &request.job;
    let canonical = Canonical {
        session: job.session,
        priority: job.priority,
        workload: job.workload,
        input: &job.input,
        ctx: job.ctx,
        max_tokens: job.max_tokens,
        sampling: &job.sampling,
        seed: job.seed,
        determinism: job.determinism,
        kv: job.kv,
        reasoning: &job.reasoning,
        continue_final_message: job.continue_final_message,
        model_ref: request.model_ref.as_deref(),
        engine: request.engine,
        expected_tokens: request.expected_tokens,
    };
    let mut hash = Hash(Sha256::new());
    serde_json::to_writer(&mut hash, &canonical).expect("a hash takes everything, and tasks are plain data");
    first_bytes(hash.0.finalize().into())
}

struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
