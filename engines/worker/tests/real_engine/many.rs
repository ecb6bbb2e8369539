//! Many tasks at once: all end, none changes another's promise, and a long prompt stalls nobody.

use generation::{Determinism, Finish};
use orchestrator_core::Priority;

use crate::harness::{Worker, job, long_text, prompt};

#[test]
fn more_jobs_than_slots_all_end_and_interactive_goes_first() {
    let mut worker = Worker::start(4, 512);
    let mut tasks = Vec::new();
    for number in 0..16 {
        let mut job = job(prompt(&format!("Number {number} is")), 12);
        if number < 12 {
            job.priority = Priority::Batch;
        }
        tasks.push(worker.submit(job));
    }
    worker.wait(&tasks);
    for task in &tasks {
        let answer = &worker.answers[task];
        assert!(matches!(answer.finish(), Finish::Length | Finish::Stop), "{:?}", answer.finish());
        assert_eq!(answer.tokens.len(), answer.report().tokens_out.0 as usize);
    }
    let first = |at: usize| worker.answers[&tasks[at]].times.first().copied().expect("it said something");
    let last_batch = (4..12).map(first).max().expect("some");
    for interactive in 12..16 {
        assert!(first(interactive) < last_batch, "an interactive task came after all batch tasks");
    }
}

#[test]
fn greedy_answers_do_not_depend_on_how_many_run() {
    let texts: Vec<String> =
        (0..8).map(|number| format!("The story of king number {number} begins")).collect();
    let mut worker = Worker::start(8, 256);
    let tasks: Vec<_> = texts.iter().map(|text| worker.submit(job(prompt(text), 16))).collect();
    worker.wait(&tasks);
    let alone = worker.answer(job(prompt("Water boils at"), 8)).text;
    assert_eq!(alone, Worker::start(1, 256).answer(job(prompt("Water boils at"), 8)).text);
    let different: std::collections::HashSet<_> =
        tasks.iter().map(|task| &worker.answers[task].text).collect();
    assert!(different.len() >= 4, "eight prompts do not share one answer");
}

/// ORCH-DET-1
#[test]
fn strict_gives_the_same_tokens_alone_and_among_others() {
    let text = "A recipe for a good soup starts with";
    let strict = |seed| {
        let mut job = job(prompt(text), 24);
        job.determinism = Determinism::Strict;
        job.sampling.params.temperature = Some(1.3);
        job.sampling.params.top_p = Some(0.98);
        job.seed = seed;
        job
    };
    let seeds = [1, 2, 3];
    let mut alone = Worker::start(8, 512);
    let expected: Vec<Vec<i32>> = seeds.iter().map(|seed| alone.answer(strict(*seed)).tokens).collect();
    assert_ne!(expected[0], expected[1], "the seed matters");

    let mut busy = Worker::start(8, 512);
    // A warm cache with the same prompt in it, which a strict task must not use.
    busy.answer(job(prompt(&format!("{text} onions.")), 4));
    let others: Vec<_> = (0..7)
        .map(|number| {
            let mut other = job(prompt(&format!("{text} {}", long_text(20 * number, number))), 120);
            other.sampling.params.temperature = Some(1.0);
            busy.submit(other)
        })
        .collect();
    busy.until(|worker| worker.answers[&others[0]].pieces.len() >= 2);
    let tasks: Vec<_> = seeds.iter().map(|seed| busy.submit(strict(*seed))).collect();
    busy.wait(&tasks);
    for (task, expected) in tasks.iter().zip(&expected) {
        let answer = &busy.answers[task];
        assert_eq!(&answer.tokens, expected);
        assert_eq!(answer.report().tokens_cached.0, 0);
    }
    let running = others.iter().filter(|task| busy.answers[*task].end.is_none()).count();
    assert!(running > 0 || busy.answers[&others[0]].tokens.len() > 24, "they ran beside each other");
}

/// What a step did, as the worker's log tells it.
struct Step {
    decoding: u64,
    reading: u64,
    strict: u64,
}

