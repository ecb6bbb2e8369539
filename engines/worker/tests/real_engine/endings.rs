//! Ends: limits, stop strings, cancel, and the end of the process.

use std::time::Duration;

use generation::{
    Constraint, Determinism, EngineError, Finish, GenerateRequest, Input, KvHint, LogitBias, LoopLimit,
    MaxTokensMode,
};
use orchestrator_core::{Priority, TaskId, TokenCount};
use worker_protocol::{TaskProgress, ToWorker};

use crate::harness::{Worker, job, long_text, model, prompt, spec, task_id, user};

#[test]
fn max_tokens_and_a_full_context_end_with_length() {
    let mut worker = Worker::start(2, 256);
    let short = worker.answer(job(prompt("Once upon a time"), 7));
    assert_eq!((short.finish(), short.report().tokens_out.0, short.tokens.len()), (&Finish::Length, 7, 7));

    let none = worker.answer(job(prompt("Once upon a time"), 0));
    assert_eq!((none.finish(), none.tokens.len()), (&Finish::Length, 0));

    let mut narrow = job(prompt("Once upon a time"), 100);
    narrow.ctx = Some(TokenCount(20));
    let refused = worker.answer(narrow.clone());
    assert!(
        matches!(refused.finish(), Finish::Failed(EngineError::Invalid(why)) if why.contains("`max_tokens` is 100"))
    );
    narrow.max_tokens_mode = MaxTokensMode::Ceiling;
    let narrow = worker.answer(GenerateRequest { task: task_id(), ..narrow });
    assert_eq!(narrow.finish(), &Finish::Length);
    assert_eq!(narrow.report().tokens_in.0 + narrow.report().tokens_out.0, 20);

    let mut endless = job(prompt(&long_text(200, 1)), 0);
    endless.max_tokens = None;
    endless.sampling.logit_bias =
        (0..3).map(|token| generation::LogitBias { token, bias: f32::NEG_INFINITY }).collect();
    let full = worker.answer(endless);
    assert_eq!(full.finish(), &Finish::Length);
    assert_eq!(full.report().tokens_in.0 + full.report().tokens_out.0, 256);
}

/// ORCH-WORKER-8
#[test]
fn an_answer_that_repeats_itself_ends_at_its_limit_and_else_goes_on() {
    let mut worker = Worker::start(1, 1024);
    let first = worker.answer(job(prompt("The capital of France is"), 1)).tokens[0];
    // One token is the most probable for ever.
    let looping = |limit, most| {
        let mut looping = job(prompt("The capital of France is"), most);
        looping.sampling.logit_bias = vec![LogitBias { token: first, bias: 1e6 }];
        GenerateRequest { loop_limit: limit, ..looping }
    };
    let told = |answer: &crate::harness::Answer| (answer.finish().clone(), answer.report().tokens_out.0);
    let hundred = LoopLimit::Tokens(TokenCount(100));
    let ended = worker.answer(looping(hundred, 600));
    assert_eq!((told(&ended), ended.tokens.len()), ((Finish::Length, 100), 100), "no token is lost");
    // The starter model is a small one.
    assert_eq!(told(&worker.answer(looping(LoopLimit::ByModel, 600))), (Finish::Length, 512));
    assert_eq!(told(&worker.answer(looping(LoopLimit::Off, 600))), (Finish::Length, 600));
    let strict = GenerateRequest { determinism: Determinism::Strict, ..looping(hundred, 600) };
    assert_eq!(told(&worker.answer(strict)), (Finish::Length, 100));

    let mut held = job(Input::Prompt("Ones: [".to_owned()), 600);
    held.sampling.constraint = Some(Constraint::Grammar("root ::= \"1, \"*".to_owned()));
    held.sampling.logit_bias = (0..3).map(|token| LogitBias { token, bias: f32::NEG_INFINITY }).collect();
    let held = worker.answer(GenerateRequest { loop_limit: hundred, ..held });
    assert_eq!(told(&held), (Finish::Length, 100), "{}", held.text);
    assert!(held.text.starts_with("1, 1, 1, "), "{}", held.text);
}

