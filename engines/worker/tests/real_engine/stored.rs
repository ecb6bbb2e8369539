//! Conversations that are out of the slots: kept in main memory, found there by their next turn, bounded, and no load on
//! the streams that run.

use generation::{GenerateRequest, KvHint, LogitBias};
use orchestrator_core::SessionId;
use worker_protocol::ToWorker;

use crate::harness::{Answer, Worker, job, long_text, prompt, session_id};

/// Far more than the tests keep.
const ENOUGH: u64 = 1 << 30;

/// A conversation of its own words: its first turn, and how it goes on.
fn talk(salt: usize, turns: usize) -> String {
    (0..turns).fold(long_text(120, salt), |text, turn| {
        format!("{text} Part {turn}: {}", long_text(20, 100 * turn + salt))
    })
}

fn turn(text: &str, session: Option<SessionId>) -> GenerateRequest {
    GenerateRequest { session, logprobs: Some(0), ..job(prompt(text), 6) }
}

/// How probable its token was at a place. Where two are equally probable, which of them it is may depend on the shape of
/// the calls; how probable it is hardly does.
fn logprob(answer: &Answer, at: usize) -> f32 {
    answer.pieces.iter().flat_map(|piece| &piece.logprobs).nth(at).expect("asked for").chosen.logprob
}

/// Far less than another context makes.
const ALIKE: f32 = 0.25;

/// ORCH-KV-1, ORCH-SESS-3
#[test]
fn conversations_take_turns_in_two_slots_and_none_is_read_twice_nor_read_otherwise() {
    let mut worker = Worker::start_with_store(2, 1024, ENOUGH);
    let mut cold = Worker::start_with_store(1, 1024, 0);
    let sessions: Vec<Option<SessionId>> = (0..5).map(|salt| (salt % 2 == 0).then(session_id)).collect();
    for round in 0..3 {
        for (salt, session) in sessions.iter().enumerate() {
            let text = talk(salt, round);
            let before = if round == 0 { 0 } else { worker_tokens(&mut cold, &talk(salt, round - 1)) };
            let answer = worker.answer(turn(&text, *session));
            let found = answer.report().tokens_cached.0;
            assert!(found + 3 >= before, "{salt} in round {round}: {found} of {before}");
            let mut alone = turn(&text, None);
            alone.kv = KvHint::None;
            let (warm, cold) = (logprob(&answer, 0), logprob(&cold.answer(alone), 0));
            assert!((warm - cold).abs() < ALIKE, "{salt} in round {round}: {warm} instead of {cold}");
        }
    }
    for session in sessions.into_iter().flatten() {
        assert!(worker.sessions[&session].is_some(), "it is told as warm");
        worker.send(&ToWorker::EvictSession(session));
        worker.until(|worker| worker.sessions[&session].is_none());
    }
    let again = worker.answer(turn(&talk(0, 2), None));
    assert!(again.report().tokens_cached.0 < 10, "evicted means gone: {:?}", again.report());
}

/// The tokens of a prompt.
fn worker_tokens(worker: &mut Worker, text: &str) -> u32 {
    let mut job = job(prompt(text), 0);
    job.kv = KvHint::None;
    worker.answer(job).report().tokens_in.0
}

/// ORCH-KV-3
#[test]
fn the_store_keeps_within_its_bytes_and_tells_of_what_it_gives_up() {
    let of_one = {
        let mut worker = Worker::start_with_store(1, 1024, ENOUGH);
        let session = session_id();
        worker.answer(turn(&talk(0, 0), Some(session)));
        worker.sessions[&session].expect("warm").bytes
    };
    let mut worker = Worker::start_with_store(1, 1024, of_one * 5 / 2);
    let sessions: Vec<SessionId> = (0..4).map(|_| session_id()).collect();
    for (salt, session) in sessions.iter().enumerate() {
        worker.answer(turn(&talk(salt, 0), Some(*session)));
    }
    // One is in the slot, and two are in the store.
    assert_eq!(worker.sessions[&sessions[0]], None, "the oldest made room");
    for session in &sessions[1..] {
        assert!(worker.sessions[session].is_some());
    }
    assert!(worker.answer(turn(&talk(1, 1), Some(sessions[1]))).report().tokens_cached.0 >= 100);
    assert!(worker.answer(turn(&talk(0, 1), Some(sessions[0]))).report().tokens_cached.0 < 10);
}

/// ORCH-KV-2
#[test]
fn idle_conversations_leave_the_slots_beside_a_stream_which_goes_on_where_it_was() {
    const BEGINNING: &str = "Once upon a time there was";
    let stream = |text: &str, tokens| {
        let mut stream = job(prompt(text), tokens);
        stream.logprobs = Some(0);
        // The tokens that end an answer.
        stream.sampling.logit_bias =
            (0..3).map(|token| LogitBias { token, bias: f32::NEG_INFINITY }).collect();
        stream
    };
    let (reader, log) = std::io::pipe().expect("a pipe");
    let lines = std::thread::spawn(move || std::io::read_to_string(reader).expect("text"));
    let mut worker = Worker::start_with_log(4, 1024, std::fs::File::from(std::os::fd::OwnedFd::from(log)));
    let sessions: Vec<SessionId> = (0..3).map(|_| session_id()).collect();
    for (salt, session) in sessions.iter().enumerate() {
        worker.answer(turn(&talk(salt, 8), Some(*session)));
    }
    let beside = worker.answer(stream(BEGINNING, 120));
    for (salt, session) in sessions.iter().enumerate() {
        assert!(worker.sessions[session].is_some());
        let next = worker.answer(turn(&talk(salt, 9), Some(*session)));
        assert!(next.report().tokens_cached.0 >= 250, "{:?}", next.report());
    }
    drop(worker);
    let lines = lines.join().expect("read to its end");
    assert!(lines.contains("a conversation rests in main memory"), "{lines}");
    assert!(lines.contains("conversations moved together"), "{lines}");
    let mut cold = Worker::start_with_store(1, 1024, 0);
    let differences: Vec<f32> = (20..120)
        .step_by(10)
        .map(|at| {
            let so_far: String = beside.pieces[..at].iter().map(|piece| piece.text.as_str()).collect();
            let read = cold.answer(stream(&format!("{BEGINNING}{so_far}"), 1));
            (logprob(&beside, at) - logprob(&read, 0)).abs()
        })
        .collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    assert!(mean < ALIKE, "{differences:?}");
}
