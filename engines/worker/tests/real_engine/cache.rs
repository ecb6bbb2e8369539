//! The KV cache: what is computed once is not computed again, and what is said of it is so.

use generation::{Input, KvHint, Message, Role};
use worker_protocol::ToWorker;

use crate::harness::{Worker, job, long_text, prompt, session_id, task_id};

fn turn(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

/// ORCH-SESS-3
#[test]
fn a_session_computes_only_what_is_new_and_says_the_same() {
    let mut worker = Worker::start(2, 1024);
    let session = session_id();
    let mut talk = vec![turn(Role::System, &long_text(150, 1)), turn(Role::User, "Name a colour.")];
    let mut first = job(Input::Messages(talk.clone()), 12);
    first.session = Some(session);
    let first = worker.answer(first);
    talk.push(turn(Role::Assistant, &first.text));
    talk.push(turn(Role::User, "Name another one."));

    let mut second = job(Input::Messages(talk.clone()), 6);
    second.session = Some(session);
    let warm = worker.answer(second);
    let read = first.report().tokens_in.0;
    assert!(warm.report().tokens_cached.0 >= read, "{} of {read}", warm.report().tokens_cached);
    assert!(warm.report().tokens_cached < warm.report().tokens_in);

    let cold = Worker::start(2, 1024).answer(job(Input::Messages(talk), 6));
    assert_eq!(cold.report().tokens_cached.0, 0);
    assert_eq!(cold.report().tokens_in, warm.report().tokens_in);
    assert_eq!(cold.text, warm.text, "the cache changes no greedy answer");
}

#[test]
fn a_shared_system_prompt_is_computed_once_for_all_slots() {
    let mut worker = Worker::start(4, 1024);
    let system = long_text(200, 2);
    let ask = |question: &str| {
        job(Input::Messages(vec![turn(Role::System, &system), turn(Role::User, question)]), 6)
    };
    let questions = ["What is two plus two?", "Name a river.", "Who wrote Hamlet?"];
    let session_of = |worker: &mut Worker, question: &str| {
        let mut job = ask(question);
        job.session = Some(session_id());
        worker.answer(job)
    };
    let first = session_of(&mut worker, questions[0]);
    assert_eq!(first.report().tokens_cached.0, 0);
    for question in &questions[1..] {
        let shared = session_of(&mut worker, question);
        assert!(shared.report().tokens_cached.0 >= 190, "{question}: {}", shared.report().tokens_cached);
        let cold = Worker::start(1, 1024).answer(ask(question));
        assert_eq!(cold.text, shared.text, "{question}");
    }
    let again = session_of(&mut worker, questions[0]);
    assert_eq!(again.text, first.text, "the first slot was not disturbed by the copies");
    assert_eq!(again.report().tokens_cached.0, again.report().tokens_in.0 - 1);
}

/// ORCH-OAI-7
#[test]
fn a_title_for_a_conversation_does_not_cost_it_its_cache() {
    let mut worker = Worker::start(2, 1024);
    let session = session_id();
    let of_session = |input: Input| {
        let mut job = job(input, 6);
        job.session = Some(session);
        job
    };
    let mut talk = vec![turn(Role::System, &long_text(150, 1)), turn(Role::User, "Name a colour.")];
    let first = worker.answer(of_session(Input::Messages(talk.clone())));
    let held = worker.sessions[&session].expect("it is there").tokens;
    let title = worker.answer(of_session(prompt(&long_text(60, 9))));
    assert!(title.report().tokens_cached.0 < 10, "it has next to nothing in common with the conversation");
    assert_eq!(worker.sessions[&session].expect("it is still there").tokens, held);
    talk.push(turn(Role::Assistant, &first.text));
    talk.push(turn(Role::User, "Name another one."));
    let second = worker.answer(of_session(Input::Messages(talk)));
    assert!(second.report().tokens_cached >= first.report().tokens_in, "{:?}", second.report());
}

#[test]
fn what_is_said_of_a_session_is_what_is_in_the_cache() {
    let mut worker = Worker::start(2, 512);
    let bytes = worker.facts.as_ref().expect("loaded").kv_bytes_per_token;
    let session = session_id();
    let mut one = job(prompt(&long_text(60, 3)), 8);
    one.session = Some(session);
    let one = worker.answer(one);
    let kv = worker.sessions[&session].expect("it is there");
    // The token chosen last was not decoded, so it is not in the cache.
    assert_eq!(kv.tokens.0, one.report().tokens_in.0 + one.report().tokens_out.0 - 1);
    assert_eq!(kv.tokens_at_end, kv.tokens);
    assert_eq!(kv.bytes, u64::from(kv.tokens.0) * bytes);

    worker.send(&ToWorker::EvictSession(session));
    worker.until(|worker| worker.sessions[&session].is_none());
    let mut again = job(prompt(&long_text(60, 3)), 8);
    again.session = Some(session);
    let again = worker.answer(again);
    assert_eq!(again.report().tokens_cached.0, 0, "evicted means gone");
    assert_eq!(again.tokens, one.tokens);
}

#[test]
fn a_session_that_must_make_room_is_told_of() {
    let mut worker = Worker::start_with_store(1, 512, 0);
    let session = session_id();
    let mut first = job(prompt(&long_text(40, 4)), 4);
    first.session = Some(session);
    worker.answer(first);
    assert!(worker.sessions[&session].is_some());
    worker.answer(job(prompt(&long_text(40, 5)), 4));
    assert_eq!(worker.sessions[&session], None);
}

#[test]
fn evicting_a_session_that_is_not_there_is_no_error() {
    let mut worker = Worker::start(1, 256);
    worker.send(&ToWorker::EvictSession(session_id()));
    worker.send(&ToWorker::Cancel(task_id()));
    assert_eq!(worker.answer(job(prompt("Hello"), 3)).tokens.len(), 3);
}

/// ORCH-SESS-5
#[test]
fn a_task_without_the_cache_finds_nothing_leaves_nothing_and_lends_nothing() {
    let mut worker = Worker::start(2, 1024);
    let text = long_text(120, 6);
    let plain = |tokens| job(prompt(&text), tokens);
    let alone = || {
        let mut job = plain(8);
        job.kv = KvHint::None;
        job
    };
    let session = session_id();
    let mut first = plain(8);
    first.session = Some(session);
    let first = worker.answer(first);
    let kv = worker.sessions[&session];

    let mut anew = alone();
    anew.session = Some(session);
    let anew = worker.answer(anew);
    assert_eq!(anew.report().tokens_cached.0, 0, "what the session left is not used");
    assert_eq!(anew.tokens, first.tokens);
    assert_eq!(worker.sessions[&session], kv, "what the session left is still there");

    let mut empty = Worker::start(2, 1024);
    empty.answer(alone());
    assert_eq!(empty.answer(plain(8)).report().tokens_cached.0, 0, "nothing was left behind");

    let mut busy = Worker::start(2, 1024);
    let mut long = alone();
    long.max_tokens = Some(orchestrator_core::TokenCount(400));
    let long = busy.submit(long);
    busy.until(|worker| worker.answers[&long].pieces.len() >= 2);
    let beside = busy.answer(plain(2));
    assert!(busy.answers[&long].end.is_none(), "they ran beside each other");
    assert_eq!(beside.report().tokens_cached.0, 0, "a running task's cache is not copied");
}