#[test]
fn stop_strings_are_found_across_tokens_and_never_leak() {
    let mut worker = Worker::start(1, 512);
    let counting = "Count: one, two, three, four, five, six,";
    let whole = worker.answer(job(prompt(counting), 30)).text;
    let (at, _) = whole.char_indices().nth(14).expect("long enough");
    // From the middle of one word to the middle of the next: no token has this text.
    let stop = &whole[at..at + 6];
    let mut stopped = job(prompt(counting), 30);
    stopped.sampling.stop = vec!["never said".into(), stop.to_owned()];
    let stopped = worker.answer(stopped);
    assert_eq!(stopped.finish(), &Finish::Stop);
    assert_eq!(stopped.text, whole[..whole.find(stop).expect("it is there")]);
    assert!(stopped.pieces.iter().all(|piece| !piece.text.is_empty()));
}

/// ORCH-CANCEL-1
#[test]
fn cancel_ends_a_task_while_it_writes_waits_and_reads() {
    let mut worker = Worker::start(1, 2048);
    let writes = worker.submit(job(prompt("Once upon a time"), 1500));
    let waits = worker.submit(job(prompt("Hello"), 5));
    worker.until(|worker| worker.answers[&writes].pieces.len() >= 3);
    worker.send(&ToWorker::Cancel(waits));
    worker.wait(&[waits]);
    assert_eq!(worker.answers[&waits].finish(), &Finish::Canceled);
    assert!(worker.answers[&waits].pieces.is_empty());

    worker.send(&ToWorker::Cancel(writes));
    worker.wait(&[writes]);
    assert_eq!(worker.answers[&writes].finish(), &Finish::Canceled);
    assert!(worker.answers[&writes].report().tokens_out.0 < 1000, "long before its own end");

    // Reading 1,800 tokens takes many steps; the cancel arrives after the first of them.
    let reads = worker.submit(job(prompt(&long_text(1800, 7)), 5));
    worker.send(&ToWorker::Cancel(reads));
    worker.wait(&[reads]);
    assert_eq!(worker.answers[&reads].finish(), &Finish::Canceled);
    assert!(worker.answers[&reads].pieces.is_empty());

    worker.send(&ToWorker::Cancel(reads));
    let after = worker.answer(job(user("Say hello."), 6));
    assert!(!after.tokens.is_empty(), "a repeated cancel hurts nobody");
}

#[test]
fn stop_cancels_what_runs_and_the_process_ends_in_order() {
    let mut worker = Worker::start(1, 1024);
    let tasks = [
        worker.submit(job(prompt("Once upon a time"), 900)),
        worker.submit(job(prompt(&long_text(600, 3)), 5)),
        worker.submit(job(prompt("Hello"), 5)),
    ];
    worker.until(|worker| worker.answers[&tasks[0]].pieces.len() >= 2);
    worker.send(&ToWorker::Stop);
    worker.wait(&tasks);
    for task in tasks {
        assert_eq!(worker.answers[&task].finish(), &Finish::Canceled);
    }
    assert_eq!(worker.ended().code(), Some(0));
}

/// ORCH-SHAPE-2
#[test]
fn the_process_ends_at_once_when_the_daemon_goes_in_every_phase() {
    let within = Duration::from_secs(1);
    // Before it was told anything.
    let (status, took) = Worker::spawn().hang_up();
    assert!(status.success() && took < within, "idle: {status} after {took:?}");

    // While it loads: the file is read when the first progress comes.
    let mut loading = Worker::spawn();
    loading
        .send(&ToWorker::Load { protocol: worker_protocol::PROTOCOL_VERSION, spec: spec(&model(), 4, 8192) });
    loading.first_progress();
    let (status, took) = loading.hang_up();
    assert!(status.success() && took < within, "loading: {status} after {took:?}");

    // While it reads a prompt, with more frames waiting to be read.
    let mut reading = Worker::start(1, 4096);
    for salt in 0..50 {
        reading.submit(job(prompt(&long_text(3000, salt)), 5));
    }
    let (status, took) = reading.hang_up();
    assert!(status.success() && took < within, "reading: {status} after {took:?}");

    // While it writes.
    let mut writing = Worker::start(1, 1024);
    let task = writing.submit(job(prompt("Once upon a time"), 900));
    writing.until(|worker| worker.answers[&task].pieces.len() >= 2);
    let (status, took) = writing.hang_up();
    assert!(status.success() && took < within, "writing: {status} after {took:?}");
}

