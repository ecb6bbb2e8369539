//! The KV cache that all slots share: a long task has most of it, short ones run beside each other, and none ends for
//! want of room.

use generation::{Finish, GenerateRequest, LogitBias};
use orchestrator_core::TokenCount;

use crate::harness::{Worker, job, long_text, model, prompt, session_id, spec};

/// A worker with one cache for all slots, which holds one request of the longest kind, and with no other place for what
/// makes room.
fn shared(slots: u16, cells: u32) -> Worker {
    let mut worker = Worker::spawn();
    let mut spec = spec(&model(), slots, cells);
    spec.kv_cells = Some(TokenCount(cells));
    spec.options.kv_ram_bytes = Some(0);
    worker.load(spec).expect("it loads");
    let facts = worker.facts.as_ref().expect("loaded");
    assert_eq!((facts.ctx.0, facts.kv_cells), (cells, Some(TokenCount(cells))));
    worker
}

/// A task that writes as many tokens as it may.
fn to_the_end(tokens: usize, salt: usize, answer: u32) -> GenerateRequest {
    let mut job = job(prompt(&long_text(tokens, salt)), answer);
    // The tokens that end an answer.
    job.sampling.logit_bias = (0..3).map(|token| LogitBias { token, bias: f32::NEG_INFINITY }).collect();
    job
}

/// ORCH-WORKER-7
#[test]
fn tasks_that_outgrow_the_shared_cache_together_all_come_to_their_end() {
    let mut worker = shared(4, 256);
    let tasks: Vec<_> = (0..4).map(|salt| worker.submit(to_the_end(30, salt, 100))).collect();
    worker.wait(&tasks);
    for task in &tasks {
        let answer = &worker.answers[task];
        assert_eq!((answer.finish(), answer.tokens.len()), (&Finish::Length, 100));
    }
}

/// ORCH-WORKER-7
#[test]
fn a_long_task_has_most_of_the_cache_and_others_wait_for_it() {
    let mut worker = shared(4, 512);
    let long = worker.submit(to_the_end(380, 1, 40));
    let short: Vec<_> = (2..5).map(|salt| worker.submit(to_the_end(40, salt, 10))).collect();
    let all: Vec<_> = [long].into_iter().chain(short).collect();
    worker.wait(&all);
    for task in &all {
        assert_eq!(worker.answers[task].finish(), &Finish::Length);
    }
}

/// ORCH-WORKER-7
#[test]
fn conversations_that_nobody_continues_make_room() {
    let mut worker = shared(4, 512);
    let mut talks = Vec::new();
    for salt in 0..4 {
        let mut turn = to_the_end(150, salt, 4);
        turn.session = Some(session_id());
        talks.push(turn.session);
        let answer = worker.answer(turn);
        assert_eq!(answer.finish(), &Finish::Length);
        assert!(answer.report().tokens_cached.0 < 10, "others begin with other words");
    }
    let mut again = to_the_end(150, 3, 4);
    again.session = talks[3];
    assert!(worker.answer(again).report().tokens_cached.0 >= 140, "the youngest is still there");
    let mut again = to_the_end(150, 0, 4);
    again.session = talks[0];
    assert!(worker.answer(again).report().tokens_cached.0 < 10, "the oldest made room");
}