fn steps(log: &std::path::Path) -> Vec<Step> {
    let text = std::fs::read_to_string(log).expect("readable");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let lines = lines.filter(|line| line["message"] == "step");
    lines
        .map(|line| {
            let count = |name: &str| line["fields"][name].as_str().expect(name).parse().expect("a number");
            Step { decoding: count("decoding"), reading: count("reading"), strict: count("strict") }
        })
        .collect()
}

/// Beside a running stream a prompt is read in parts, each in a step that decodes the stream's next token:
/// what a step may cost is for the unit tests of the budget, which have a clock of their own.
#[test]
fn a_long_prompt_is_read_in_parts_and_every_part_beside_the_streams_next_token() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut worker = Worker::start_with_log(4, 2048, log.reopen().expect("writable"));
    let stream = worker.submit(endless(prompt("Once upon a time"), 1500));
    worker.until(|worker| worker.answers[&stream].times.len() >= 40);
    let before = steps(log.path()).len();
    let mut long = job(prompt(&long_text(240, 1)), 1);
    long.priority = Priority::Batch;
    let long = worker.submit(long);
    worker.until(|worker| worker.answers[&long].end.is_some() || worker.answers[&stream].end.is_some());
    let beside: Vec<Step> = steps(log.path()).split_off(before);
    let beside: Vec<Step> = beside.into_iter().filter(|step| step.decoding > 0).collect();
    let reading: Vec<u64> = beside.iter().map(|step| step.reading).filter(|reading| *reading > 0).collect();
    let read: u64 = reading.iter().sum();
    assert!(reading.len() >= 8, "{read} tokens in {} steps", reading.len());
    assert!(reading.iter().all(|reading| *reading * 4 <= read), "no step reads a fourth of it: {reading:?}");
    // One in 25 steps reads nothing, to measure what decoding alone takes.
    assert!(beside.iter().any(|step| step.reading == 0), "all of {} steps read", beside.len());
    let without =
        steps(log.path())[before..].iter().filter(|step| step.decoding == 0 && step.reading > 0).count();
    let over = worker.answers[&stream].end.is_some();
    assert!(over || without == 0, "{without} steps read and left the stream out");
}

/// A job that writes all its tokens: what ends an answer is banned.
fn endless(input: generation::Input, tokens: u32) -> generation::GenerateRequest {
    let mut job = job(input, tokens);
    let ban = |token| generation::LogitBias { token, bias: f32::NEG_INFINITY };
    job.sampling.logit_bias = (0..3).map(ban).collect();
    job
}

#[test]
fn a_strict_task_goes_on_beside_streams_in_calls_of_its_own() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut worker = Worker::start_with_log(4, 1024, log.reopen().expect("writable"));
    let streams: Vec<_> =
        (0..2).map(|salt| worker.submit(endless(prompt(&long_text(10, salt)), 900))).collect();
    worker.until(|worker| streams.iter().all(|task| worker.answers[task].pieces.len() >= 5));
    let mut strict = job(prompt(&long_text(60, 7)), 10);
    strict.determinism = Determinism::Strict;
    let strict = worker.submit(strict);
    worker.wait(&[strict]);
    let report = worker.answers[&strict].report().clone();
    assert_eq!(report.tokens_out.0, 10, "{report:?}");
    assert!(streams.iter().any(|task| worker.answers[task].end.is_none()), "they ran beside each other");
    let steps = steps(log.path());
    let calls: u64 = steps.iter().map(|step| step.strict).sum();
    // A call for each eight tokens of the prompt, whatever else runs; the last one gives the first of the answer.
    assert_eq!(calls, u64::from(report.tokens_in.0.div_ceil(8) + report.tokens_out.0) - 1);
    let beside = steps.iter().filter(|step| step.strict > 0);
    assert!(beside.clone().all(|step| step.decoding == 0 || step.strict == 1), "one call a step at most");
    assert!(beside.filter(|step| step.decoding > 0).count() >= 8, "beside the streams");
}