#[test]
fn a_worker_without_a_channel_says_so() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_worker-llamacpp"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(i32::from(worker_llamacpp::exit::NO_CHANNEL)));
    let log = String::from_utf8(output.stderr).expect("UTF-8");
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("one line of JSON");
    assert_eq!(line["level"], "error");
    assert_eq!(line["message"], "no channel to a daemon");
}

/// Lines of the worker's log with this message.
fn count(log: &std::path::Path, message: &str) -> usize {
    let text = std::fs::read_to_string(log).expect("readable");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["message"] == message).count()
}

/// The first batch of a prompt of two is read, and the second one is under way.
fn until_the_second_batch(worker: &mut Worker, task: TaskId) {
    worker.until(|worker| {
        worker.progress.get(&task).is_some_and(|told| told.iter().any(|told| told.total() > 520))
    });
}

/// What an interrupted call left in the KV cache is gone, so that the answers of those who shared it are the same.
/// ORCH-WORKER-1, ORCH-WORKER-2
#[test]
fn a_cancel_and_an_interactive_prompt_interrupt_the_reading_of_a_full_batch() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut worker = Worker::start_with_log(4, 2048, log.reopen().expect("writable"));
    let ask = |salt| {
        let mut batch = job(prompt(&long_text(850, salt)), 2);
        (batch.priority, batch.kv) = (Priority::Batch, KvHint::None);
        batch
    };
    let alone = worker.submit(ask(5));
    worker.wait(&[alone]);
    let told: Vec<u64> = worker.progress[&alone].iter().map(TaskProgress::total).collect();
    assert!(
        told.is_sorted() && told.iter().any(|told| *told > 0 && *told < 508),
        "within the first call: {told:?}"
    );
    let batch = worker.submit(ask(5));
    until_the_second_batch(&mut worker, batch);
    let urgent = worker.submit(job(prompt("Once upon a time"), 1));
    worker.wait(&[urgent]);
    assert!(worker.answers[&batch].end.is_none());
    assert_eq!(count(log.path(), "a call was interrupted"), 1);
    worker.wait(&[batch]);
    assert_eq!(worker.answers[&batch].tokens, worker.answers[&alone].tokens);

    let canceled = worker.submit(ask(6));
    until_the_second_batch(&mut worker, canceled);
    worker.send(&ToWorker::Cancel(canceled));
    worker.wait(&[canceled]);
    assert_eq!(worker.answers[&canceled].finish(), &Finish::Canceled);
    assert_eq!(count(log.path(), "a call was interrupted"), 2);
}

/// ORCH-WORKER-3
#[test]
fn a_ping_is_answered_while_idle_and_in_the_middle_of_a_call() {
    let mut worker = Worker::start(1, 2048);
    worker.send(&ToWorker::Ping(1));
    worker.until(|worker| worker.pong.is_some());
    let pong = worker.pong.take().expect("just seen");
    assert_eq!((pong.ping, pong.silent_ms), (1, 0), "it waits for work");
    let task = worker.submit(job(prompt(&long_text(850, 5)), 2));
    until_the_second_batch(&mut worker, task);
    worker.send(&ToWorker::Ping(2));
    worker.until(|worker| worker.pong.is_some());
    assert!(worker.answers[&task].end.is_none(), "before the call ended");
    let pong = worker.pong.take().expect("just seen");
    assert!(pong.ping == 2 && pong.silent_ms < pong.limit_ms && pong.limit_ms < 60_000, "{pong:?}");
}
